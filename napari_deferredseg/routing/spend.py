"""How far a budget goes along the sequence of pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.routing.effort import pace
from napari_deferredseg.routing.sequence import Sequence, Step
from napari_deferredseg.routing.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.routing.atoms import Atoms

    Points = NDArray[np.int32]
    Weight = NDArray[np.float32]

ROUNDING = 1e-9


@dataclass(frozen=True)
class Spent:
    """Voxels (n, 3) of each region, and what the first piece that was left out would have added, in words."""

    regions: list[Points] = field(default_factory=list)
    next_piece: str = ""


def everything(atoms: Atoms, weight: Weight, geometry: Geometry) -> Spent:
    """All pieces as regions."""
    return _along(atoms, weight, geometry, lambda step: float(step.voxels), np.inf, np.inf, "")


def spend_voxels(atoms: Atoms, weight: Weight, geometry: Geometry, limit: int) -> Spent:
    """Regions of at most `limit` voxels.

    Parameters
    ----------
    weight : (z, y, x) float32
        What speaks against the mask.
    """
    return _along(atoms, weight, geometry, lambda step: float(step.voxels), limit, 0.0, "{:,.0f} voxels")


def spend_minutes(atoms: Atoms, weight: Weight, geometry: Geometry, minutes: float) -> Spent:
    """Regions of at most so many minutes."""
    most = minutes * (1 - ROUNDING)
    return _along(atoms, weight, geometry, lambda step: step.minutes, most, 0.0, "{:.2f} minutes")


def spend_regions(atoms: Atoms, weight: Weight, geometry: Geometry, count: int) -> Spent:
    """At most so many regions, grown as far as they may, those first in which most speaks against the mask."""
    found = _along(atoms, weight, geometry, lambda step: float(step.regions), np.inf, 1.0, "").regions
    mass = [float(weight[tuple(points.T)].sum(dtype=float)) for points in found]
    order = sorted(range(len(found)), key=lambda i: (-mass[i], i))
    return Spent([found[i] for i in order[:count]], "one region more" if len(found) > count else "")


def _along(
    atoms: Atoms,
    weight: Weight,
    geometry: Geometry,
    charge: Callable[[Step], float],
    most: float,
    first: float,
    words: str,
) -> Spent:
    """Follow the sequence to the first piece that does not fit: what came before is the same for a larger budget."""
    if not atoms.points:
        return Spent()
    spent = 0.0
    taken: dict[int, list[int]] = {}
    for step in Sequence(surroundings(atoms, weight, geometry), pace(geometry), charge, first):
        cost = charge(step)
        if spent + cost > most:
            return Spent(_joined(atoms, taken), words.format(cost))
        spent += cost
        taken.setdefault(step.region, []).append(step.piece)
    return Spent(_joined(atoms, taken))


def _joined(atoms: Atoms, taken: dict[int, list[int]]) -> list[Points]:
    return [np.concatenate([atoms.points[piece] for piece in pieces]) for pieces in taken.values()]
