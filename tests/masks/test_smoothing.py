from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_deferredseg.masks.smoothing import smooth


@st.composite
def sparse_maps(draw):
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 40), st.integers(1, 40)))
    a = np.zeros(shape, np.float32)
    for _ in range(draw(st.integers(0, 4))):
        index = tuple(draw(st.integers(0, n - 1)) for n in shape)
        a[tuple(slice(i, i + draw(st.integers(1, 4))) for i in index)] = draw(st.floats(0, 1, width=32))
    return a


spacings = st.tuples(st.sampled_from([1.0, 5.0]), st.sampled_from([0.5, 1.0]), st.sampled_from([0.5, 0.9]))


@settings(max_examples=60, deadline=None)
@given(sparse_maps(), spacings, st.sampled_from([1.0, 2.5]))
def test_the_same_as_smoothing_the_whole_volume(a, spacing, sigma):
    voxels = [sigma / s if n > 1 else 0 for s, n in zip(spacing, a.shape, strict=True)]
    whole = ndimage.gaussian_filter(a, voxels, truncate=3)
    np.testing.assert_allclose(smooth(a, spacing, sigma), whole, atol=2e-5)
    np.testing.assert_allclose(smooth(-a, spacing, sigma), -whole, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(sparse_maps(), spacings, st.floats(0, 4))
def test_total_and_range_are_kept_and_the_input_is_left_alone(a, spacing, sigma):
    before = a.copy()
    b = smooth(a, spacing, sigma)
    assert b.dtype == np.float32
    assert b.min() >= 0
    assert b.max() <= a.max() + 1e-5
    assert b.sum(dtype=float) == pytest.approx(a.sum(dtype=float), rel=1e-4, abs=1e-4)
    np.testing.assert_array_equal(a, before)


@given(hnp.arrays(np.float32, (3, 6, 5), elements=st.floats(0, 1, width=32)))
def test_no_sigma_changes_nothing(a):
    b = smooth(a, (5, 1, 1), 0)
    np.testing.assert_array_equal(a, b)
    assert not np.shares_memory(a, b)


def test_a_point_spreads_as_far_in_millimetres_along_every_axis():
    a = np.zeros((21, 41, 81), np.float32)
    a[10, 20, 40] = 1
    b = smooth(a, (2.0, 1.0, 0.5), 4.0)
    assert b[10 + 2, 20, 40] == pytest.approx(b[10, 20 + 4, 40], rel=0.02)
    assert b[10, 20 + 4, 40] == pytest.approx(b[10, 20, 40 + 8], rel=0.02)


def test_thick_slices_do_not_bleed_into_each_other():
    a = np.zeros((3, 20, 20), np.float32)
    a[1, 8:12, 8:12] = 1
    b = smooth(a, (5.0, 0.5, 0.5), 0.9)
    assert not b[[0, 2]].any()
    assert b[1, 10, 13] > 0


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_refuses_a_sigma_that_is_no_length(sigma):
    with pytest.raises(ValueError, match="sigma"):
        smooth(np.zeros((1, 2, 2), np.float32), (1, 1, 1), sigma)
