"""Enhanced multi-frame images: read as the series they were made from, refused where they hold several volumes."""

from __future__ import annotations

import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedMRImage
from pydicom.uid import RLELossless, generate_uid

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom import list_series, read_file, read_series


def enhanced(kind, files, to: Path) -> pydicom.Dataset:
    """Converted by highdicom."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = kind([pydicom.dcmread(p) for p in files], generate_uid(), 8, generate_uid(), 1)
    image.save_as(to)
    return pydicom.dcmread(to)


@pytest.fixture
def mr(tmp_path: Path, write_slice) -> Path:
    """An enhanced MR of six oblique slices, each with a slope of its own, in another order than their places."""
    a = np.radians(17)
    row, column = np.array([np.cos(a), 0, np.sin(a)]), np.array([0, 1.0, 0])
    (tmp_path / "slices").mkdir()
    for i, z in enumerate((3, 1, 0, 5, 4, 2)):
        write_slice(
            tmp_path / "slices" / f"{i}",
            np.round(3 * z * np.cross(row, column), 5),
            SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
            Modality="MR",
            ImageOrientationPatient=[f"{v:.8f}" for v in (*row, *column)],
            RescaleSlope=(1, 2, 0.5)[i % 3],
            RescaleIntercept=i,
            FrameOfReferenceUID="1.2.3",
            PositionReferenceIndicator="",
            PixelData=np.random.default_rng(i).integers(0, 4096, (4, 5)).astype(np.uint16).tobytes(),
            **dict.fromkeys(
                ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"), ""
            ),
            Manufacturer="made",
            ReferringPhysicianName="",
            InstanceNumber=i + 1,
            ScanningSequence="GR",
            ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
        )
    (tmp_path / "mr").mkdir()
    files = sorted((tmp_path / "slices").iterdir())
    enhanced(LegacyConvertedEnhancedMRImage, files, tmp_path / "mr" / "enhanced.dcm")
    return tmp_path / "mr" / "enhanced.dcm"


def same(a, b) -> None:
    np.testing.assert_array_equal(a.array, b.array)
    assert a.array.dtype == b.array.dtype
    assert a.geometry.same_grid(b.geometry)


def test_frames_are_the_slices_that_they_were_made_from(mr: Path) -> None:
    expected = read_series(mr.parent.parent / "slices", None)
    same(read_file(mr), expected)
    same(read_series(mr.parent, None), expected)
    assert read_file(mr).notes == ()
    assert (list_series(mr.parent)[0].files, list_series(mr.parent)[0].size) == (1, (4, 5))


@pytest.mark.data
def test_a_real_ct_converted_to_frames_keeps_its_grid_and_values(data: Path, tmp_path: Path) -> None:
    enhanced(LegacyConvertedEnhancedCTImage, sorted((data / "ct_head_dicom").iterdir()), tmp_path / "ct.dcm")
    found, judge = read_file(tmp_path / "ct.dcm"), highdicom.imread(tmp_path / "ct.dcm").get_volume()
    same(found, read_series(data / "ct_head_dicom", None))
    corner = np.array([0, 9, 11])
    place = judge.map_reference_to_indices(found.geometry.lps(corner)[np.newaxis])[0]
    z, y, x = np.rint(place).astype(int)
    np.testing.assert_allclose(place, (z, y, x), atol=1e-6)
    assert judge.array[z, y, x] == found.array[0, 9, 11]


def test_compressed_frames_are_read(mr: Path) -> None:
    expected = read_file(mr)
    ds = pydicom.dcmread(mr)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(mr)
    same(read_file(mr), expected)


def test_objects_of_one_frame_each_are_slices(mr: Path) -> None:
    expected = read_file(mr)
    mr.unlink()
    for path in (mr.parent.parent / "slices").iterdir():
        ds = enhanced(LegacyConvertedEnhancedMRImage, [path], mr.parent / path.name)
        ds.SeriesInstanceUID, ds.InstanceNumber = "1.2.8", 1
        ds.save_as(mr.parent / path.name)
    same(read_series(mr.parent, None), expected)


def test_copies_of_an_object_count_once(mr: Path) -> None:
    (mr.parent / "again").write_bytes(mr.read_bytes())
    same(read_series(mr.parent, None), read_file(mr))


def test_frames_ordered_by_a_makers_own_tag_are_read(mr: Path) -> None:
    expected = read_file(mr)
    ds = pydicom.dcmread(mr)
    item = pydicom.Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = 0x2005106E, 0x2005140F
    ds.DimensionIndexSequence = [item]
    for i, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].DimensionIndexValues = i + 1
    ds.save_as(mr)
    same(read_file(mr), expected)


def change_frame(ds: pydicom.Dataset, i: int, sequence: str, name: str, value) -> None:
    frame = ds.PerFrameFunctionalGroupsSequence[i]
    if sequence not in frame:
        setattr(frame, sequence, [pydicom.Dataset()])
    setattr(getattr(frame, sequence)[0], name, value)


def second_echo(ds: pydicom.Dataset) -> None:
    place = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    change_frame(ds, 1, "PlanePositionSequence", "ImagePositionPatient", place)
    for i, t in enumerate((2.3, 4.6, 2.3, 2.3, 2.3, 2.3)):
        change_frame(ds, i, "MREchoSequence", "EffectiveEchoTime", t)


def without_places(ds: pydicom.Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence, ds.SharedFunctionalGroupsSequence


def two_stacks(ds: pydicom.Dataset) -> None:
    for i in range(6):
        change_frame(ds, i, "FrameContentSequence", "StackID", "12"[i % 2])


REFUSED = {
    "two echoes": (second_echo, r"several volumes, frame 1 .* and frame 2 .* EffectiveEchoTime \(2.3, 4.6\).*dcm2niix"),
    "two stacks": (two_stacks, r"several stacks \(StackID 1, 2\)"),
    "a frame too many": (lambda ds: ds.PerFrameFunctionalGroupsSequence.pop(), "6 frames and states the places of 5"),
    "no places": (without_places, "multi-frame Legacy Converted Enhanced MR Image .6 frames. that does not say where"),
    "a part": (lambda ds: setattr(ds, "InConcatenationTotalNumber", 3), "one of 3 parts"),
    "a gap": (
        lambda ds: change_frame(ds, 3, "PlanePositionSequence", "ImagePositionPatient", [-8, 0, 27]),
        "frame 4 of enhanced.dcm",
    ),
    "mosaic": (lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "FMRI", "MOSAIC"]), "Siemens MOSAIC"),
    "colour": (lambda ds: setattr(ds, "SamplesPerPixel", 3), "colour"),
    "segmentation": (
        lambda ds: (
            ds.update({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"})
            or ds.file_meta.update({"MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"})
        ),
        "another kind .Segmentation., no image",
    ),
    "cut pixels": (lambda ds: setattr(ds, "PixelData", ds.PixelData[:-80]), "pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_volume_is_refused_by_name(mr: Path, name: str) -> None:
    spoil, reason = REFUSED[name]
    ds = pydicom.dcmread(mr)
    spoil(ds)
    ds.save_as(mr)
    with pytest.raises(InputError, match=reason) as caught:
        read_file(mr)
    assert str(mr) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_objects_at_one_place_are_several_volumes(mr: Path) -> None:
    ds = pydicom.dcmread(mr)
    ds.SOPInstanceUID, ds.PixelData = "1.2.9", bytes(len(ds.PixelData))
    ds.save_as(mr.parent / "later.dcm")
    with pytest.raises(InputError, match=r"several volumes.*enhanced.dcm.*later.dcm"):
        read_series(mr.parent, None)
