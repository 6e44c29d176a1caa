from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from napari_deferredseg.scoring.calibration import Doubt, Reliability, aurc, auroc, brier, ece, risk_coverage

SCORES = st.integers(2, 40).flatmap(
    lambda n: st.tuples(arrays(np.int64, n, elements=st.integers(0, 9)), arrays(np.bool_, n))
)


@given(SCORES)
def test_auroc_counts_pairs_and_half_of_the_ties(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    score, hit = drawn
    pairs = [(a > b) + 0.5 * (a == b) for a in score[hit] for b in score[~hit]]
    assert auroc(score, hit) == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)


@given(SCORES)
def test_risk_at_full_coverage_is_the_error_rate(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    coverage, risk = risk_coverage(*drawn)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(drawn[1].mean())
    assert 0 <= aurc(*drawn) <= 1


def test_risk_coverage_by_hand() -> None:
    coverage, risk = risk_coverage([0.1, 0.4, 0.2, 0.3], [False, True, True, False])
    assert coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc([0.1, 0.4, 0.2, 0.3], [False, True, True, False]) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_ece_and_brier_by_hand() -> None:
    p, right = [0.9] * 10 + [0.6] * 10, [True] * 9 + [False] + [True] * 3 + [False] * 7
    assert ece(p, right, bins=2) == pytest.approx(0.5 * 0 + 0.5 * 0.3)
    assert brier(p, right) == pytest.approx((9 * 0.01 + 0.81 + 3 * 0.16 + 7 * 0.36) / 20)


@given(st.permutations(range(20)))
def test_ece_does_not_depend_on_the_order(order: list[int]) -> None:
    p, right = np.repeat((0.25, 0.5), 10), np.tile((True, False), 10)
    assert ece(p[order], right[order]) == pytest.approx(ece(p, right)) == pytest.approx(0.125)


@given(st.integers(0, 1000), st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_streamed_figures_agree_with_the_exact_ones(seed: int, sharp: float) -> None:
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-sharp * rng.normal(1.5, 2, 20_000)))
    right = rng.random(p.shape) < p**1.5
    streamed = Reliability()
    for part in np.array_split(np.arange(p.size), 7):
        streamed.add(p[part].astype(np.float32), right[part])
    assert streamed.voxels == p.size
    assert streamed.groups.ece() == pytest.approx(ece(p, right), abs=2e-3)
    assert streamed.brier() == pytest.approx(brier(p, right), rel=1e-5)
    assert streamed.groups.auroc() == pytest.approx(auroc(p, right), abs=1e-3)


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_streamed_doubt_takes_scores_of_any_range(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    score = ((rng.normal(size=5_000) + shift) * scale).astype(np.float32)
    wrong = rng.random(score.shape) < 1 / (1 + np.exp(-(score / scale - shift)))
    doubt = Doubt()
    doubt.add(score[:2_000], wrong[:2_000])
    doubt.add(score[2_000:], wrong[2_000:])
    assert doubt.groups.aurc() == pytest.approx(aurc(score, wrong), abs=0.005)


def test_probabilities_of_zero_and_one_are_taken() -> None:
    streamed = Reliability()
    streamed.add(np.array([0.0, 1.0, 1.0]), np.array([False, True, True]))
    assert streamed.figures()["ece"] == 0
    assert streamed.figures()["auroc"] == 1


@given(SCORES)
def test_auroc_and_brier_agree_with_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    score, hit = drawn
    assert brier(score / 9, hit) == pytest.approx(brier_score_loss(hit, score / 9, pos_label=True))
    if hit.any() and not hit.all():
        assert auroc(score, hit) == pytest.approx(roc_auc_score(hit, score))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_bins_of_equal_mass_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.permutation(np.arange(600) + 0.5) / 600
    right = rng.random(600) < p
    share, mean = calibration_curve(right, p, n_bins=15, strategy="quantile")
    assert ece(p, right, bins=15) == pytest.approx(float(np.abs(share - mean).mean()))


@given(SCORES)
@settings(deadline=None, max_examples=30)
def test_ece_of_one_bin_agrees_with_torchmetrics(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    score, hit = drawn
    expected = binary_calibration_error(torch.tensor(score / 10), torch.tensor(hit.astype(int)), n_bins=1)
    assert ece(score / 10, hit, bins=1) == pytest.approx(float(expected), abs=1e-6)
