from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_deferredseg.routing.effort import SECONDS_PER_REGION, estimated_minutes, outline_mm

masks = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)))


def test_outline_of_a_disc():
    y, x = np.ogrid[-40:41, -40:41]
    disc = (np.hypot(y, x) < 30)[None]
    assert outline_mm(disc, (5.0, 0.5, 0.5)) == pytest.approx(2 * np.pi * 15, rel=0.05)
    assert outline_mm(np.repeat(disc, 3, axis=0), (5.0, 0.5, 0.5)) == pytest.approx(3 * 2 * np.pi * 15, rel=0.05)


@given(masks)
def test_more_slices_and_a_coarser_grid_take_longer(mask):
    spacing = (2.0, 1.0, 1.0)
    once = estimated_minutes(mask, spacing)
    assert once >= SECONDS_PER_REGION / 60
    twice = estimated_minutes(np.concatenate([mask, mask]), spacing)
    larger = estimated_minutes(mask, (2.0, 3.0, 3.0))
    if mask.any():
        assert twice > once
        assert larger > once
    else:
        assert twice == larger == once


@given(masks, st.integers(0, 3))
def test_empty_space_around_a_region_costs_nothing(mask, width):
    padded = np.pad(mask, width)
    assert estimated_minutes(padded, (1, 1, 1)) == pytest.approx(estimated_minutes(mask, (1, 1, 1)))
