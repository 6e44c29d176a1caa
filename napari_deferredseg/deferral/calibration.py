"""From what networks say to probabilities that can be believed, fitted on data they have not learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logsumexp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array

VOXELS_PER_CASE = 20_000
VOXELS = 2_000_000
TEMPERATURES = (0.05, 20.0)


class Scaling(BaseModel):
    """Platt scaling of a logit: sigmoid(slope * logit + offset)."""

    model_config = ConfigDict(frozen=True)

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, logits: Array) -> NDArray[np.float32]:
        """Calibrated probabilities of logits of any shape."""
        return np.asarray(expit(self.slope * logits.astype(np.float32) + self.offset), np.float32)


def fit_temperature(samples: Iterable[tuple[Array, Array]]) -> float:
    """Temperature that makes a segmentor's logits most likely (Guo et al. 2017, On calibration of neural networks).

    Parameters
    ----------
    samples : iterable of (logits (n, classes), reference (n,))
        Voxels of cases the segmentor has not learned from.

    Returns
    -------
    float
        Divide logits by it; 1 where there are no voxels.
    """
    pairs = list(samples)
    if not pairs or not sum(len(r) for _, r in pairs):
        return 1.0
    logits = np.concatenate([x for x, _ in pairs]).astype(np.float64)
    reference = np.concatenate([r for _, r in pairs]).astype(np.intp)
    rows = np.arange(len(reference))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, reference].mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def fit_scaling(logits: Array, right: Array) -> Scaling:
    """Platt scaling (Platt 1999) of logits (n,) towards `right` (n,) bool; shrunk towards leaving them as they are."""
    if not len(logits):
        return Scaling()
    x, u = logits.astype(np.float64), right.astype(np.float64)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = w[0] * x + w[1]
        error = (expit(z) - u) / len(x)
        drift = np.array([w[0] - 1.0, w[1]]) / len(x)
        value = float((logsumexp([np.zeros_like(z), z], axis=0) - u * z).mean() + 0.5 * len(x) * drift @ drift)
        return value, np.array([error @ x, error.sum()]) + drift

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return Scaling(slope=float(slope), offset=float(offset))


def voxels_of_each(cases: int) -> int:
    """How many voxels to take of each of so many cases: memory does not grow with their number."""
    return min(VOXELS_PER_CASE, VOXELS // max(cases, 1))


def sample_voxels(where: Array, seed: int, count: int = VOXELS_PER_CASE) -> NDArray[np.intp]:
    """Flat indexes of at most `count` voxels of a mask, drawn without replacement, ascending."""
    found = np.flatnonzero(where)
    if len(found) <= count:
        return found
    return np.sort(np.random.default_rng(seed).choice(found, count, replace=False))
