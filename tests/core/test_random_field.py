"""Random fields that are normal at every voxel and smooth over a length in mm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.random_field import smooth_field

spacings = st.tuples(*[st.floats(0.4, 6.0)] * 3)
shapes = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=40, deadline=None)
@given(shapes, spacings, st.floats(0.5, 60.0), st.integers(0, 99))
def test_same_seed_same_field(shape, spacing, length, seed):
    a, b = (smooth_field(shape, spacing, length, np.random.default_rng(seed)) for _ in range(2))
    assert (a.shape, a.dtype) == (shape, np.float32)
    assert np.isfinite(a).all()
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("length", [0.6, 5.0, 24.0])
def test_every_voxel_is_normal(length):
    """Over many draws; the corners too, where a filter would have too little noise to draw on."""
    draws = np.stack([smooth_field((3, 7, 8), (4.0, 1.9, 1.1), length, np.random.default_rng(i)) for i in range(1500)])
    assert np.abs(draws.mean(axis=0)).max() < 0.15
    assert np.abs(draws.std(axis=0) - 1).max() < 0.12
    assert abs((draws < -1.2816).mean() - 0.1) < 0.01


@pytest.mark.parametrize(("axis", "step"), [(0, 3), (1, 6), (2, 10)])
def test_the_correlation_is_one_in_e_at_the_length(axis, step):
    spacing = (4.0, 2.0, 1.2)
    draws = np.stack([smooth_field((8, 12, 16), spacing, 12.0, np.random.default_rng(i)) for i in range(300)])
    near, far = (np.take(draws, range(a, a + 4), axis=axis + 1) for a in (0, step))
    assert abs((near * far).mean() - np.exp(-1)) < 0.08


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan")])
def test_a_length_that_is_none(length):
    with pytest.raises(ValueError, match="positive"):
        smooth_field((2, 2, 2), (1.0, 1.0, 1.0), length, np.random.default_rng(0))
