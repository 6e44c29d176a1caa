"""One evaluation: settle on the validation cases, then judge every method on the test cases."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.scoring.calibration import BAND, Doubt, Reliability
from napari_deferredseg.scoring.judgement import GROUP, VOXELS, Judgement
from napari_deferredseg.scoring.methods import METHODS, ReaderTerms
from napari_deferredseg.scoring.prices import EVEN
from napari_deferredseg.scoring.settle import Rules, price_batch, settle
from napari_deferredseg.scoring.system import Scorer
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM, require_tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_deferredseg.core.budget import Mode, ShareUnit
    from napari_deferredseg.scoring.cases import JudgedCase
    from napari_deferredseg.scoring.methods import Method
    from napari_deferredseg.scoring.settle import Settled

CURVE_POINTS = 400
_NOBODY = ReaderTerms((), np.zeros(0))


def judge(
    validation: Callable[[], Iterable[JudgedCase]],
    test: Callable[[], Iterable[JudgedCase]],
    *,
    experts: Sequence[str],
    budgets: Sequence[float],
    unit: ShareUnit = "voxels",
    mode: Mode = "fixed_threshold",
    sigma_mm: float = 0.0,
    seed: int = 0,
    even: float = EVEN,
    tolerance_mm: float = TOLERANCE_MM,
    methods: Sequence[Method] = METHODS,
) -> Judgement:
    """Judge every method at every budget.

    The cases are gone through one at a time, both parts twice.

    Parameters
    ----------
    validation, test : callable that returns an iterable of JudgedCase
        Called anew for each pass.
    experts : sequence of str
        Names of the K readers.
    budgets : sequence of float
        Shares, 0 to 1, in this `unit`.
    unit : str
        "voxels": of all; "predicted-foreground": of those the AI gave a label.
    mode : str
        "fixed_threshold" or "per_volume_share", see `Rules`.
    sigma_mm : float
        Smoothing of every score map and gain, mm.
    seed : int
        Of whatever is random.
    even : float
        Ratio of the largest to the smallest share that prices reach on the validation cases.
    tolerance_mm : float
        Of NSD, over 0.

    Returns
    -------
    Judgement

    Raises
    ------
    InputError
        A part has no cases, a patient is in both parts, a case has another number of readers, a budget is no share,
        or the tolerance none.
    """
    require_tolerance(tolerance_mm)
    if not budgets or not all(0 <= b <= 1 for b in budgets):
        raise InputError(f"budgets {list(budgets)} must be shares from 0 to 1, at least one")
    names = tuple(experts)
    rules = Rules(tuple(dict.fromkeys(float(b) for b in budgets)), unit, mode, sigma_mm, seed, even, tolerance_mm)
    settled = settle(lambda: _checked(validation(), names), methods, rules)
    price_batch(lambda: _checked(test(), names), methods, settled)
    rows: list[dict[str, Any]] = []
    trust = _Trust(names)
    for case in _checked(test(), names):
        if case.patient in settled.patients:
            raise InputError(f"patient {case.patient} is in the validation and the test cases: split by patient")
        rows.extend(_rows(case, settled, methods, names))
        trust.add(case)
    if not rows:
        raise InputError("there is no test case to judge")
    return Judgement(
        experts=names,
        methods=tuple(methods),
        settled=settled,
        table=pd.DataFrame(rows),
        calibration=trust.table(),
        reliability={key: r.groups.reliability() for key, r in trust.reliability.items()},
        doubt={name: _thinned(d) for name, d in trust.doubt.items()},
        aurc={name: d.groups.aurc() for name, d in trust.doubt.items()},
        error_rate=trust.error_rate(),
    )


def _checked(cases: Iterable[JudgedCase], experts: tuple[str, ...]) -> Iterator[JudgedCase]:
    for case in cases:
        if len(case.experts) != len(experts):
            raise InputError(f"case {case.key} has {len(case.experts)} readers, not {len(experts)}: {experts}")
        yield case


def _rows(
    case: JudgedCase, settled: Settled, methods: Sequence[Method], experts: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    maps, scorer = settled.rules.maps(case), Scorer(case, settled.rules.tolerance_mm)
    whole = settled.rules.whole(case)
    about = {"case": case.key, "patient": case.patient} | {GROUP + k: v for k, v in case.groups.items()}
    for budget in settled.rules.budgets:
        index = {where: settled.deferred(maps, where, budget) for where in dict.fromkeys(m.where for m in methods)}
        for method in methods:
            choice = settled.choices.get((method.where, budget), _NOBODY)
            deferral = maps.deferral(method.who, index[method.where], choice)
            given = np.bincount(deferral.reader, minlength=len(experts)).tolist()
            yield {
                "method": method.name,
                "budget": budget,
                **about,
                "realised": deferral.index.size / whole if whole else float("nan"),
                "deferred_voxels": deferral.index.size,
                **{VOXELS + name: n for name, n in zip(experts, given, strict=True)},
                **scorer.figures(deferral),
            }


class _Trust:
    """Calibration and doubt over the test cases."""

    def __init__(self, experts: tuple[str, ...]) -> None:
        self.experts = experts
        self.reliability: dict[tuple[str, str, str], Reliability] = defaultdict(Reliability)
        self.doubt = {"entropy": Doubt(), "router": Doubt()}

    def add(self, case: JudgedCase) -> None:
        right = case.labels == case.truth
        confidence = case.confidence(case.probability)
        band = (confidence >= BAND[0]) & (confidence <= BAND[1])
        self._add("AI", "calibrated", confidence, right, band, np.ones_like(band))
        if case.raw_probability is not None:
            self._add("AI", "raw", case.confidence(case.raw_probability), right, band, np.ones_like(band))
        found = case.expert_right()
        for j, name in enumerate(self.experts):
            self._add(name, "calibrated", case.right[j], found[j], band, case.valid[j])
        self.doubt["entropy"].add(case.entropy, ~right)
        self.doubt["router"].add(case.defer, ~right)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"who": who, "probability": probability, "scope": scope, **found.figures()}
                for (who, probability, scope), found in self.reliability.items()
            ]
        )

    def error_rate(self) -> float:
        counted = self.doubt["entropy"].groups
        return float(counted.hits.sum() / counted.count.sum())

    def _add(
        self,
        who: str,
        kind: str,
        probability: NDArray[np.float32],
        right: NDArray[np.bool_],
        band: NDArray[np.bool_],
        known: NDArray[np.bool_],
    ) -> None:
        self.reliability[who, kind, "all"].add(probability[known], right[known])
        self.reliability[who, kind, "band"].add(probability[known & band], right[known & band])


def _thinned(doubt: Doubt) -> NDArray[np.float64]:
    """Risk-coverage curve (n, 2) with few points, close together where little is given up."""
    coverage, risk = doubt.groups.risk_coverage()
    wanted = 1 - np.append(np.geomspace(1, 1e-5, CURVE_POINTS), 0)
    at = np.unique(np.clip(np.searchsorted(coverage, wanted), 0, len(coverage) - 1))
    return np.stack([coverage[at], risk[at]], axis=1)
