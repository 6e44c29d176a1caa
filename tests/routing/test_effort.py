from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.routing.effort import SECONDS_PER_VISIT, estimated_minutes, outline_mm

masks = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)))


def test_outline_of_a_disc():
    y, x = np.ogrid[-40:41, -40:41]
    disc = (np.hypot(y, x) < 30)[None]
    assert outline_mm(disc, (5.0, 0.5, 0.5)) == pytest.approx(2 * np.pi * 15, rel=0.05)
    assert outline_mm(np.repeat(disc, 3, axis=0), (5.0, 0.5, 0.5)) == pytest.approx(3 * 2 * np.pi * 15, rel=0.05)


def grid(sz, sy, sx, slices=40):
    return Geometry(shape=(slices, 9, 9), spacing=(sx, sy, sz))


@given(masks)
def test_more_slices_and_a_coarser_grid_take_longer(mask):
    once = estimated_minutes(mask, grid(2.0, 1.0, 1.0))
    assert once >= SECONDS_PER_VISIT / 60
    twice = estimated_minutes(np.concatenate([mask, mask]), grid(2.0, 1.0, 1.0))
    larger = estimated_minutes(mask, grid(2.0, 3.0, 3.0))
    if mask.any():
        assert twice > once
        assert larger > once
    else:
        assert twice == larger == once


@given(masks, st.integers(1, 5))
def test_the_same_thing_stored_in_thinner_slices_takes_as_long(mask, times):
    thick = estimated_minutes(mask, grid(5.0, 1.0, 1.0))
    thin = estimated_minutes(np.repeat(mask, times, axis=0), grid(5.0 / times, 1.0, 1.0))
    assert thin == pytest.approx(thick)


def test_a_picture_is_read_by_its_outline():
    square = np.ones((1, 4, 4), bool)
    minutes = estimated_minutes(square, grid(1.0, 10.0, 10.0, slices=1))
    assert minutes == pytest.approx((27.5 + np.pi / 4 * 16) / 60)


@given(masks, st.integers(0, 3))
def test_empty_space_around_a_region_costs_nothing(mask, width):
    padded = np.pad(mask, width)
    assert estimated_minutes(padded, grid(1, 1, 1)) == pytest.approx(estimated_minutes(mask, grid(1, 1, 1)))
