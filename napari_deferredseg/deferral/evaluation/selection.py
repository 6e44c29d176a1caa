"""Choose on validation data what of the learned maps is used; never what validation shows to be worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.evaluation.judging import judged_cases, keep_maps
from napari_deferredseg.deferral.model.policy import BudgetPolicy, Policy, Trial
from napari_deferredseg.scoring.methods import BEST, Method, ReaderTerms
from napari_deferredseg.scoring.settle import Rules, Settled, settle, thresholds
from napari_deferredseg.scoring.system import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.train_settings import PolicyConfig
    from napari_deferredseg.deferral.model.model import DeferralModel

WEIGHTS = (0.25, 0.5, 0.75, 1.0)
WHO = Method("who", "entropy", "gain", "Entropy; the largest gain.")
BOTH = Method("both", "router", "gain", "The learned where; the largest gain.")
NOBODY = ReaderTerms((), np.zeros(0))
PRICED = Method("priced", "router", "priced", "The learned where; the largest gain less the price.")


def choose_policy(
    model: DeferralModel, validation: Sequence[PreparedCase], device: torch.device, progress: Progress = silent
) -> Policy:
    """Choose the mixture by system Dice over the configured budgets.

    First how far the learned "who" may move from the best single reader, on entropy's "where"; then how far the learned
    "where" may move from entropy. A candidate has to beat what it replaces by its standard error (over patients).
    """
    config = model.spec.config.policy
    keep_maps(model, validation, device, lambda s, d: progress(s * 0.5, d))
    rules = Rules(
        config.budgets, config.unit, "fixed_threshold", config.smoothing_mm, model.spec.seed, config.share_ratio
    )
    search = _Search(validation, rules)
    unlearned = Policy(record=(0.0,) * len(model.spec.experts))
    settled = settle(lambda: judged_cases(validation, unlearned), [BEST], rules)
    baseline = search.dice(unlearned, BEST, settled)
    progress(0.6, "choosing whom to ask")
    start = Policy(record=search.record(settled, len(model.spec.experts)))
    if model.router is None:  # a joint model is judged as it is
        chosen = Policy(where="aggregated", where_weight=1.0, who="shares", who_weight=1.0, record=start.record)
    else:
        chosen = search.best(start, baseline, WHO, "who", ("competence", "shares"), settled)
        progress(0.8, "choosing where to ask")
        present = baseline if chosen.who_weight == 0 else search.dice(chosen, WHO, settled)
        chosen = search.best(chosen, present, BOTH, "where", ("gain", "aggregated"), settled)
    progress(0.95, "fixing thresholds and prices")
    return chosen.model_copy(
        update={
            "budgets": _budgets(search.settled(chosen), settled, config, model.spec.experts),
            "trials": tuple(search.trials),
        }
    )


class _Search:
    """Tries policies on the validation cases."""

    def __init__(self, cases: Sequence[PreparedCase], rules: Rules) -> None:
        self.cases, self.rules = cases, rules
        self.trials: list[Trial] = []

    def dice(self, policy: Policy, method: Method, settled: Settled) -> NDArray[np.float64]:
        """System Dice of each case, mean over the budgets."""
        found = []
        for case in judged_cases(self.cases, policy):
            maps, scorer = self.rules.maps(case), Scorer(case)
            system = []
            for budget in self.rules.budgets:
                index = settled.deferred(maps, method.where, budget)
                choice = settled.choices.get((method.where, budget), NOBODY)
                system.append(scorer.dice(maps.deferral(method.who, index, choice)))
            found.append(np.mean(system))
        return np.array(found)

    def cut(self, policy: Policy) -> Settled:
        """Thresholds of a policy's own deferral map."""
        patients, found = thresholds(lambda: judged_cases(self.cases, policy), ["router"], self.rules)
        return Settled(self.rules, patients, found)

    def best(
        self,
        start: Policy,
        present: NDArray[np.float64],
        method: Method,
        part: str,
        sources: Sequence[str],
        entropy: Settled,
    ) -> Policy:
        """Best policy among those that differ from `start` in one part, or `start` itself."""
        tried = []
        for source in sources:
            for weight in WEIGHTS:
                policy = start.model_copy(update={part: source, f"{part}_weight": weight})
                dice = self.dice(policy, method, entropy if method.where == "entropy" else self.cut(policy))
                difference = self._by_patient(dice - present)
                error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.inf
                trial = Trial(
                    name=f"{part}: {source} {weight:g}", difference=float(difference.mean()), standard_error=error
                )
                self.trials.append(trial)
                tried.append((policy, trial))
        policy, trial = max(tried, key=lambda x: x[1].difference)
        return policy if trial.difference > trial.standard_error else start

    def record(self, settled: Settled, experts: int) -> tuple[float, ...]:
        """Share of right answers of each expert where entropy defers; the best single reader has the largest."""
        right, count = np.zeros(experts), np.zeros(experts)
        for case in judged_cases(self.cases, Policy(record=(0.0,) * experts)):
            maps = self.rules.maps(case)
            for budget in self.rules.budgets:
                index = settled.deferred(maps, "entropy", budget)
                right += maps.right[:, index].sum(axis=1)
                count += maps.valid[:, index].sum(axis=1)
        record = (right + 1) / (count + 2)
        middle = self.rules.budgets[len(self.rules.budgets) // 2]
        best = settled.choices["entropy", middle].order[0]
        record[best] = max(record[best], np.delete(record, best).max(initial=0) + 1e-4)
        return tuple(float(r) for r in record)

    def settled(self, policy: Policy) -> Settled:
        """Thresholds and prices of a policy."""
        return settle(lambda: judged_cases(self.cases, policy), [PRICED], self.rules)

    def _by_patient(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        patients = np.array([case.patient for case in self.cases])
        return np.array([values[patients == p].mean() for p in np.unique(patients)])


def _budgets(
    settled: Settled, baseline: Settled, config: PolicyConfig, experts: Sequence[str]
) -> tuple[BudgetPolicy, ...]:
    return tuple(
        BudgetPolicy(
            budget=b,
            threshold=settled.thresholds["router", b],
            prices=tuple(float(p) for p in settled.choices["router", b].prices),
            best=experts[baseline.choices["entropy", b].order[0]],
        )
        for b in config.budgets
    )
