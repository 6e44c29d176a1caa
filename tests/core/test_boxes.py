from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_deferredseg.core.boxes import bounding_box, grown, intersection, size, slices, union, within

SHAPE = (6, 7, 8)


@st.composite
def boxes(draw):
    spans = []
    for n in SHAPE:
        low = draw(st.integers(0, n - 1))
        spans.append((low, draw(st.integers(low + 1, n))))
    return tuple(spans)


def filled(box) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[slices(box)] = True
    return mask


@given(boxes())
def test_a_filled_box_is_its_own_bounding_box(box):
    assert bounding_box(filled(box)) == box
    assert size(box) == filled(box)[slices(box)].shape


@given(hnp.arrays(bool, SHAPE))
def test_a_bounding_box_holds_everything_and_touches_it_on_all_sides(mask):
    box = bounding_box(mask)
    if box is None:
        assert not mask.any()
        return
    assert mask[slices(box)].sum() == mask.sum()
    crop = mask[slices(box)]
    for axis in range(3):
        assert np.take(crop, 0, axis).any()
        assert np.take(crop, -1, axis).any()


@given(boxes(), boxes())
def test_union_and_intersection_are_those_of_the_voxels(a, b):
    assert union(a, b) == bounding_box(filled(a) | filled(b)) == union(b, a)
    assert intersection(a, b) == bounding_box(filled(a) & filled(b)) == intersection(b, a)


@given(boxes(), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_grown_box_reaches_as_far_as_the_array_does(box, margin):
    bigger = grown(box, margin, SHAPE)
    for (lo, hi), (wide_lo, wide_hi), m, n in zip(box, bigger, margin, SHAPE, strict=True):
        assert wide_lo == max(0, lo - m)
        assert wide_hi == min(n, hi + m)


@given(boxes(), boxes())
def test_within_finds_the_same_voxels_in_a_crop(a, b):
    whole = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    outer = union(a, b)
    np.testing.assert_array_equal(whole[slices(outer)][within(a, outer)], whole[slices(a)])
