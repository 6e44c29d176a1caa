"""How far a budget goes along the sequence of pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.routing.atoms import Atoms
from napari_deferredseg.routing.effort import pace
from napari_deferredseg.routing.plates import Band, connected, is_quick, minutes
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
    within : list of bool
        Whether each region ends within a slice, in the middle of what is connected there.
    """

    regions: list[Points] = field(default_factory=list)
    specks: int = 0
    next_piece: str = ""
    within: list[bool] = field(default_factory=list)


def without_specks(atoms: Atoms, weight: Weight, geometry: Geometry) -> Spent:
    """All pieces as regions, and no speck."""
    bare = Atoms(atoms.points, atoms.compact, atoms.within, [])
    found = _along(bare, weight, geometry, lambda step: float(step.voxels), np.inf, np.inf, "")
    return Spent(found.regions, atoms.speck_voxels, within=found.within)


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
    bare = Atoms(atoms.points, atoms.compact, atoms.within, [])
    found = _along(bare, weight, geometry, lambda step: float(step.regions), np.inf, 1.0, "")
    if len(found.regions) <= count:
        return _along(atoms, weight, geometry, lambda step: float(step.regions), count, 1.0, "one region more")
    mass = [float(weight[tuple(points.T)].sum(dtype=float)) for points in found.regions]
    chosen = sorted(range(len(mass)), key=lambda i: (-mass[i], i))[:count]
    regions, within = [found.regions[i] for i in chosen], [found.within[i] for i in chosen]
    return Spent(regions, atoms.speck_voxels, "one region more", within)


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
    within: set[int] = set()
    for step in Sequence(around, pace(geometry), charge, first, len(atoms.points)):
        cost = charge(step)
        if spent + cost > most:
            next_piece = words.format(cost)
            if cost > max(spent, first) and step.piece < len(atoms.points) and not atoms.compact[step.piece]:
                start = _Start(step, taken.get(step.region, []), geometry)
                points, ends_within = start.of(pieces[step.piece], charge, spent, most)
                if len(points):
                    next_piece = words.format(cost - charge(start.added(points)))
                    taken.setdefault(step.region, []).append(points)
                    within |= {step.region} if ends_within else set()
            break
        spent += cost
        if step.piece >= len(atoms.points):
            specks -= step.voxels
        elif atoms.within[step.piece]:
            within.add(step.region)
        taken.setdefault(step.region, []).append(pieces[step.piece])
    regions = [np.concatenate(points) for points in taken.values()]
    return Spent(regions, specks, next_piece, [region in within for region in taken])


@dataclass(frozen=True)
class _Start:
    """The part of a piece that the rest of a budget buys, where the piece costs more than all before it together.

    It is found in one order, whatever the budget: slice by slice, and on the slice where the budget ends from one end
    of what is connected there to a neck. What is connected is cut only where it costs more than all before it together,
    and so are its halves.
    """

    step: Step
    host: list[Points]
    geometry: Geometry

    def of(self, piece: Points, charge: Callable[[Step], float], spent: float, most: float) -> tuple[Points, bool]:
        """Voxels of the part, perhaps none; and whether it ends within a slice."""
        found, whole = piece[:0], piece[:0]
        todo: list[Points | Band] = list(reversed(self._plates(piece)))
        before = spent
        while todo:
            part = todo.pop()
            points = part.points if isinstance(part, Band) else part
            more = np.concatenate([found, points])
            after = spent + charge(self.added(more))
            if after <= most:
                found, before = more, after
                whole = whole if isinstance(part, Band) else found
                continue
            if after - before <= before or is_quick(points, self.geometry):
                break
            band = part if isinstance(part, Band) else Band.of(part, self.geometry)
            if not (halves := band.halves()):
                break
            todo += reversed(halves)
        return found, len(found) > len(whole)

    def _plates(self, piece: Points) -> list[Points]:
        """What is connected on each slice."""
        return [plate for z in np.unique(piece[:, 0]) for plate in connected(piece[piece[:, 0] == z])]

    def added(self, points: Points) -> Step:
        """The step that takes these voxels of the piece only."""
        alone = minutes(np.concatenate(self.host), self.geometry) if self.host else 0.0
        return self.step._replace(
            minutes=minutes(np.concatenate([*self.host, points]), self.geometry) - alone, voxels=len(points)
        )
