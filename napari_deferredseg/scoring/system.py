"""Figures of a whole system on one case."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import size
from napari_deferredseg.masks.components import components
from napari_deferredseg.scoring.methods import composed
from napari_deferredseg.scoring.metrics import (
    confusion,
    diagonal,
    dice_of,
    hd95_of,
    iou_of,
    mean_of,
    nsd_of,
    sensitivity_of,
    surface,
    surface_distances,
)
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.scoring.cases import JudgedCase
    from napari_deferredseg.scoring.methods import Deferral

DEFINITIONS: dict[str, str] = {
    "Kept, deferred": (
        "Dice, IoU and sensitivity over the voxels that the AI keeps, and over those that readers get. Undefined for a "
        "part without voxels."
    ),
    "Regions": (
        "connected parts (26 neighbours) of what is deferred; errands are connected parts that go to one reader."
    ),
}


class Scorer:
    """Judges deferrals of one case. What they share is computed once.

    A voxel that is not deferred keeps the AI's label, so only the deferred ones are counted anew each time.
    `tolerance_mm` is that of NSD.
    """

    def __init__(self, case: JudgedCase, tolerance_mm: float = TOLERANCE_MM) -> None:
        self.case = case
        self.tolerance_mm = tolerance_mm
        found = [np.unique(a) for a in (case.truth, case.labels, case.experts[case.valid])]
        self.values = np.unique(np.concatenate([[0], *found]))
        self._truth = self._coded(case.truth)
        self._own = self._coded(case.labels)
        self._all = self._counts(self._truth, self._own)

    @cached_property
    def dice_alone(self) -> float:
        """Dice of the AI alone."""
        return mean_of(dice_of(self._all), 1.0)

    def dice(self, deferral: Deferral) -> float:
        """Dice of the system."""
        kept, given = self._parts(deferral)
        return mean_of(dice_of(kept + given), 1.0)

    def figures(self, deferral: Deferral) -> dict[str, float]:
        """Figures of the system (`DEFINITIONS` here and in `metrics`); dice_2 is that of label 2."""
        kept, given = self._parts(deferral)
        system = kept + given
        row = _overlaps(system, "")
        for counts, name in ((kept, "kept_"), (given, "deferred_")):
            row |= _overlaps(counts, name) if counts.any() else dict.fromkeys(_overlaps(counts, name), float("nan"))
        row["hd95"], row["nsd"] = self._of_surfaces(deferral)
        row["regions"], row["errands"] = self._regions(deferral)
        if len(self.values) > 2:
            row |= {f"dice_{v}": d for v, d in zip(self.values[1:].tolist(), dice_of(system).tolist(), strict=True)}
        return row

    def _parts(self, deferral: Deferral) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        at = deferral.index
        truth = self._truth[at]
        given = self._coded(self.case.experts.reshape(len(self.case.experts), -1)[deferral.reader, at])
        return self._all - self._counts(truth, self._own[at]), self._counts(truth, given)

    def _of_surfaces(self, deferral: Deferral) -> tuple[float, float]:
        """HD95 and NSD, means over the labels that are there."""
        mask, spacing = composed(self.case, deferral), self.case.spacing_zyx
        found = []
        for value in self.values[1:]:
            truth, own = self._surfaces[int(value)], surface(mask == value, spacing)
            if len(truth) or len(own):
                apart = surface_distances(truth, own)
                found.append((hd95_of(apart, diagonal(mask, spacing)), nsd_of(apart, self.tolerance_mm)))
        far, within = np.mean(found, axis=0) if found else (0.0, 1.0)
        return float(far), float(within)

    @cached_property
    def _surfaces(self) -> dict[int, NDArray[np.float64]]:
        return {int(v): surface(self.case.truth == v, self.case.spacing_zyx) for v in self.values[1:]}

    def _regions(self, deferral: Deferral) -> tuple[int, int]:
        if not deferral.index.size:
            return 0, 0
        shape = self.case.truth.shape
        where = np.unravel_index(deferral.index, shape)
        z, y, x = ((int(i.min()), int(i.max()) + 1) for i in where)
        crop = np.zeros(size((z, y, x)), np.uint16)
        crop[tuple(i - lo for i, (lo, _) in zip(where, (z, y, x), strict=True))] = deferral.reader + 1
        return len(components(crop > 0).boxes), len(components(crop).boxes)

    def _coded(self, labels: NDArray[np.generic]) -> NDArray[np.intp]:
        return np.searchsorted(self.values, labels.ravel())

    def _counts(self, truth: NDArray[np.intp], mask: NDArray[np.intp]) -> NDArray[np.int64]:
        return confusion(truth, mask, len(self.values))


def _overlaps(counts: NDArray[np.int64], prefix: str) -> dict[str, float]:
    return {
        f"{prefix}dice": mean_of(dice_of(counts), 1.0),
        f"{prefix}iou": mean_of(iou_of(counts), 1.0),
        f"{prefix}sensitivity": mean_of(sensitivity_of(counts), float("nan")),
    }
