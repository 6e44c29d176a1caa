"""Fit what makes probabilities of what networks say, on data that they have not learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from napari_deferredseg.deferral.model.scaling import Scaling, Temperature, margin_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array

VOXELS_PER_CASE = 20_000
VOXELS = 2_000_000
SLOPE = (0.0, None)
SHARPNESS, GROWTH = (0.02, 20.0), (0.0, 20.0)


def fit_temperature(samples: Iterable[tuple[Array, Array]]) -> Temperature:
    """Temperature that makes a segmentor's logits most likely.

    Parameters
    ----------
    samples : iterable of (logits (n, classes), reference (n,))
        Voxels of cases the segmentor has not learned from.

    Returns
    -------
    Temperature
        One that leaves logits as they are where there are no voxels.
    """
    pairs = list(samples)
    if not pairs or not sum(len(r) for _, r in pairs):
        return Temperature()
    logits = np.concatenate([x for x, _ in pairs]).astype(np.float64)
    reference = np.concatenate([r for _, r in pairs]).astype(np.intp)
    margin = margin_of(logits.T)[:, np.newaxis]
    rows = np.arange(len(reference))
    own = logits[rows, reference]

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        factor = w[0] + w[1] * margin
        log_p = log_softmax(logits * factor, axis=1)
        by_factor = (np.exp(log_p) * logits).sum(axis=1) - own
        return float(-log_p[rows, reference].mean()), np.array([by_factor.mean(), (by_factor * margin[:, 0]).mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=(SHARPNESS, GROWTH), method="L-BFGS-B").x
    return Temperature(sharpness=float(found[0]), growth=float(found[1]))


def fit_scaling(logits: Array, doubt: Array, right: Array) -> Scaling:
    """Scale logits (n,), with the AI's doubt (n,) 0..1, towards `right` (n,) bool; few are left nearly as they are."""
    if not len(logits):
        return Scaling()
    x, d, u = (v.astype(np.float64) for v in (logits, doubt, right))
    sure = 1 - d
    terms, start = np.stack([sure * x, sure, d * x, d]), np.array([1.0, 0.0, 1.0, 0.0])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = w @ terms
        error = (expit(z) - u) / len(x)
        drift = (w - start) / len(x)
        value = float((np.logaddexp(0, z) - u * z).mean() + 0.5 * len(x) * drift @ drift)
        return value, terms @ error + drift

    found = minimize(loss, start, jac=True, bounds=2 * (SLOPE, (None, None)), method="L-BFGS-B").x.tolist()
    slope, offset, slope_in_doubt, offset_in_doubt = found
    return Scaling(slope=slope, offset=offset, slope_in_doubt=slope_in_doubt, offset_in_doubt=offset_in_doubt)


def voxels_of_each(cases: int) -> int:
    """How many voxels to take of each of so many cases: memory does not grow with their number."""
    return min(VOXELS_PER_CASE, VOXELS // max(cases, 1))


def sample_voxels(where: Array, seed: int, count: int = VOXELS_PER_CASE) -> NDArray[np.intp]:
    """Flat indexes of at most `count` voxels of a mask, drawn without replacement, ascending."""
    found = np.flatnonzero(where)
    if len(found) <= count:
        return found
    return np.sort(np.random.default_rng(seed).choice(found, count, replace=False))
