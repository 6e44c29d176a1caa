"""What is chosen on the validation cases before a test case is looked at: thresholds, best readers, prices."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.scoring.methods import HAIR, NEVER, Deferral, Method, ReaderTerms, ScoreMaps, highest
from napari_deferredseg.scoring.prices import even_prices
from napari_deferredseg.scoring.system import Scorer
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.budget import Mode, ShareUnit
    from napari_deferredseg.scoring.cases import JudgedCase

Key = tuple[str, float]

SCORES_PER_CASE = 200_000
REACH = 10  # of a case, scores are kept that make up this multiple of the largest budget
GAINS_PER_CASE = 5_000
GAINS = 20_000


@dataclass(frozen=True)
class Rules:
    """How much is deferred, and how the maps are made.

    Attributes
    ----------
    budgets : tuple of float
        Shares, 0 to 1, of all voxels ("voxels") or of those the AI gave a label ("predicted-foreground").
    mode : str
        "fixed_threshold": one threshold for all cases, under which the mean share of the validation cases is the
        budget. "per_volume_share": the budget is taken of every case alone.
    sigma_mm : float
        Smoothing of every score map and gain, mm.
    even : float
        Ratio of the largest to the smallest share that prices have to reach on the validation cases.
    tolerance_mm : float
        Of NSD, over 0.
    """

    budgets: tuple[float, ...]
    unit: ShareUnit
    mode: Mode
    sigma_mm: float
    seed: int
    even: float
    tolerance_mm: float = TOLERANCE_MM

    def maps(self, case: JudgedCase) -> ScoreMaps:
        """Score maps of a case."""
        return ScoreMaps(case, self.sigma_mm, self.seed)

    def whole(self, case: JudgedCase) -> int:
        """Voxels that a budget of this case is a share of."""
        return int(np.count_nonzero(case.labels)) if self.unit == "predicted-foreground" else case.labels.size


@dataclass(frozen=True)
class Settled:
    """What the validation cases gave, for each score map and budget."""

    rules: Rules
    patients: frozenset[str]
    thresholds: dict[Key, float] = field(default_factory=dict)
    choices: dict[Key, ReaderTerms] = field(default_factory=dict)

    def deferred(self, maps: ScoreMaps, where: str, budget: float) -> NDArray[np.intp]:
        """Flat indices, ascending, of the voxels of a case that a score map defers at a budget."""
        if where == "none" or budget <= 0:
            return np.zeros(0, np.intp)
        score = maps.where(where)
        if self.rules.mode == "per_volume_share":
            return highest(score, int(budget * self.rules.whole(maps.case) + 1e-6))
        return np.flatnonzero((score >= np.float32(self.thresholds[where, budget])) & (score > NEVER))


def settle(cases: Callable[[], Iterable[JudgedCase]], methods: Sequence[Method], rules: Rules) -> Settled:
    """Go twice over the validation cases: for the thresholds, then for the best readers and the prices.

    Raises
    ------
    InputError
        There is no validation case, or in none of them does the AI draw anything though the budget is a share of it.
    """
    maps = sorted({m.where for m in methods} - {"none"})
    patients, found = thresholds(cases, maps, rules)
    settled = Settled(rules, patients, found)
    used = {where: {m.who for m in methods if m.where == where} for where in maps}
    gathered = _Gathered(used)
    for case in cases():
        prepared, scorer = rules.maps(case), Scorer(case)
        for where in maps:
            for budget in rules.budgets:
                gathered.add(prepared, scorer, (where, budget), settled.deferred(prepared, where, budget))
    for key in ((where, budget) for where in maps for budget in rules.budgets):
        settled.choices[key] = gathered.choice(key, rules)
    return settled


def price_batch(cases: Callable[[], Iterable[JudgedCase]], methods: Sequence[Method], settled: Settled) -> None:
    """Set the batch prices of what was settled, from the gains of the cases that are to be judged."""
    rules = settled.rules
    keys = [(m.where, budget) for m in methods if m.who == "batch" for budget in rules.budgets]
    gains = {key: _Gains() for key in keys}
    for case in cases() if keys else ():
        maps = rules.maps(case)
        for key, found in gains.items():
            found.add(maps.bids, settled.deferred(maps, *key))
    for key, found in gains.items():
        prices = even_prices(found.drawn(rules.seed), ratio=rules.even)
        settled.choices[key] = replace(settled.choices[key], batch_prices=prices)


def thresholds(
    cases: Callable[[], Iterable[JudgedCase]], maps: Sequence[str], rules: Rules
) -> tuple[frozenset[str], dict[Key, float]]:
    """Patients of the cases, and the threshold of each score map and budget."""
    patients = set()
    kept: dict[str, list[tuple[NDArray[np.float32], float]]] = defaultdict(list)
    for case in cases():
        patients.add(case.patient)
        whole = rules.whole(case)
        if rules.mode == "fixed_threshold" and whole:
            prepared = rules.maps(case)
            rng = np.random.default_rng([rules.seed, len(patients)])
            for where in maps:
                kept[where].append(_sample(prepared.where(where), whole, max(rules.budgets), rng))
    if not patients:
        raise InputError("there is no validation case to choose thresholds, readers and prices on")
    if rules.mode == "fixed_threshold" and maps and not kept:
        raise InputError("the AI draws nothing in any validation case: give the budgets as a share of all voxels")
    return frozenset(patients), {
        (where, budget): _threshold(found, budget) for where, found in kept.items() for budget in rules.budgets
    }


def _sample(
    score: NDArray[np.float32], whole: int, budget: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Highest scores of a case, at random where they are many, and the share of the case that each stands for."""
    values = score[score > NEVER]
    reach = max(SCORES_PER_CASE, int(REACH * budget * whole))
    if len(values) > reach:
        values = np.partition(values, len(values) - reach)[len(values) - reach :]
    weight = 1 / whole
    if len(values) > SCORES_PER_CASE:
        weight *= len(values) / SCORES_PER_CASE
        values = rng.choice(values, SCORES_PER_CASE, replace=False)
    return values, weight


def _threshold(kept: Sequence[tuple[NDArray[np.float32], float]], budget: float) -> float:
    """Score from which on the mean share of the cases is nearest to the budget."""
    values = np.concatenate([v for v, _ in kept])
    if budget <= 0 or not len(values):
        return float("inf")
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    share = np.cumsum(np.concatenate([np.full(len(v), w / len(kept)) for v, w in kept])[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # equal scores come together or not at all
    at = int(np.abs(share[last] - budget).argmin())
    if share[last[at]] - budget > budget:
        return float("inf")
    return float(ranked[last[at]])


class _Gains:
    """Some of the gains at the deferred voxels of cases, as many of each case as it has a share of them."""

    def __init__(self) -> None:
        self._found: list[tuple[NDArray[np.float32], int]] = []

    def add(self, gain: NDArray[np.float32], index: NDArray[np.intp]) -> None:
        if index.size:
            step = -(-index.size // GAINS_PER_CASE)
            self._found.append((gain[:, index[::step]], index.size))
        elif not self._found:
            self._found.append((gain[:, :0], 0))

    def drawn(self, seed: int) -> NDArray[np.float32]:
        """Gains (K, n), n at most `GAINS`; (0, 0) where there was no case."""
        if not self._found:
            return np.zeros((0, 0), np.float32)
        gains = np.concatenate([g for g, _ in self._found], axis=1)
        weight = np.concatenate([np.full(g.shape[1], n / max(g.shape[1], 1)) for g, n in self._found])
        if gains.shape[1] > GAINS or (weight.size and np.ptp(weight) > 0):
            rng = np.random.default_rng(seed)
            gains = gains[:, np.sort(rng.choice(gains.shape[1], GAINS, p=weight / weight.sum()))]
        return gains


class _Gathered:
    """What the validation cases say of each reader and of the gains, for each score map and budget."""

    def __init__(self, used: dict[str, set[str]]) -> None:
        self._used = used
        self._readers = 0
        self._better: dict[Key, list[NDArray[np.float64]]] = defaultdict(list)
        self._gains: dict[Key, _Gains] = defaultdict(_Gains)

    def add(self, maps: ScoreMaps, scorer: Scorer, key: Key, index: NDArray[np.intp]) -> None:
        self._readers = len(maps.valid)
        if "best" in self._used[key[0]]:
            self._better[key].append(np.array([_improvement(maps, scorer, index, j) for j in range(self._readers)]))
        if "priced" in self._used[key[0]]:
            self._gains[key].add(maps.gain, index)

    def choice(self, key: Key, rules: Rules) -> ReaderTerms:
        order: tuple[int, ...] = ()
        if self._better[key]:
            table = np.array(self._better[key])
            read = ~np.isnan(table)
            mean = np.nan_to_num(table).sum(axis=0) / np.maximum(read.sum(axis=0), 1)
            ranked = np.argsort(-np.where(read.any(axis=0), mean, -np.inf), kind="stable")
            order = tuple(int(j) for j in ranked)
        return ReaderTerms(order, self._prices(key, rules))

    def _prices(self, key: Key, rules: Rules) -> NDArray[np.float64]:
        if key not in self._gains:
            return np.zeros(self._readers)
        gains = self._gains[key].drawn(rules.seed)
        rng = np.random.default_rng(rules.seed)
        # As in `ScoreMaps.bids`, but of its own at every voxel: prices shall not learn where these cases' pieces fell.
        hair = HAIR * rng.standard_normal(gains.shape, np.float32)
        return even_prices(gains + hair, ratio=rules.even)


def _improvement(maps: ScoreMaps, scorer: Scorer, index: NDArray[np.intp], reader: int) -> float:
    """Dice that a single reader adds to the AI's, nan where they do not answer."""
    own = index[maps.valid[reader, index]]
    if not own.size and not maps.valid[reader].any():
        return float("nan")
    return scorer.dice(Deferral(own, np.full(own.shape, reader, np.intp))) - scorer.dice_alone
