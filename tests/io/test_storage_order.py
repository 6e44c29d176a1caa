"""A mask of the same voxels is taken however it is stored; nothing else is."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import LabelMap, LabelTable, Probabilities, Volume
from napari_deferredseg.io.images import (
    as_channels,
    on_grid_of,
    read_labels,
    read_probabilities,
    read_volume,
    write_labels,
    write_volume,
)

if TYPE_CHECKING:
    from pathlib import Path

shapes = st.tuples(*[st.integers(1, 5)] * 3)
orders = st.sampled_from(list(permutations(range(3))))
flips = st.tuples(*[st.booleans()] * 3)


def grid(shape, turn=(0.0, 0.0, 0.0), mirrored=False, spacing=(0.7, 0.8, 2.5)) -> Geometry:
    direction = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * ((1, 1, -1) if mirrored else (1, 1, 1))
    rows = tuple(tuple(float(v) for v in row) for row in direction)
    return Geometry(shape=shape, spacing=spacing, origin=(-31.5, 12.25, 420.0), direction=rows)


def stored(array: np.ndarray, geometry: Geometry, order, flipped) -> tuple[np.ndarray, Geometry]:
    """Same voxels at the same places, stored in another order."""
    where = [
        np.arange(n)[:: -1 if flip else 1] for n, flip in zip([array.shape[i] for i in order], flipped, strict=True)
    ]
    turned = array.transpose(order)[np.ix_(*where)]
    corner = np.zeros(3)
    steps = np.zeros((3, 3))
    for axis, (source, flip) in enumerate(zip(order, flipped, strict=True)):
        corner[source] = array.shape[source] - 1 if flip else 0
        steps[source, axis] = -1 if flip else 1
    affine = geometry.affine()
    columns = affine[:3, :3] @ steps
    spacing = np.linalg.norm(columns, axis=0)
    rows = tuple(tuple(float(v) for v in row) for row in (columns / spacing)[:, ::-1])
    origin = tuple(float(v) for v in geometry.lps(corner))
    return turned, Geometry(
        shape=turned.shape, spacing=tuple(float(v) for v in spacing[::-1]), origin=origin, direction=rows
    )


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes,
    order=orders,
    flipped=flips,
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
    mirrored=st.booleans(),
    cube=st.booleans(),
)
def test_any_order_comes_back_voxel_for_voxel(shape, order, flipped, turn, mirrored, cube) -> None:
    shape = (shape[0],) * 3 if cube else shape
    geometry = grid(shape, turn, mirrored, (1.0, 1.0, 1.0) if cube else (0.7, 0.8, 2.5))
    array = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.uint16)
    turned, elsewhere = stored(array, geometry, order, flipped)
    mask = on_grid_of(Volume(array, geometry, "scan"), LabelMap(turned, elsewhere, "mask", LabelTable(), ("read so",)))
    np.testing.assert_array_equal(mask.array, array)
    assert mask.array.flags.c_contiguous
    assert mask.geometry.same_grid(geometry)
    assert mask.notes[0] == "read so"
    same = elsewhere.same_grid(geometry)
    assert len(mask.notes) == (1 if same else 2)
    assert same or "mask: holds the voxels of scan in another order" in mask.notes[1]


@settings(max_examples=60, deadline=None)
@given(order=orders, flipped=flips, off=st.floats(0.002, 3), axis=st.integers(0, 2))
def test_what_lies_elsewhere_is_refused_in_any_order(order, flipped, off, axis) -> None:
    geometry = grid((3, 4, 5), (20, -10, 5))
    array = np.zeros(geometry.shape, np.uint8)
    turned, elsewhere = stored(array, geometry, order, flipped)
    origin = list(elsewhere.origin)
    origin[axis] += off
    elsewhere = elsewhere.model_copy(update={"origin": tuple(origin)})
    with pytest.raises(InputError, match="is not on the grid of scan"):
        on_grid_of(Volume(array, geometry, "scan"), LabelMap(turned, elsewhere, "mask"))


def test_probabilities_and_channels_are_turned_too() -> None:
    geometry = grid((3, 4, 5))
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    turned, elsewhere = stored(array, geometry, (2, 0, 1), (True, False, True))
    volume = Volume(array, geometry, "scan")
    found = on_grid_of(volume, Probabilities(np.stack([turned, -turned]), elsewhere, "p"))
    np.testing.assert_array_equal(found.array, np.stack([array, -array]))
    both = as_channels([volume, Volume(turned, elsewhere, "t1")])
    np.testing.assert_array_equal(both.array, np.stack([array, array]))
    assert "t1: holds the voxels of scan in another order" in both.notes[0]


@pytest.mark.parametrize("which", ["scan", "mask", "both"])
def test_an_unknown_orientation_is_not_guessed(which: str) -> None:
    geometry = grid((3, 4, 5))
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    turned, elsewhere = stored(array, geometry, (0, 1, 2), (False, True, False))
    unknown = {"orientation_known": False}
    scan = Volume(array, geometry.model_copy(update=unknown if which != "mask" else {}), "scan")
    mask = LabelMap(turned, elsewhere.model_copy(update=unknown if which != "scan" else {}), "mask")
    with pytest.raises(InputError, match="is not on the grid of scan"):
        on_grid_of(scan, mask)
    assert on_grid_of(scan, replace(mask, geometry=scan.geometry)).array is turned


@pytest.mark.parametrize("axes", [("L", "P", "S"), ("R", "A", "S"), ("P", "I", "R"), ("S", "L", "A")])
def test_masks_of_other_tools_are_taken(tmp_path: Path, axes: tuple[str, ...]) -> None:
    """As nibabel, dcm2niix and the like reorient them."""
    geometry = grid((4, 5, 6), (12, 5, -7))
    image = np.random.default_rng(0).integers(0, 1000, geometry.shape).astype(np.int16)
    labels = (image > 500).astype(np.uint8)
    write_volume(tmp_path / "ct.nii.gz", Volume(image, geometry, "made"))
    write_labels(tmp_path / "mask.nii.gz", labels, geometry, LabelTable())
    write_volume(tmp_path / "p.nii.gz", Volume(labels.astype(np.float32), geometry, "made"))
    for name in ("mask", "p"):
        one = nib.load(tmp_path / f"{name}.nii.gz")
        wanted = nib.orientations.axcodes2ornt(axes)
        turned = one.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(one.affine), wanted))
        nib.save(turned, tmp_path / f"{name}_turned.nii.gz")
    ct = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(on_grid_of(ct, read_labels(tmp_path / "mask_turned.nii.gz")).array, labels)
    found = on_grid_of(ct, read_probabilities(tmp_path / "p_turned.nii.gz"))
    np.testing.assert_array_equal(found.array[1], labels)
