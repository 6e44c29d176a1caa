"""How far learned maps may move deferral away from entropy and the best single reader: chosen on validation data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.deferral.model.maps import ModelMaps

Where = Literal["aggregated", "gain"]
Who = Literal["competence", "shares"]


class BudgetPolicy(BaseModel):
    """What validation fixed for one budget.

    Attributes
    ----------
    budget : float
        Share, in the unit of the model's configuration.
    threshold : float
        Of the smoothed deferral map.
    prices : tuple of float
        Subtracted from the experts' gains to keep their shares even.
    best : str
        Best single reader with entropy at this budget.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    budget: float
    threshold: float
    prices: tuple[float, ...]
    best: str


class Trial(BaseModel):
    """A candidate on validation data: system Dice less that of entropy and the best single reader, and its error."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    name: str
    difference: float
    standard_error: float


class Policy(BaseModel):
    """Mixture of the learned maps with the baseline; weights of 0 are the baseline itself.

    Attributes
    ----------
    where, who : str
        Which learned map is mixed in.
    where_weight, who_weight : float
        Part of the learned map, 0 to 1.
    record : tuple of float
        Each expert's share of right answers where entropy defers, on validation data.
    trials : tuple of Trial
        What was compared.
    """

    model_config = ConfigDict(frozen=True)

    where: Where = "gain"
    where_weight: float = 0.0
    who: Who = "competence"
    who_weight: float = 0.0
    record: tuple[float, ...] = ()
    budgets: tuple[BudgetPolicy, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def fell_back(self) -> bool:
        """Whether validation left nothing of the learned maps."""
        return self.where_weight == 0 and self.who_weight == 0

    def gain(self, maps: ModelMaps) -> NDArray[np.float32]:
        """Advantage of each expert over the AI (K, z, y, x), -1 to 1: their record, moved towards the learned map."""
        record = np.asarray(self.record, np.float32).reshape(-1, 1, 1, 1)
        baseline = record - maps.competence[:1]
        if self.who_weight == 0:
            return np.asarray(baseline, np.float32)
        learned = maps.competence if self.who == "competence" else maps.shares
        weight = np.float32(self.who_weight)
        return np.asarray((1 - weight) * baseline + weight * (learned[1:] - learned[:1]), np.float32)

    def defer(self, maps: ModelMaps, gain: NDArray[np.float32]) -> NDArray[np.float32]:
        """P(defer) (z, y, x), 0 to 1: entropy, moved towards the learned map. Raw: neither smoothed nor cut."""
        entropy = maps.entropy
        if self.where_weight == 0:
            return entropy
        learned = maps.learned_defer if self.where == "aggregated" else np.clip(2 * gain.max(axis=0), 0, 1)
        weight = np.float32(self.where_weight)
        return np.asarray((1 - weight) * entropy + weight * learned, np.float32)
