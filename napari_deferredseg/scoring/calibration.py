"""Whether probabilities mean what they say, and whether doubt is where the errors are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS = 15
BAND = (0.02, 0.98)
DEFINITIONS: dict[str, str] = {
    "ECE": f"{BINS} bins of equal mass; values that are equal stay in one bin.",
    "Band": (
        f"voxels where the AI's calibrated probability of its own label lies in {BAND[0]} to {BAND[1]}: elsewhere "
        "everybody looks calibrated."
    ),
    "AUROC": "how well the probability of being right tells right from wrong voxels; ties count one half.",
    "AURC": "area under the voxel error rate of what is kept, over the share that is kept. Lower is better.",
}

_FINE = 6000
_LOGIT = 15.0  # probabilities are told apart up to 1 - 3e-7


@dataclass(frozen=True)
class Groups:
    """Voxels by rising score; the voxels of a group count as equal.

    Attributes
    ----------
    count, hits : (n,) float64
        Voxels of each group, and those with the outcome.
    score : (n,) float64
        Sum of the group's scores.
    """

    count: NDArray[np.float64]
    hits: NDArray[np.float64]
    score: NDArray[np.float64]

    def ece(self, bins: int = BINS) -> float:
        """Expected calibration error; nan without voxels."""
        table = self.reliability(bins)
        if not len(table):
            return float("nan")
        return float((table[:, 2] * np.abs(table[:, 0] - table[:, 1])).sum() / table[:, 2].sum())

    def reliability(self, bins: int = BINS) -> NDArray[np.float64]:
        """Mean probability, share of hits and voxels (b, 3) of at most `bins` bins of about equal mass."""
        total = self.count.sum()
        if total == 0:
            return np.zeros((0, 3))
        middle = (np.cumsum(self.count) - self.count / 2) / total
        number = np.minimum((middle * bins).astype(np.intp), bins - 1)
        sums = np.stack([np.bincount(number, v, bins) for v in (self.score, self.hits, self.count)], axis=1)
        score, hits, count = sums[sums[:, 2] > 0].T
        return np.stack([score / count, hits / count, count], axis=1)

    def auroc(self) -> float:
        """Probability that a hit scores higher than a miss, ties one half; nan when one of both is missing."""
        misses = self.count - self.hits
        pairs = self.hits.sum() * misses.sum()
        if pairs == 0:
            return float("nan")
        lower = np.cumsum(misses) - misses
        return float((self.hits * (lower + misses / 2)).sum() / pairs)

    def risk_coverage(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share kept and share of hits among the kept, (n,) each, keeping the lowest scores first."""
        used = self.count > 0
        kept: NDArray[np.float64] = np.cumsum(self.count[used])
        return kept / max(kept[-1] if kept.size else 0, 1), np.cumsum(self.hits[used]) / kept

    def aurc(self) -> float:
        """Area under the risk-coverage curve; nan without voxels."""
        coverage, risk = self.risk_coverage()
        return float((np.diff(coverage, prepend=0) * risk).sum()) if coverage.size else float("nan")


def ece(probability: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error of probabilities (n,) for outcomes (n,) bool, see `DEFINITIONS`."""
    return _groups(probability, right).ece(bins)


def brier(probability: ArrayLike, right: ArrayLike) -> float:
    """Mean squared difference of probabilities (n,) and outcomes (n,) bool; nan without any."""
    p = np.asarray(probability, np.float64).ravel()
    return float(((p - np.asarray(right).ravel()) ** 2).mean()) if p.size else float("nan")


def auroc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve of scores (n,) for outcomes (n,) bool; ties one half, nan when one class is missing."""
    return _groups(score, positive).auroc()


def risk_coverage(uncertainty: ArrayLike, wrong: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share kept and error rate of what is kept, by rising uncertainty (n,); one point for each distinct value."""
    return _groups(uncertainty, wrong).risk_coverage()


def aurc(uncertainty: ArrayLike, wrong: ArrayLike) -> float:
    """Area under the risk-coverage curve of uncertainties (n,) for errors (n,) bool."""
    return _groups(uncertainty, wrong).aurc()


def _groups(score: ArrayLike, hit: ArrayLike) -> Groups:
    values, number, count = np.unique(np.asarray(score, np.float64).ravel(), return_inverse=True, return_counts=True)
    hits = np.bincount(number, np.asarray(hit, np.float64).ravel(), len(values)).astype(np.float64)
    return Groups(count.astype(np.float64), hits, values * count)


@dataclass
class Reliability:
    """Probabilities and outcomes of many cases in fixed fine bins, even in log odds: memory does not grow.

    What falls into one of the fine bins counts as equal. Means are exact.
    """

    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, _FINE)))
    _squares: float = 0.0

    def add(self, probability: NDArray[Any], right: NDArray[np.bool_]) -> None:
        """Add voxels: probabilities (n,) 0 to 1, outcomes (n,) bool."""
        p = np.asarray(probability, np.float64).ravel()
        hit = np.asarray(right, np.float64).ravel()
        clipped = np.clip(p, 1e-12, 1 - 1e-12)
        place = (np.log(clipped / (1 - clipped)) / _LOGIT + 1) / 2 * _FINE
        number = np.clip(place, 0, _FINE - 1).astype(np.intp)
        for row, weights in zip(self._sums, (None, hit, p), strict=True):
            row += np.bincount(number, weights, _FINE)
        self._squares += float(((p - hit) ** 2).sum())

    @property
    def groups(self) -> Groups:
        """What was added."""
        count, hits, score = self._sums
        return Groups(count, hits, score)

    @property
    def voxels(self) -> int:
        """How many were added."""
        return int(self._sums[0].sum())

    def brier(self) -> float:
        """Mean squared difference of probability and outcome; nan without voxels."""
        return self._squares / self.voxels if self.voxels else float("nan")

    def figures(self) -> dict[str, float]:
        """Voxels, accuracy, mean probability, ECE, Brier score and AUROC."""
        n = max(self.voxels, 1)
        return {
            "voxels": self.voxels,
            "accuracy": float(self._sums[1].sum() / n) if self.voxels else float("nan"),
            "mean_probability": float(self._sums[2].sum() / n) if self.voxels else float("nan"),
            "ece": self.groups.ece(),
            "brier": self.brier(),
            "auroc": self.groups.auroc(),
        }


@dataclass
class Doubt:
    """Scores of any range and errors of many cases, in fixed bins: memory does not grow.

    Scores that agree in sign, exponent and seven further bits of their float32 count as equal.
    """

    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 1 << 16)))

    def add(self, score: NDArray[np.float32], wrong: NDArray[np.bool_]) -> None:
        """Add voxels: scores (n,), higher where there is more doubt, and errors (n,) bool."""
        bits = np.ascontiguousarray(score, np.float32).ravel().view(np.uint32)
        ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)) >> 16
        number = ordered.astype(np.intp)
        self._sums[0] += np.bincount(number, minlength=1 << 16)
        self._sums[1] += np.bincount(number, np.asarray(wrong, np.float64).ravel(), 1 << 16)

    @property
    def groups(self) -> Groups:
        """What was added; the sums of scores are not known."""
        count, hits = self._sums
        return Groups(count, hits, np.full_like(count, np.nan))
