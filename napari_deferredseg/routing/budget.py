"""What a budget comes to in a volume."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.budget import SHARES
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.budget import Budget, Unit
    from napari_deferredseg.core.prediction import OverThreshold, Prediction


def most_voxels(prediction: Prediction, budget: Budget) -> int | None:
    """Voxels that a budget lets be chosen; None where it does not count voxels.

    Raises
    ------
    InputError
        As `lowest_threshold`; or the budget is a share of the predicted foreground and the AI's mask is empty.
    """
    if budget.unit not in SHARES:
        return None
    if budget.mode == "fixed_threshold":
        return round(max(x.share for x in _up_to(prediction, budget)) * prediction.labels.size)
    voxels = whole(prediction, budget.unit)
    if voxels == 0 and prediction.defer.any():
        raise InputError("the AI's mask is empty: give the budget in regions, minutes or as a share of voxels")
    return int(budget.amount * voxels + 1e-6)


def lowest_threshold(prediction: Prediction, budget: Budget) -> float:
    """Threshold that a model fixed for a budget on its validation cases; infinite where none is asked for.

    Raises
    ------
    InputError
        It fixed nothing for this budget.
    """
    if budget.mode != "fixed_threshold":
        return math.inf
    return min(x.threshold for x in _up_to(prediction, budget))


def _up_to(prediction: Prediction, budget: Budget) -> list[OverThreshold]:
    """What a model fixed for a budget and for smaller ones: a larger budget never sends less than they do."""
    known = [(x.budget, x.unit) for x in prediction.over_thresholds]
    own = prediction.over_thresholds[number_of(budget, known)]
    return [x for x in prediction.over_thresholds if x.unit == own.unit and x.budget <= own.budget]


def number_of(budget: Budget, fixed: Sequence[tuple[float, str]]) -> int:
    """Which of the shares, with their units, that a model fixed a threshold for a budget means.

    Raises
    ------
    InputError
        None of them.
    """
    for number, (amount, unit) in enumerate(fixed):
        if unit == budget.unit and math.isclose(amount, budget.amount):
            return number
    known = ", ".join(f"{amount * 100:g} % of {unit.replace('-', ' ')}" for amount, unit in fixed)
    raise InputError(
        f"no threshold was fixed on validation cases for {budget.amount * 100:g} % of {budget.unit.replace('-', ' ')} "
        f"(there is one for: {known or 'nothing'}); choose one of these, or the share of this volume"
    )


def whole(prediction: Prediction, unit: Unit) -> int:
    """Voxels that a share in this unit is a share of."""
    if unit == "predicted-foreground":
        return int(np.count_nonzero(prediction.labels))
    return int(prediction.labels.size)
