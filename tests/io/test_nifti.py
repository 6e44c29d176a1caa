"""What a NIfTI header leaves open is decided by a rule, and said."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import LabelTable, Volume
from napari_deferredseg.io.images import (
    on_grid_of,
    read_labels,
    read_probabilities,
    read_volume,
    write_labels,
    write_volume,
)

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (5, 6, 7)
AFFINE = np.array([[-0.8, 0, 0, 10], [0, -0.8, 0, 12], [0, 0, 2, -40], [0, 0, 0, 1.0]])
LABELS = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


def moved(x: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += x
    return affine


def save(
    path: Path, array: np.ndarray, sform: np.ndarray | None, qform: np.ndarray | None, kind=nib.Nifti1Image
) -> Path:
    """Write an (x, y, z) array with forms of its own."""
    image = kind(array, None)
    image.header.set_qform(AFFINE if qform is None else qform, 0 if qform is None else 1)
    image.header.set_sform(AFFINE if sform is None else sform, 0 if sform is None else 2)
    nib.save(kind(array, None, image.header), path)
    return path


def patched(path: Path, at: int, layout: str, *values: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{layout}", content, at, *values)
    path.write_bytes(bytes(content))
    return path


def lies_where_nibabel_says(path: Path) -> bool:
    affine = np.diag([-1.0, -1, 1, 1]) @ nib.load(path).affine[:, [2, 1, 0, 3]]
    return bool(np.allclose(read_volume(path).geometry.affine(), affine, atol=1e-4))


@pytest.mark.parametrize("sform", [None, AFFINE, moved(30)])
@pytest.mark.parametrize("qform", [None, AFFINE, moved(-0.01)])
def test_the_sform_wins_and_a_second_opinion_is_said(tmp_path: Path, sform, qform) -> None:
    volume = read_volume(save(tmp_path / "v.nii", LABELS, sform, qform))
    known = sform is not None or qform is not None
    assert volume.geometry.orientation_known == known
    assert not known or lies_where_nibabel_says(tmp_path / "v.nii")
    if sform is None or qform is None or np.array_equal(sform, qform):
        assert volume.notes == ()
    else:
        (note,) = volume.notes
        assert "qform" in note
        assert "sform was taken" in note
        assert f"{abs(sform[0, 3] - qform[0, 3]):.3g} mm" in note


def test_a_mask_by_the_other_form_is_refused_by_name(tmp_path: Path) -> None:
    scan = read_volume(save(tmp_path / "v.nii", LABELS, moved(30), AFFINE))
    by_sform = read_labels(save(tmp_path / "a.nii", LABELS, moved(30), None))
    np.testing.assert_array_equal(on_grid_of(scan, by_sform).array, by_sform.array)
    with pytest.raises(InputError, match=r"30 mm away.*qform \(code 1\) and its sform \(code 2\)"):
        on_grid_of(scan, read_labels(save(tmp_path / "b.nii", LABELS, AFFINE, None)))


@pytest.mark.parametrize(("slope", "inter"), [(0, 0), (0, 1), (np.nan, 3), (np.inf, 1), (1, 0)])
def test_no_slope_means_no_scaling(tmp_path: Path, slope: float, inter: float) -> None:
    path = patched(save(tmp_path / "v.nii", LABELS, AFFINE, AFFINE), 112, "2f", slope, inter)
    volume = read_volume(path)
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array, LABELS.T)
    np.testing.assert_array_equal(read_labels(path).array, LABELS.T)
    assert bool(volume.notes) == bool(np.isinf(slope))


def test_a_slope_without_an_intercept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scl_inter"):
        read_volume(patched(save(tmp_path / "v.nii", LABELS, AFFINE, AFFINE), 112, "2f", 2, np.nan))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint64", "float32", "float64"])
@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_scaled_values_are_those_of_nibabel(tmp_path: Path, dtype: str, endian: str, kind) -> None:
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(dtype)
    header.set_data_shape(SHAPE)
    header.set_zooms((0.8, 0.8, 2.0))
    header.set_sform(AFFINE, 1)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.37, -4, header.single_vox_offset
    raw = np.arange(LABELS.size).reshape(SHAPE[::-1]).astype(header.get_data_dtype())
    (tmp_path / "v.nii").write_bytes(header.binaryblock + bytes(4) + raw.tobytes())
    read = read_volume(tmp_path / "v.nii").array
    assert read.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_array_equal(read, np.asanyarray(nib.load(tmp_path / "v.nii").dataobj).T.astype(read.dtype))


@pytest.mark.parametrize("shear", [1e-5, 1.5e-4, 5e-4, 9e-4])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_axes_nearly_at_right_angles_are_read_and_written(tmp_path: Path, shear: float, suffix: str) -> None:
    affine = AFFINE.copy()
    affine[0, 1] += 0.8 * shear
    volume = read_volume(save(tmp_path / "v.nii", LABELS, affine, None))
    assert lies_where_nibabel_says(tmp_path / "v.nii")
    write_labels(tmp_path / f"m{suffix}", volume.array, volume.geometry, LabelTable())
    assert on_grid_of(volume, read_labels(tmp_path / f"m{suffix}")).geometry.same_grid(volume.geometry)


def test_sheared_axes_are_refused(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 1] += 0.8 * 2e-3
    with pytest.raises(InputError, match="sheared, not at right angles"):
        read_volume(save(tmp_path / "v.nii", LABELS, affine, None))


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "int8", "int16", "uint16", "int32"]),
    labels=st.lists(st.integers(0, 110), min_size=1, max_size=6, unique=True),
)
def test_labels_stored_as_scaled_numbers_are_those_labels(tmp_path_factory, dtype: str, labels: list[int]) -> None:
    """As nibabel stores floats under a header of whole numbers."""
    array = np.array(labels)[np.random.default_rng(0).integers(0, len(labels), SHAPE)]
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    path = tmp_path_factory.mktemp("scaled") / "m.nii"
    nib.save(nib.Nifti1Image(array.astype(float), AFFINE, header), path)
    np.testing.assert_array_equal(read_labels(path).array, array.T)


def test_an_image_stored_as_scaled_numbers_is_no_mask(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype("uint8")
    for name, values in (("image", np.linspace(0, 117, LABELS.size)), ("p", np.linspace(0, 1, LABELS.size))):
        nib.save(nib.Nifti1Image(values.reshape(SHAPE), AFFINE, header), tmp_path / f"{name}.nii")
        with pytest.raises(InputError, match="is no label; the file stores scaled numbers, in steps of"):
            read_labels(tmp_path / f"{name}.nii")
    assert read_probabilities(tmp_path / "p.nii").array.shape == (2, *SHAPE[::-1])


@pytest.mark.parametrize(("value", "reads"), [(1.000001, True), (0.99999, True), (1.01, False), (1.0005, False)])
def test_noise_of_floats_is_no_fraction(tmp_path: Path, value: float, reads: bool) -> None:
    image = sitk.GetImageFromArray(np.where(LABELS > 0, value, 0).astype(np.float32))
    sitk.WriteImage(image, str(tmp_path / "m.mha"))
    if reads:
        mask = read_labels(tmp_path / "m.mha")
        np.testing.assert_array_equal(mask.array, LABELS > 0)
        assert "taken as whole numbers" in mask.notes[0]
    else:
        with pytest.raises(InputError, match=f"{value} is no label"):
            read_labels(tmp_path / "m.mha")


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.Nifti2Image])
def test_nifti_2_and_pairs_are_read(tmp_path: Path, kind) -> None:
    names = ["v.nii"] if kind is nib.Nifti2Image else ["v.hdr", "v.img"]
    save(tmp_path / names[-1], LABELS, AFFINE, AFFINE, kind)
    for name in names:
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, LABELS.T)
        assert lies_where_nibabel_says(tmp_path / name)


def test_a_pair_that_is_none(tmp_path: Path) -> None:
    save(tmp_path / "v.img", LABELS, AFFINE, AFFINE, nib.Nifti1Pair)
    (tmp_path / "alone.hdr").write_bytes((tmp_path / "v.hdr").read_bytes())
    with pytest.raises(InputError, match=r"alone\.img is not beside it"):
        read_volume(tmp_path / "alone.hdr")
    (tmp_path / "v.hdr").rename(tmp_path / "v.nii")
    with pytest.raises(InputError, match=r"pair of \.hdr and \.img"):
        read_volume(tmp_path / "v.nii")
    with pytest.raises(InputError, match=r"v\.hdr is not beside it"):
        read_volume(tmp_path / "v.img")
    nib.save(nib.AnalyzeImage(LABELS, AFFINE), tmp_path / "old.img")
    with pytest.raises(InputError, match="Analyze"):
        read_volume(tmp_path / "old.hdr")


def whole(tmp_path: Path) -> bytes:
    return save(tmp_path / "whole.nii", LABELS.astype(np.int16), AFFINE, AFFINE).read_bytes()


def with_fields(content: bytes, *fields: tuple[int, str, float]) -> bytes:
    changed = bytearray(content)
    for at, layout, value in fields:
        struct.pack_into(f"<{layout}", changed, at, value)
    return bytes(changed)


NOTED = {
    "bits": (lambda b: with_fields(b, (72, "h", 8)), "8 bits"),
    "trailing": (lambda b: b + bytes(100), "100 bytes follow"),
    "fewer slices": (lambda b: with_fields(b, (46, "h", 6)), f"{5 * 6 * 2} bytes follow"),
}
REFUSED = {
    "microns": (lambda b: with_fields(b, (123, "B", 3)), "millimetres"),
    "displacements": (lambda b: with_fields(b, (68, "h", 1006)), "displacement vectors"),
    "tensors": (lambda b: with_fields(b, (68, "h", 1005)), "matrices"),
    "binary": (lambda b: with_fields(b, (70, "h", 1)), "type 1"),
    "unknown type": (lambda b: with_fields(b, (70, "h", 77)), "type 77"),
    "form": (lambda b: with_fields(b, (252, "h", 9)), "qform_code 9"),
    "side": (lambda b: with_fields(b, (76, "f", 2)), "must be 1 or -1"),
    "offset inside": (lambda b: with_fields(b, (108, "f", 300)), "byte 300"),
    "offset beyond": (lambda b: with_fields(b, (108, "f", 3e38)), "which cannot be"),
    "offset behind": (lambda b: with_fields(b, (108, "f", 1e6)), "cut off before its first voxel"),
    "gzip inside": (gzip.compress, "ending .nii.gz"),
}


@pytest.mark.parametrize("name", NOTED)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_is_odd_but_plain_is_said(tmp_path: Path, name: str, suffix: str) -> None:
    change, said = NOTED[name]
    content = change(whole(tmp_path))
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, LABELS.T[: volume.array.shape[0]])
    assert said in volume.notes[0]
    assert str(path) in volume.notes[0]


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    change, said = REFUSED[name]
    (tmp_path / "odd.nii").write_bytes(change(whole(tmp_path)))
    with pytest.raises(InputError, match=said):
        read_volume(tmp_path / "odd.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_counts_too_few_axes_is_refused(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "v.nii", np.zeros((20, 20, 9), np.int16), AFFINE, AFFINE)
    content = patched(tmp_path / "v.nii", 40, "h", 2).read_bytes()
    (tmp_path / f"odd{suffix}").write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(InputError, match="counts 800 bytes of voxels, as many again or more follow"):
        read_volume(tmp_path / f"odd{suffix}")


def test_members_of_gzip_are_one_file_and_rubbish_behind_them_is_told(tmp_path: Path) -> None:
    content, path = whole(tmp_path), tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]) + bytes(512))
    np.testing.assert_array_equal(read_volume(path).array, LABELS.T)
    path.write_bytes(gzip.compress(content) + b"rubbish")
    with pytest.raises(InputError, match="7 bytes follow its compressed data"):
        read_volume(path)


@pytest.mark.parametrize("trailing", [(), (1,), (1, 1), (1, 1, 1)])
def test_axes_of_one_voxel_do_not_count(tmp_path: Path, trailing: tuple[int, ...]) -> None:
    save(tmp_path / "v.nii", LABELS.reshape(*SHAPE, *trailing), AFFINE, AFFINE)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii").array, LABELS.T)


def test_one_slice_lies_where_its_form_says(tmp_path: Path) -> None:
    save(tmp_path / "v.nii", LABELS[..., 0], AFFINE, AFFINE)
    volume = read_volume(tmp_path / "v.nii")
    assert volume.geometry.orientation_known
    assert volume.geometry.shape == (1, *SHAPE[1::-1])
    assert lies_where_nibabel_says(tmp_path / "v.nii")


def test_nan_stays_and_is_said(tmp_path: Path) -> None:
    array = LABELS.astype(np.float32)
    array[1, 2, 3] = np.nan
    volume = read_volume(save(tmp_path / "v.nii.gz", array, AFFINE, AFFINE))
    np.testing.assert_array_equal(volume.array, array.T)
    assert "NaN" in volume.notes[0]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_others_read_what_we_write(tmp_path: Path, suffix: str) -> None:
    grid = Geometry(shape=SHAPE[::-1], spacing=(0.8, 0.7, 2.0), origin=(1.0, -2.0, 3.5))
    two = np.stack([LABELS.T, LABELS.T + 1]).astype(np.int16)
    write_labels(tmp_path / f"m{suffix}", LABELS.T.copy(), grid, LabelTable())
    write_volume(tmp_path / f"two{suffix}", Volume(two, grid, "made", ("a", "b")))
    ours = sitk.ReadImage(str(tmp_path / f"m{suffix}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), LABELS.T)
    np.testing.assert_allclose(ours.GetSpacing(), grid.spacing, rtol=1e-6)
    np.testing.assert_allclose(ours.GetOrigin(), grid.origin, rtol=1e-6)
    assert ours.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert lies_where_nibabel_says(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(
        np.moveaxis(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"two{suffix}"))), -1, 0), two
    )
