"""From what networks say to probabilities that can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array


class Scaling(BaseModel):
    """Platt scaling (Platt 1999) of an agent's logit, one where the AI is sure and another where it doubts.

    sigmoid(a * logit + b), where a and b go in a straight line from `slope` and `offset` at no doubt to
    `slope_in_doubt` and `offset_in_doubt` at full doubt: nearly all voxels are easy, and what is right for them need
    not be right where somebody is asked. Doubt is the entropy of the AI's probabilities, 0 to 1. Slopes below 0 would
    turn round what was learned.
    """

    model_config = ConfigDict(frozen=True)

    slope: float = Field(default=1.0, ge=0)
    offset: float = 0.0
    slope_in_doubt: float = Field(default=1.0, ge=0)
    offset_in_doubt: float = 0.0

    def __call__(self, logits: Array, doubt: Array) -> NDArray[np.float32]:
        """Calibrated probabilities of logits, and the AI's doubt at the same voxels, of any shape."""
        x, d = logits.astype(np.float32), doubt.astype(np.float32)
        sure = self.slope * x + self.offset
        return np.asarray(expit(sure + d * (self.slope_in_doubt * x + self.offset_in_doubt - sure)), np.float32)


class Temperature(BaseModel):
    """Temperature of class logits that depends on their margin: logits * (sharpness + growth * margin).

    Temperature scaling (Guo et al. 2017, On calibration of modern neural networks) where `growth` is 0; a parameterised
    temperature in the sense of Tomani et al. (ECCV 2022) otherwise: near its borders a segmentor may be far too sure of
    itself, and right to be sure elsewhere. The order of the classes stays, so the mask does.
    """

    model_config = ConfigDict(frozen=True)

    sharpness: float = Field(default=1.0, gt=0)
    growth: float = Field(default=0.0, ge=0)

    def __call__(self, logits: Array) -> NDArray[np.float32]:
        """Scaled logits of (C, ...)."""
        logits = logits.astype(np.float32)
        return np.asarray(logits * (self.sharpness + self.growth * margin_of(logits)), np.float32)


def margin_of(logits: Array) -> Array:
    """How far the best class of logits (C, ...) is above the next one."""
    low, high = np.partition(logits, (-2, -1), axis=0)[-2:]
    return np.asarray(high - low)
