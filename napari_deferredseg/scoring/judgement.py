"""What an evaluation found: one row for each method, budget and case, and what follows from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_deferredseg.scoring.methods import AI_ALONE, BEST, ORACLE_READER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.scoring.methods import Method
    from napari_deferredseg.scoring.settle import Settled

RESAMPLES = 2000
LEVEL = 0.95
GROUP = "group:"
VOXELS = "voxels:"
SHARE = "share:"
DERIVED = ("over_best", "headroom", "remaining")
DEFINITIONS: dict[str, str] = {
    "Realised budget": (
        "mean over the cases of the share that was deferred; a case whose budget is a share of nothing is left out."
    ),
    "over_best": f"Dice less that of {BEST.name} at the same budget.",
    "headroom": (
        f"(system - {BEST.name}) / ({ORACLE_READER.name} - {BEST.name}), of mean Dice at the same budget. Undefined "
        "where the bound is no better."
    ),
    "remaining": "(1 - system) / (1 - AI alone), of mean Dice.",
    "Shares": "of all deferred voxels, by reader; max/min is that of the largest and the smallest share.",
    "Intervals": (
        f"{LEVEL:.0%} percentile bootstrap over patients, all cases of a patient together; the same resamples for all "
        "methods, so that differences are paired."
    ),
}


@dataclass(frozen=True)
class Judgement:
    """Figures of every method on the test cases.

    Attributes
    ----------
    table : DataFrame
        One row for each method, budget and case: `method`, `budget`, `case`, `patient`, `group:NAME`, `realised`
        (share), `deferred_voxels`, `voxels:READER`, and the figures of `system.Scorer.figures`.
    calibration : DataFrame
        `who` ("AI" or a reader), `probability` ("calibrated" or "raw"), `scope` ("all" or "band"), and figures.
    reliability : dict
        For each (who, probability, scope): mean probability, share of right voxels, voxels, (b, 3).
    doubt : dict
        For each of "entropy" and "router": share of voxels kept and error rate of the AI on them, (n, 2).
    aurc : dict
        Areas under these.
    error_rate : float
        Share of all voxels on which the AI is wrong.
    """

    experts: tuple[str, ...]
    methods: tuple[Method, ...]
    settled: Settled
    table: pd.DataFrame
    calibration: pd.DataFrame
    reliability: dict[tuple[str, str, str], NDArray[np.float64]]
    doubt: dict[str, NDArray[np.float64]]
    aurc: dict[str, float]
    error_rate: float

    @property
    def figures(self) -> tuple[str, ...]:
        """Columns of `table` that are averaged over cases."""
        fixed = ("method", "budget", "case", "patient", "deferred_voxels")
        return tuple(c for c in self.table.columns if c not in fixed and not c.startswith((GROUP, VOXELS)))

    def summary(self) -> pd.DataFrame:
        """One row for each method and budget: mean figures, `DERIVED` ones, `share:READER` and `max_min_share`."""
        return self._summary(self.table)

    def subgroups(self) -> pd.DataFrame:
        """Summary of each subgroup, in the further columns `group`, `value` and `cases`."""
        parts = []
        for column in (c for c in self.table.columns if c.startswith(GROUP)):
            for value, rows in self.table.groupby(column):
                part = self._summary(rows)
                part.insert(0, "cases", rows["case"].nunique())
                part.insert(0, "value", value)
                part.insert(0, "group", column.removeprefix(GROUP))
                parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def intervals(self, resamples: int = RESAMPLES, seed: int | None = None) -> pd.DataFrame:
        """Bootstrap intervals: `method`, `budget`, `figure`, `mean`, `low`, `high`, see `DEFINITIONS`.

        Parameters
        ----------
        resamples : int
            How many, at least 1000 for figures that are printed.
        seed : int, optional
            The evaluation's own by default.
        """
        patients, who = np.unique(self.table["patient"].to_numpy(), return_inverse=True)
        rng = np.random.default_rng(self.settled.rules.seed if seed is None else seed)
        n = len(patients)
        weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), resamples)])
        pairs = self._pairs()
        place = {pair: i for i, pair in enumerate(pairs)}
        column = np.array([place[p] for p in zip(self.table["method"], self.table["budget"], strict=True)])
        drawn = {f: _resampled(self.table[f].to_numpy(float), who, column, weights, len(pairs)) for f in self.figures}
        drawn |= self._derived(drawn["dice"], pairs)
        return pd.DataFrame(
            [
                {"method": method, "budget": budget, "figure": figure, **_interval(values[:, i])}
                for figure, values in drawn.items()
                for i, (method, budget) in enumerate(pairs)
            ]
        )

    def _pairs(self) -> list[tuple[str, float]]:
        return [(m.name, b) for b in self.settled.rules.budgets for m in self.methods]

    def _summary(self, table: pd.DataFrame) -> pd.DataFrame:
        grouped = table.groupby(["method", "budget"], sort=False)
        pairs = self._pairs()
        mean = grouped[list(self.figures)].mean().loc[pairs]
        for name, values in self._derived(mean["dice"].to_numpy()[None], pairs).items():
            mean[name] = values[0]
        given = grouped[[VOXELS + e for e in self.experts]].sum().loc[pairs].to_numpy(float)
        total = given.sum(axis=1, keepdims=True)
        shares = np.divide(given, total, out=np.full(given.shape, np.nan), where=total > 0)
        for j, name in enumerate(self.experts):
            mean[SHARE + name] = shares[:, j]
        least = shares.min(axis=1, initial=1)
        mean["max_min_share"] = np.divide(
            shares.max(axis=1, initial=0), least, out=np.where(np.isnan(least), np.nan, np.inf), where=least > 0
        )
        return mean.reset_index()

    def _derived(self, dice: NDArray[np.float64], pairs: Sequence[tuple[str, float]]) -> dict[str, NDArray[np.float64]]:
        """Figures (b, m) that compare methods at the same budget, of mean Dice (b, m)."""
        best, bound, alone = (self._reference(dice, pairs, m.name) for m in (BEST, ORACLE_READER, AI_ALONE))
        return {
            "over_best": dice - best,
            "headroom": _quotient(dice - best, bound - best),
            "remaining": _quotient(1 - dice, 1 - alone),
        }

    def _reference(
        self, dice: NDArray[np.float64], pairs: Sequence[tuple[str, float]], name: str
    ) -> NDArray[np.float64]:
        place = {pair: i for i, pair in enumerate(pairs)}
        if (name, pairs[0][1]) not in place:
            return np.full(dice.shape, np.nan)
        return dice[:, [place[name, budget] for _, budget in pairs]]


def across_seeds(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Mean and standard deviation over several trainings: `method`, `budget`, `figure`, `mean`, `sd`, `seeds`.

    The deviation is that of a sample, nan for a single one.
    """
    tables = [j.summary().set_index(["method", "budget"]) for j in judgements]
    names = [c for c in tables[0].columns if all(c in t for t in tables)]
    values = np.stack([t.loc[tables[0].index, names].to_numpy(float) for t in tables])
    finite = np.where(np.isfinite(values), values, np.nan)
    rows = []
    for i, (method, budget) in enumerate(tables[0].index):
        for j, name in enumerate(names):
            series = pd.Series(finite[:, i, j])
            found = {"mean": float(series.mean()), "sd": float(series.std()), "seeds": int(series.count())}
            rows.append({"method": method, "budget": budget, "figure": name, **found})
    return pd.DataFrame(rows)


def _resampled(
    values: NDArray[np.float64],
    patient: NDArray[np.intp],
    column: NDArray[np.intp],
    weights: NDArray[np.float64],
    columns: int,
) -> NDArray[np.float64]:
    """Means (b, columns) over cases, the cases of each patient weighted (b, patients); nan values are left out."""
    known = ~np.isnan(values)
    at = (patient[known], column[known])
    total, count = np.zeros((2, weights.shape[1], columns))
    np.add.at(total, at, values[known])
    np.add.at(count, at, 1)
    return _quotient(weights @ total, weights @ count)


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean of the cases as they are (first), and percentiles of the resampled ones (the rest)."""
    drawn = values[1:][np.isfinite(values[1:])]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail)) if drawn.size else (np.nan, np.nan)
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def _quotient(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, nan where the divisor is not clearly above 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 1e-9))
