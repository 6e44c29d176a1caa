from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.masks.components import components, deepest_index, structure_radius

label_maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(label_maps)
def test_parts_are_those_of_scipy_label_by_label(labels):
    parts = components(labels)
    for value in np.unique(labels[labels > 0]):
        count = ndimage.label(labels == value, np.ones((3, 3, 3)))[1]
        assert len(np.unique(parts.ids[labels == value])) == count
    assert parts.voxels.sum() == np.count_nonzero(labels)
    for number, box in enumerate(parts.boxes, start=1):
        mask = parts.mask(number)
        assert mask.sum() == parts.voxels[number - 1]
        assert len(np.unique(labels[slices(box)][mask])) == 1


def test_every_second_voxel_of_a_line_is_a_part():
    line = np.array([[[1, 0, 1, 0, 1]]], np.uint8)
    for labels in (line, line > 0):
        assert components(labels).voxels.tolist() == [1, 1, 1]


@given(hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8))).filter(np.any))
def test_the_deepest_voxel_lies_inside(mask):
    assert mask[deepest_index(mask, (5.0, 1.0, 1.0))]


def test_the_deepest_voxel_of_a_ring_with_a_bulge_is_in_the_bulge():
    y, x = np.ogrid[-20:21, -20:21]
    mask = (np.abs(np.hypot(y, x) - 15) < 1.5) | (np.hypot(y, x - 13) < 5)
    _, row, column = deepest_index(mask[None], (1, 1, 1))
    assert np.hypot(row - 20, column - 33) < 2


def test_an_empty_mask_has_no_deepest_voxel():
    with pytest.raises(ValueError, match="empty"):
        deepest_index(np.zeros((2, 2, 2), bool), (1, 1, 1))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.5, 0.5)])
def test_radius_of_a_ball_and_of_many_small_ones(spacing):
    z, y, x = (s * (np.arange(int(50 / s)) - 25 / s) for s in spacing)
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    labels = (distance < 12).astype(np.uint8)
    labels[1, 2, 2] = 1
    labels[1:3, -4:-1, -4:-1] = 2
    radius = structure_radius(labels, spacing)
    assert radius[1] == pytest.approx(12, rel=0.1)
    assert radius[2] < 4


def test_radius_on_a_single_slice_is_that_of_a_disc():
    y, x = np.ogrid[-30:31, -30:31]
    disc = (np.hypot(y, x) < 20).astype(np.uint8)[None]
    assert structure_radius(disc, (8.0, 1.0, 1.0))[1] == pytest.approx(20, rel=0.05)
