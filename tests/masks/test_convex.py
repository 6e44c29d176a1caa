from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import Delaunay

from napari_deferredseg.masks.convex import hull_share, is_compact

masks = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))).filter(np.any)


@settings(deadline=None, max_examples=60)
@given(masks)
def test_it_counts_the_voxels_in_the_hull(mask):
    points = np.argwhere(mask)
    offsets = 0.25 * np.array([[z, y, x] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    hull = Delaunay((points[:, None] + offsets[None]).reshape(-1, 3))
    inside = (hull.find_simplex(np.argwhere(np.ones(mask.shape))) >= 0).sum()
    assert hull_share(points) == pytest.approx(len(points) / inside, rel=0.1)


def test_balls_discs_and_boxes_are_whole_and_rings_are_not():
    at = np.indices((61, 61, 61)) - 30.0
    away = np.sqrt((at**2).sum(axis=0))
    for mask in (away < 25, away < 3, (away < 25) & (at[0] == 0), np.abs(at).max(axis=0) < 12):
        assert hull_share(np.argwhere(mask)) > 0.95
    for mask in ((away > 20) & (away < 25), (away > 20) & (away < 25) & (at[0] == 0)):
        assert hull_share(np.argwhere(mask)) < 0.6


@settings(deadline=None, max_examples=60)
@given(masks, st.floats(0.3, 1))
def test_a_tangle_told_without_its_hull_is_one(mask, least):
    points = np.argwhere(mask)
    assert is_compact(points, least) == (hull_share(points) >= least)
