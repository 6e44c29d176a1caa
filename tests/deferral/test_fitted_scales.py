from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from napari_deferredseg.deferral.model.scaling import Scaling, Temperature
from napari_deferredseg.deferral.training.scales import (
    VOXELS,
    fit_scaling,
    fit_temperature,
    sample_voxels,
    voxels_of_each,
)

N = 40_000


def drawn(logits, rng):
    """A class of each row, by the softmax of its logits."""
    edges = softmax(logits, axis=1).cumsum(axis=1)
    return (rng.random(len(logits))[:, None] > edges).sum(axis=1).clip(max=logits.shape[1] - 1)


@settings(deadline=None, max_examples=15)
@given(sharpness=st.floats(0.2, 4), growth=st.floats(0, 0.5), classes=st.integers(2, 5), seed=st.integers(0, 1000))
def test_finds_the_temperature_that_was_there(sharpness, growth, classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (N, classes))
    true = Temperature(sharpness=sharpness, growth=growth)(logits.T).T
    reference = drawn(true, rng)
    found = fit_temperature(zip(np.array_split(logits, 3), np.array_split(reference, 3), strict=True))
    margin = np.array([0.2, 1.0, 2.0])
    factors = found.sharpness + found.growth * margin
    np.testing.assert_allclose(factors, sharpness + growth * margin, rtol=0.12, atol=0.05)


@given(sharpness=st.floats(0.05, 10), growth=st.floats(0, 5), seed=st.integers(0, 1000))
def test_a_temperature_keeps_the_order_of_the_classes(sharpness, growth, seed):
    logits = np.random.default_rng(seed).normal(0, 3, (4, 50)).astype(np.float32)
    scaled = Temperature(sharpness=sharpness, growth=growth)(logits)
    assert np.array_equal(scaled.argsort(axis=0), logits.argsort(axis=0))


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(0.3, 3), seed=st.integers(0, 1000))
def test_scaling_the_logits_scales_the_temperature(scale, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2000, 3))
    reference = drawn(logits, rng)
    once, scaled = (fit_temperature([(logits * s, reference)]) for s in (1, scale))
    assert scaled.sharpness * scale == pytest.approx(once.sharpness, rel=0.02, abs=0.01)
    assert scaled.growth * scale**2 == pytest.approx(once.growth, rel=0.05, abs=0.01)


def test_no_voxels_leave_everything_as_it_is():
    assert fit_temperature([]) == Temperature(sharpness=1, growth=0)
    assert fit_temperature([(np.zeros((0, 2)), np.zeros(0))]) == Temperature()
    assert fit_scaling(np.zeros(0), np.zeros(0), np.zeros(0)) == Scaling()
    assert Scaling()(np.array([0.7]), np.array([0.3]))[0] == pytest.approx(expit(0.7))


@settings(deadline=None, max_examples=15)
@given(slope=st.floats(0.1, 3), offset=st.floats(-2, 2), in_doubt=st.floats(0.1, 3), seed=st.integers(0, 1000))
def test_finds_the_slope_and_offset_that_were_there(slope, offset, in_doubt, seed):
    rng = np.random.default_rng(seed)
    logits, doubt = rng.normal(0, 2, N), rng.random(N)
    true = Scaling(slope=slope, offset=offset, slope_in_doubt=in_doubt, offset_in_doubt=-offset)
    found = fit_scaling(logits, doubt, rng.random(N) < true(logits, doubt))
    x, d = np.meshgrid(np.linspace(-3, 3, 13), np.linspace(0, 1, 5))
    assert found(x, d) == pytest.approx(true(x, d), abs=0.05)


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-30, 30), min_size=1, max_size=60),
    draw=st.randoms(use_true_random=False),
)
def test_scaled_probabilities_have_the_mean_of_the_outcomes_and_their_order(logits, draw):
    x = np.array(logits)
    d = np.full(len(x), 0.5)
    right = np.array([draw.random() < 0.6 for _ in logits])
    found = fit_scaling(x, d, right)
    p = found(x, d)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    # The optimum's gradient in the offsets: the shrinkage pulls by no more than the offsets themselves.
    assert abs((p - right).sum()) == pytest.approx(abs(found.offset + found.offset_in_doubt), abs=0.05)
    assert (np.diff(p[np.argsort(x)]) >= 0).all()


def test_few_readings_move_the_scale_little_and_one_sided_ones_stay_finite():
    few = fit_scaling(np.array([2.0, 3.0]), np.zeros(2), np.array([True, True]))
    assert few.slope == pytest.approx(1, abs=0.3)
    many = fit_scaling(np.full(5000, 2.0), np.zeros(5000), np.ones(5000, np.bool_))
    assert 0.99 < many(np.array([2.0]), np.zeros(1))[0] < 1


@given(size=st.integers(0, 500), share=st.floats(0, 1), count=st.integers(1, 100), seed=st.integers(0, 99))
def test_sampled_voxels_are_of_the_mask_ascending_and_seeded(size, share, count, seed):
    where = np.random.default_rng(seed).random(size) < share
    found = sample_voxels(where, seed, count)
    assert len(found) == min(count, where.sum())
    assert where[found].all()
    assert (np.diff(found) > 0).all()
    assert np.array_equal(found, sample_voxels(where, seed, count))


@given(cases=st.integers(0, 100_000))
def test_all_cases_together_give_so_many_voxels_at_most(cases):
    assert cases * voxels_of_each(cases) <= VOXELS
