"""What the networks say of a case, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array


@dataclass(frozen=True)
class ModelMaps:
    """What a model says of a case, float32; A = K + 1 agents, the AI first.

    Attributes
    ----------
    probability : (C, z, y, x)
        Of the segmentor, after temperature scaling.
    competence : (A, z, y, x)
        Calibrated P(agent right).
    shares : (A, z, y, x)
        Softmax of the routing channels.
    learned_defer : (z, y, x)
        P(defer) of the aggregated predictor.
    """

    probability: NDArray[np.float32]
    competence: NDArray[np.float32]
    shares: NDArray[np.float32]
    learned_defer: NDArray[np.float32]

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Entropy of the calibrated probabilities, divided by that of C equal classes: (z, y, x), 0 to 1."""
        return entropy_of(self.probability)


def entropy_of(probability: Array) -> NDArray[np.float32]:
    """Entropy of probabilities (C, z, y, x), divided by that of C equal classes: (z, y, x), 0 to 1."""
    total = entr(probability).sum(axis=0) / np.log(len(probability))
    return np.asarray(np.clip(total, 0, 1), np.float32)
