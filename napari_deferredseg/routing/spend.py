"""How far a budget goes along the sequence of pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.routing.atoms import Atoms
from napari_deferredseg.routing.effort import pace
from napari_deferredseg.routing.sequence import Sequence, Step
from napari_deferredseg.routing.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry

    Points = NDArray[np.int32]
    Weight = NDArray[np.float32]

ROUNDING = 1e-9


@dataclass(frozen=True)
class Spent:
    """What a budget buys.

    Attributes
    ----------
    regions : list of (voxels, 3) int32
        Indices of each region's voxels.
    specks : int
        Voxels of specks that are in no region.
    next_piece : str
        What the first piece that was left out would have added, in words; empty where none was.
    """

    regions: list[Points] = field(default_factory=list)
    specks: int = 0
    next_piece: str = ""


def without_specks(atoms: Atoms, weight: Weight, geometry: Geometry) -> Spent:
    """All pieces as regions, and no speck."""
    bare = Atoms(atoms.points, atoms.compact, [])
    found = _along(bare, weight, geometry, lambda step: float(step.voxels), np.inf, np.inf, "")
    return Spent(found.regions, atoms.speck_voxels)


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
    """At most so many regions, grown as far as they may, those first in which most speaks against the mask.

    Specks come where the budget has room for all the rest.
    """
    bare = Atoms(atoms.points, atoms.compact, [])
    found = _along(bare, weight, geometry, lambda step: float(step.regions), np.inf, 1.0, "").regions
    if len(found) <= count:
        return _along(atoms, weight, geometry, lambda step: float(step.regions), count, 1.0, "one region more")
    mass = [float(weight[tuple(points.T)].sum(dtype=float)) for points in found]
    order = sorted(range(len(found)), key=lambda i: (-mass[i], i))
    return Spent([found[i] for i in order[:count]], atoms.speck_voxels, "one region more")


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
    pieces = [*atoms.points, *atoms.specks]
    if not pieces:
        return Spent()
    around = surroundings(pieces, [*atoms.compact, *(False for _ in atoms.specks)], weight, geometry)
    spent, next_piece, specks = 0.0, "", atoms.speck_voxels
    taken: dict[int, list[Points]] = {}
    for step in Sequence(around, pace(geometry), charge, first, len(atoms.points)):
        cost = charge(step)
        if spent + cost > most:
            next_piece = words.format(cost)
            break
        spent += cost
        specks -= step.voxels if step.piece >= len(atoms.points) else 0
        taken.setdefault(step.region, []).append(pieces[step.piece])
    return Spent([np.concatenate(points) for points in taken.values()], specks, next_piece)
