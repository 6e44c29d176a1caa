"""What a deferral model says about a volume."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_deferredseg.core.budget import ShareUnit
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Array, LabelTable


@dataclass(frozen=True)
class OverThreshold:
    """How much of a volume lies over the threshold that a model fixed for a budget on its validation cases.

    Attributes
    ----------
    budget : float
        Share of the validation cases.
    unit : str
        What it is a share of.
    threshold : float
        Of the deferral map; infinite where nothing was to be deferred.
    share : float
        Share of all voxels of this volume, whatever the unit.
    """

    budget: float
    unit: ShareUnit
    threshold: float
    share: float


@dataclass(frozen=True)
class Prediction:
    """A mask under review and where not to trust it, on the volume's grid.

    Attributes
    ----------
    labels : (z, y, x) uint8 or uint16
        The AI's mask.
    defer : (z, y, x) float32
        P(defer), 0 to 1, raw: neither smoothed nor cut.
    alternative : (z, y, x), as labels
        The label most voted for or most probable after the AI's own; where nothing speaks against the AI it equals
        `labels`. It says what a region is about.
    gain : (K, z, y, x) float16
        Calibrated advantage of expert j over the AI, raw. K is 0 for an external AI.
    experts : tuple of str
        Names of the K channels.
    model_id : str
        Which model, with its settings, made it.
    over_thresholds : tuple of OverThreshold
        One for each budget that validation cases fixed a threshold for; empty for an external AI.
    votes : int
        How many other masks `defer` is the share of; 0 where it is a map of probabilities.
    notes : tuple of str
        Sentences that somebody should read before regions are believed; not kept with the run.
    """

    labels: Array
    defer: NDArray[np.float32]
    alternative: Array
    geometry: Geometry
    table: LabelTable
    model_id: str
    settings: dict[str, str | float | int | bool] = field(default_factory=dict)
    experts: tuple[str, ...] = ()
    gain: NDArray[np.float16] | None = None
    over_thresholds: tuple[OverThreshold, ...] = ()
    votes: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "defer", "alternative"):
            if getattr(self, name).shape != self.geometry.shape:
                raise ValueError(f"{name} {getattr(self, name).shape} is not on the grid {self.geometry.shape}")
        if (self.gain.shape[0] if self.gain is not None else 0) != len(self.experts):
            raise ValueError(f"gain has not one channel for each of the experts {self.experts}")
