"""A ball is as wide in millimetres along every axis, and nothing leaves the area it is cut to."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.widgets.viewer.reach import Area, ball, connected, cut

SHAPE = (9, 10, 11)
SPACINGS = st.tuples(*[st.floats(0.3, 6)] * 3)
SEEDS = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])


@settings(deadline=None)
@given(st.floats(0.2, 12), SPACINGS)
def test_a_ball_holds_what_is_within_its_radius(radius, spacing):
    mask = ball(radius, spacing)
    middle = np.array(mask.shape) // 2
    away = np.linalg.norm((np.argwhere(np.ones_like(mask)) - middle) * spacing, axis=1)
    inside = mask.ravel()
    assert (away[inside] <= radius + 1e-5).all()
    assert (away[~inside] > radius).all()
    beyond = (np.array(mask.shape) // 2 + 1) * spacing
    assert (beyond > radius - 1e-5).all()


def test_thick_slices_make_a_flat_ball():
    """3 mm are three voxels of 1 mm, and less than a slice of 5 mm."""
    assert ball(3.0, (5.0, 1.0, 1.0)).shape == (1, 7, 7)
    assert ball(5.0, (5.0, 1.0, 1.0)).shape == (3, 11, 11)


@st.composite
def areas(draw):
    spans = []
    for n in SHAPE:
        low = draw(st.integers(0, n - 1))
        spans.append((low, draw(st.integers(low + 1, n))))
    mask = draw(arrays.arrays(bool, [b - a for a, b in spans]))
    return Area(tuple(spans), mask)


def whole(area: Area) -> np.ndarray:
    """The area on the whole grid."""
    mask = np.zeros(SHAPE, bool)
    mask[slices(area.box)] = area.mask
    return mask


@settings(deadline=None)
@given(st.floats(0.5, 5), SPACINGS, SEEDS, areas())
def test_a_cut_ball_is_the_ball_in_the_area(radius, spacing, center, area):
    shape = ball(radius, spacing)
    part, is_cut = cut(shape, center, area)
    away = np.linalg.norm((np.indices(SHAPE).T - center) * spacing, axis=-1).T
    near = away <= np.sqrt(radius**2 + 1e-6)
    expected = near & whole(area)
    found = np.zeros(SHAPE, bool) if part is None else whole(part)
    np.testing.assert_array_equal(found, expected)
    assert is_cut == (int(expected.sum()) < int(shape.sum()))


@settings(deadline=None)
@given(arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 2)), areas(), SEEDS)
def test_a_fill_stays_in_the_area_and_on_its_label(labels, area, seed):
    if not whole(area)[seed]:
        return
    found = whole(Area(area.box, connected(labels, seed, area)))
    assert found[seed]
    assert not (found & ~whole(area)).any()
    assert set(np.unique(labels[found])) == {labels[seed]}
    for axis in range(3):  # no voxel beside it was left out
        beside = np.swapaxes(found, 0, axis)
        same = np.swapaxes(whole(area) & (labels == labels[seed]), 0, axis)
        assert not (beside[:-1] & same[1:] & ~beside[1:]).any()
        assert not (beside[1:] & same[:-1] & ~beside[:-1]).any()
