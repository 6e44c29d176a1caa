from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Label, LabelTable, Volume, default_label
from napari_deferredseg.io.images import (
    on_grid_of,
    read_channels,
    read_labels,
    read_probabilities,
    read_volume,
    write_labels,
    write_volume,
)

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
IMAGES = (
    "spleen_ct/image.nii.gz",
    "spleen_ct/manual_label.nii.gz",
    "flair_lesions/flair.nii.gz",
    "abdomen_ct/ct.nii.gz",
    "abdomen_ct/ct_small_ai_mask_a.nii.gz",
    "ct_head_dicom",
    "dicom_seg/ct",
)
TABLE = LabelTable(
    labels=(Label(value=1, name="liver, left", color=(200, 30, 7)), Label(value=300, name="Öl", color=(0, 255, 1)))
)


def turned(degrees: float, axis: int) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.roll(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), (axis, axis), axis=(0, 1))


def grid(direction: np.ndarray, spacing=(0.703125, 0.8, 2.5), origin=(-123.4567, 88.25, -901.125), shape=(3, 4, 5)):
    rows = tuple(tuple(float(v) for v in row) for row in direction)
    return Geometry(shape=shape, spacing=spacing, origin=origin, direction=rows)


DIRECTIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "flipped": np.diag([-1.0, -1, 1]),
    "left-handed": np.diag([1.0, 1, -1]),
    "oblique": turned(17, 0) @ turned(17, 1) @ turned(5, 2),
}


def labels_on(geometry: Geometry) -> np.ndarray:
    values = np.array([0, 1, 300, 65535], np.uint16)
    return values[np.random.default_rng(3).integers(0, 4, geometry.shape)]


def worst(a: Geometry, b: Geometry) -> float:
    """Largest relative (or, near zero, absolute) difference of spacing, origin and direction."""

    def figures(g: Geometry) -> np.ndarray:
        return np.concatenate([g.spacing, g.origin, np.ravel(g.direction)])

    want = figures(b)
    return float(np.max(np.abs(figures(a) - want) / np.maximum(1, np.abs(want))))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", DIRECTIONS)
def test_labels_come_back_on_their_grid(tmp_path: Path, suffix: str, name: str) -> None:
    geometry = grid(DIRECTIONS[name])
    array = labels_on(geometry)
    write_labels(tmp_path / f"mask{suffix}", array, geometry, TABLE)
    back = read_labels(tmp_path / f"mask{suffix}")
    assert back.array.dtype == np.uint16
    np.testing.assert_array_equal(back.array, array)
    assert worst(back.geometry, geometry) < (1e-6 if "nii" in suffix else 1e-12)
    assert back.geometry.orientation_known
    assert back.table == TABLE.completed([65535])
    assert {p.name for p in tmp_path.iterdir()} == {f"mask{suffix}", "mask.labels.csv"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_round_trip_changes_nothing(tmp_path: Path, suffix: str) -> None:
    geometry = grid(DIRECTIONS["oblique"])
    write_labels(tmp_path / f"a{suffix}", labels_on(geometry), geometry, TABLE)
    first = read_labels(tmp_path / f"a{suffix}")
    write_labels(tmp_path / f"b{suffix}", first.array, first.geometry, first.table)
    second = read_labels(tmp_path / f"b{suffix}")
    assert worst(second.geometry, first.geometry) < 1e-6
    assert second.table == first.table


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", IMAGES)
def test_real_images_come_back_as_they_were(data: Path, tmp_path: Path, name: str, suffix: str) -> None:
    volume = read_volume(data / name)
    write_volume(tmp_path / f"copy{suffix}", volume)
    copy = read_volume(tmp_path / f"copy{suffix}")
    assert copy.array.dtype == volume.array.dtype
    np.testing.assert_array_equal(copy.array, volume.array)
    assert worst(copy.geometry, volume.geometry) <= 1e-6
    assert volume.geometry.same_grid(copy.geometry)
    assert [p.name for p in tmp_path.iterdir()] == [f"copy{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_mask_written_for_a_dicom_series_lies_on_it(data: Path, tmp_path: Path, suffix: str) -> None:
    ct = read_volume(data / "ct_head_dicom")
    write_labels(tmp_path / f"bone{suffix}", (ct.array > 300).astype(np.uint8), ct.geometry, LabelTable())
    mask = read_labels(tmp_path / f"bone{suffix}")
    on_grid_of(ct, mask)
    np.testing.assert_array_equal(mask.array == 1, ct.array > 300)
    assert mask.table.labels == (default_label(1),)


@settings(max_examples=40, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    origin=st.tuples(*[st.floats(-2000, 2000)] * 3),
    turns=st.tuples(*[st.floats(-180, 180)] * 3),
    order=st.sampled_from(list(permutations(range(3)))),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    suffix=st.sampled_from(SUFFIXES),
)
def test_any_grid_survives(tmp_path_factory, spacing, origin, turns, order, shape, suffix) -> None:
    direction = (turned(turns[0], 0) @ turned(turns[1], 1) @ turned(turns[2], 2))[:, order]
    geometry = grid(direction, spacing, origin, shape)
    path = tmp_path_factory.mktemp("any") / f"m{suffix}"
    write_labels(path, labels_on(geometry), geometry, TABLE)
    back = read_labels(path)
    assert geometry.same_grid(back.geometry)
    assert worst(back.geometry, geometry) < (1e-6 if "nii" in suffix else 1e-12)
    np.testing.assert_array_equal(back.array, labels_on(geometry))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_keep_their_type(tmp_path: Path, dtype: str, suffix: str) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    write_volume(tmp_path / f"v{suffix}", Volume(array, grid(np.eye(3)), "made"))
    back = read_volume(tmp_path / f"v{suffix}")
    assert back.array.dtype == array.dtype
    np.testing.assert_array_equal(back.array, array)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_unknown_orientation_stays_unknown(tmp_path: Path, suffix: str) -> None:
    geometry = Geometry(shape=(2, 3, 4), spacing=(0.5, 0.5, 3.0), orientation_known=False)
    write_labels(tmp_path / f"m{suffix}", np.ones(geometry.shape, np.uint8), geometry, LabelTable())
    assert read_labels(tmp_path / f"m{suffix}").geometry == geometry


def test_nrrd_without_a_space_has_no_known_orientation(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nspacings: 1 1 2\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(8))
    geometry = read_volume(tmp_path / "a.nrrd").geometry
    assert not geometry.orientation_known
    assert geometry.spacing == (1, 1, 2)


def test_a_picture_is_one_slice_without_orientation(data: Path) -> None:
    picture = read_volume(data / "brain_growth_7raters" / "case01_image.png")
    mask = read_labels(data / "brain_growth_7raters" / "case01_rater1.png")
    assert picture.array.shape == (1, 128, 128)
    assert not picture.geometry.orientation_known
    assert set(np.unique(mask.array)) == {0, 255}
    on_grid_of(picture, mask)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_components_are_channels(tmp_path: Path, suffix: str) -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    write_volume(tmp_path / f"two{suffix}", Volume(array, grid(np.eye(3)), "made", ("flair", "t1")))
    back = read_volume(tmp_path / f"two{suffix}")
    assert len(back.channels) == 2
    np.testing.assert_array_equal(back.array, array)


def test_channels_from_several_files(tmp_path: Path) -> None:
    geometry = grid(DIRECTIONS["oblique"])
    flair, t1 = np.full(geometry.shape, -5, np.int16), np.full(geometry.shape, 0.5, np.float32)
    write_volume(tmp_path / "flair.nii.gz", Volume(flair, geometry, "made"))
    write_volume(tmp_path / "t1.mha", Volume(t1, geometry, "made"))
    volume = read_channels([tmp_path / "flair.nii.gz", tmp_path / "t1.mha"])
    assert volume.channels == ("flair", "t1")
    np.testing.assert_array_equal(volume.array, np.stack([flair, t1]))
    assert read_channels([tmp_path / "flair.nii.gz"]).array.dtype == np.int16


def test_whole_numbers_in_a_float_file_are_labels(tmp_path: Path) -> None:
    array = np.array([0, 1, 117, 256], np.float64).reshape(1, 2, 2)
    for values, dtype in ((array, np.uint16), (array % 200, np.uint8)):
        write_volume(tmp_path / "m.nii", Volume(values, grid(np.eye(3), shape=(1, 2, 2)), "made"))
        back = read_labels(tmp_path / "m.nii")
        assert back.array.dtype == dtype
        np.testing.assert_array_equal(back.array, values)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_foreground_probability_becomes_two_classes(tmp_path: Path, suffix: str) -> None:
    p = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    write_volume(tmp_path / f"p{suffix}", Volume(p, grid(np.eye(3)), "made"))
    back = read_probabilities(tmp_path / f"p{suffix}").array
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[1], p, atol=1e-6)
    np.testing.assert_allclose(back.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("fourth_dimension", [True, False])
def test_class_probabilities(tmp_path: Path, fourth_dimension: bool) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), (3, 4, 5)).transpose(3, 0, 1, 2) * 1.005
    images = [sitk.GetImageFromArray(np.ascontiguousarray(c, np.float32)) for c in p]
    image = sitk.JoinSeries(images) if fourth_dimension else sitk.Compose(images)
    sitk.WriteImage(image, str(tmp_path / "p.nii.gz"))
    back = read_probabilities(tmp_path / "p.nii.gz").array
    assert back.shape == (3, 3, 4, 5)
    np.testing.assert_allclose(back, p / 1.005, atol=1e-5)
    np.testing.assert_allclose(back.sum(0), 1, atol=1e-6)


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    geometry = grid(np.eye(3))
    write_labels(tmp_path / "m.nrrd", np.ones(geometry.shape, np.uint8), geometry, TABLE)
    write_labels(tmp_path / "m.nrrd", np.full(geometry.shape, 2, np.uint8), geometry, LabelTable())
    back = read_labels(tmp_path / "m.nrrd")
    assert back.array.min() == 2
    assert back.table.labels == (default_label(2),)
    assert len(list(tmp_path.iterdir())) == 2
