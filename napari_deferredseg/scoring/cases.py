"""A case with everything that is needed to judge who should have answered where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.volume import Array


@dataclass(frozen=True)
class JudgedCase:
    """One image's truth, the AI's answer, the readers' answers, and what the deferral model says of them.

    Attributes
    ----------
    key, patient : str
        Name of the case, which also seeds what is drawn at random on it; who it is of.
    truth : (z, y, x) int
        Reference labels; a flat image has one slice.
    labels : (z, y, x) int
        The AI's mask.
    probability : (C, z, y, x) float32
        The AI's calibrated probabilities, class 0 is background.
    raw_probability : (C, z, y, x) float32 or None
        The same before calibration, where it is known.
    experts : (K, z, y, x) int
        Label map of each reader.
    valid : (K, z, y, x) bool
        Where each of them answers for what they drew; elsewhere their labels mean nothing.
    defer : (z, y, x) float32
        Learned where: the highest values are deferred first.
    gain : (K, z, y, x) float32
        Learned who: advantage of reader j over the AI, -1 to 1.
    right : (K, z, y, x) float32
        Calibrated P(reader j is right).
    prices : (K,) float or None
        What the model subtracts from the gains to keep the workload even; found on the validation cases when None.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    groups : mapping of str to str
        Subgroups, such as the site.

    Raises
    ------
    ValueError
        Two arrays differ in shape, or a map has values that are not finite.
    """

    key: str
    patient: str
    truth: Array
    labels: Array
    probability: NDArray[np.float32]
    raw_probability: NDArray[np.float32] | None
    experts: Array
    valid: NDArray[np.bool_]
    defer: NDArray[np.float32]
    gain: NDArray[np.float32]
    right: NDArray[np.float32]
    prices: NDArray[np.float64] | None = None
    spacing_zyx: Vector = (1.0, 1.0, 1.0)
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grid = self.truth.shape
        if len(grid) != 3 or 0 in grid:
            raise ValueError(f"case {self.key}: truth {grid} is not (z, y, x)")
        per_expert = (len(self.experts), *grid)
        wanted = {"labels": grid, "defer": grid} | dict.fromkeys(("experts", "valid", "gain", "right"), per_expert)
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"case {self.key}: {name} {getattr(self, name).shape} should be {shape}")
        for name in ("probability", "raw_probability"):
            array = getattr(self, name)
            if array is not None and (array.ndim != 4 or array.shape[1:] != grid or len(array) < 2):
                raise ValueError(f"case {self.key}: {name} {array.shape} should be (C, {', '.join(map(str, grid))})")
        if self.prices is not None and self.prices.shape != (len(self.experts),):
            raise ValueError(f"case {self.key}: prices {self.prices.shape} should be ({len(self.experts)},)")
        for name in ("probability", "defer", "gain"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"case {self.key}: {name} has values that are not finite")

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Entropy (z, y, x) of the calibrated probabilities, 0 to 1."""
        p = np.clip(self.probability, 1e-7, 1)
        total = -(p * np.log(p)).sum(axis=0) / np.log(len(p))
        return np.asarray(np.clip(total, 0, 1), np.float32)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Where (z, y, x) at least one reader answers."""
        return np.asarray(self.valid.any(axis=0))

    def expert_right(self) -> NDArray[np.bool_]:
        """Where (K, z, y, x) each reader answers, and rightly."""
        return np.asarray((self.experts == self.truth) & self.valid)

    def confidence(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability (z, y, x) that some class probabilities (C, z, y, x) give to the AI's label.

        0 for a label that is not among the classes.
        """
        known = np.minimum(self.labels, len(probability) - 1).astype(np.intp)
        found = np.take_along_axis(probability, known[None], axis=0)[0]
        return np.where(self.labels < len(probability), found, 0).astype(np.float32)
