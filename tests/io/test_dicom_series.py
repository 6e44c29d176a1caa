from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom import list_series, read_series
from napari_deferredseg.io.images import read_volume

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Doe^Jane"


@pytest.mark.parametrize("name", ["ct_head_dicom", "dicom_seg/ct"])
def test_every_voxel_lies_where_its_file_says(data: Path, name: str) -> None:
    volume = read_volume(data / name)
    assert volume.modality == "CT"
    files = [pydicom.dcmread(p) for p in (data / name).iterdir()]
    assert len(files) == volume.array.shape[0]
    for ds in files:
        origin = np.array(ds.ImagePositionPatient, float)
        z, y, x = volume.geometry.index(origin)
        assert abs(z - round(z)) < 1e-6
        np.testing.assert_allclose([y, x], 0, atol=1e-6)
        hounsfield = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        np.testing.assert_array_equal(volume.array[round(z)], hounsfield)
        dy, dx = (float(v) for v in ds.PixelSpacing)
        row, column = np.split(np.array(ds.ImageOrientationPatient, float), 2)
        np.testing.assert_allclose(volume.geometry.lps((z, 7, 11)), origin + 11 * dx * row + 7 * dy * column, atol=1e-6)


def test_slices_are_sorted_by_position(stack: Path) -> None:
    volume = read_series(stack, None)
    np.testing.assert_array_equal(volume.array[:, 0, 0], 2 * (500 + 2 * np.arange(5)) - 1024)
    assert volume.geometry.spacing == (0.8, 0.7, 2.0)
    assert volume.geometry.origin == (-10, -20, 0)


def test_a_tilted_normal_is_followed(tmp_path: Path, write_slice) -> None:
    a = np.radians(17)
    row, column = np.array([np.cos(a), 0, np.sin(a)]), np.array([0, 1.0, 0])
    normal = np.cross(row, column)
    for i in range(4):
        write_slice(
            tmp_path / f"{i}.dcm",
            np.round(3 * i * normal, 4),
            ImageOrientationPatient=[f"{v:.8f}" for v in (*row, *column)],
        )
    geometry = read_series(tmp_path, None).geometry
    np.testing.assert_allclose(np.array(geometry.direction)[:, 2], normal, atol=1e-6)
    assert geometry.spacing[2] == pytest.approx(3, abs=1e-4)


def test_rescaling_differs_from_slice_to_slice(tmp_path: Path, write_slice) -> None:
    for i, slope in enumerate((1, 0.5, 0.25)):
        write_slice(tmp_path / str(i), (0, 0, i), RescaleSlope=slope, RescaleIntercept=0)
    np.testing.assert_allclose(read_series(tmp_path, None).array[:, 0, 0], [500, 250.5, 125.5])


def test_series_are_listed_and_chosen(stack: Path, write_slice) -> None:
    write_slice(stack / "other", (0, 0, 0), series="1.2.9", SeriesNumber=7, SeriesDescription="scout")
    first, second = list_series(stack)
    assert (first.number, first.modality, first.description, first.files, first.size) == (3, "CT", "thin", 5, (4, 5))
    with pytest.raises(
        InputError, match=r"2 series.*--series.*number 3: CT 'thin', 5 files.*I0.*number 7: CT 'scout', 1 files.*other"
    ):
        read_series(stack, None)
    for chosen in ("7", second.uid):
        assert read_series(stack, chosen).array.shape == (1, 4, 5)
    with pytest.raises(InputError, match=r"'8'.*thin"):
        read_series(stack, "8")
    write_slice(stack / "third", (0, 0, 0), series="1.2.10", SeriesNumber=7)
    with pytest.raises(InputError, match="choose by UID"):
        read_series(stack, "7")


def test_the_patient_is_never_named(stack: Path, write_slice) -> None:
    write_slice(stack / "other", (0, 0, 0), series="1.2.9")
    with pytest.raises(InputError) as caught:
        read_series(stack, None)
    told = f"{caught.value} {list_series(stack)} {read_series(stack, '1.2.3')}"
    assert NAME not in told
    assert "4711" not in told


def test_other_files_and_copies_are_left_out(stack: Path, data: Path) -> None:
    (stack / "notes.txt").write_text("not an image")
    (stack / "DICOMDIR").write_bytes(bytes(500))
    shutil.copy(stack / "I0", stack / "I0 (copy)")
    (stack / "deeper").mkdir()
    shutil.move(stack / "I3", stack / "deeper" / "I3")
    shutil.copy(data / "dicom_seg" / "liver.dcm", stack)
    assert read_series(stack, None).array.shape == (5, 4, 5)


def test_one_file_is_one_slice(stack: Path) -> None:
    volume = read_volume(stack / "I0")
    assert volume.array.shape == (1, 4, 5)
    assert volume.geometry.spacing == (0.8, 0.7, 2.0)
    assert volume.modality == "CT"


def test_an_image_without_position_has_no_known_orientation(tmp_path: Path, write_slice) -> None:
    write_slice(tmp_path / "x.dcm", (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None)
    assert not read_volume(tmp_path / "x.dcm").geometry.orientation_known


SPOILERS = {
    "missing": (lambda f, _: (f / "I1").unlink(), "slices are missing"),
    "uneven": (
        lambda f, write_slice: write_slice(f / "I1", (-10, -20, 4.5)),
        r"spacing is unequal, 1\.5 mm between I1 and I4, 2\.5 mm between I3 and I1",
    ),
    "twice": (
        lambda f, write_slice: write_slice(f / "again", (-10, -20, 4), PixelData=bytes(40)),
        "I1 and again lie at the same position, with different pixels",
    ),
    "tilted gantry": (
        lambda f, write_slice: [
            write_slice(f / n, (-10, -20 + d, z))
            for n, z, d in (("I0", 0, 0), ("I3", 2, 1), ("I1", 4, 2), ("I4", 6, 3), ("I2", 8, 4))
        ],
        "tilted gantry",
    ),
    "orientation": (
        lambda f, write_slice: write_slice(f / "loc", (0, 0, 0), ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        "orientation",
    ),
    "size": (lambda f, write_slice: write_slice(f / "loc", (0, 0, 20), Rows=2, Columns=2, PixelData=bytes(8)), "size"),
    "pixel spacing": (lambda f, write_slice: write_slice(f / "loc", (0, 0, 20), PixelSpacing=[1, 1]), "pixel spacing"),
    "multi-frame": (
        lambda f, write_slice: write_slice(f / "I1", (-10, -20, 4), NumberOfFrames=2, PixelData=bytes(80)),
        "multi-frame",
    ),
    "colour": (
        lambda f, write_slice: write_slice(f / "I1", (-10, -20, 4), SamplesPerPixel=3, PhotometricInterpretation="RGB"),
        "colour",
    ),
    "no position": (
        lambda f, write_slice: write_slice(f / "I1", (-10, -20, 4), ImagePositionPatient=None),
        "where its slice lies",
    ),
    "no pixel spacing": (
        lambda f, write_slice: [write_slice(f / f"I{i}", (0, 0, i), PixelSpacing=None) for i in range(5)],
        "PixelSpacing",
    ),
    "cut in the pixels": (lambda f, _: (f / "I1").write_bytes((f / "I1").read_bytes()[:-10]), "I1"),
    "cut in the header": (lambda f, _: (f / "I2").write_bytes((f / "I2").read_bytes()[:500]), "I2"),
    "nothing": (lambda f, _: [p.unlink() for p in f.iterdir()], "no DICOM images"),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_a_spoilt_series_is_refused_in_one_line(stack: Path, write_slice, name: str, capfd) -> None:
    spoil, reason = SPOILERS[name]
    spoil(stack, write_slice)
    with pytest.raises(InputError, match=reason) as caught:
        read_volume(stack)
    assert "\n" not in str(caught.value)
    assert str(stack) in str(caught.value)
    assert capfd.readouterr() == ("", "")
