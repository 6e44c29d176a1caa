"""Cutting what is tangled between slices, and within a slice at its necks where one is too much for a region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from napari_deferredseg.routing.effort import outline_mm, pace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array

    Points = NDArray[np.int32]

PIECE_MINUTES = 0.13
"""What extends over several slices is cut into pieces of at most so long a reading, the visit itself not counted."""

PLATE_MINUTES = 4.0
"""What is connected on one slice is cut within it only where reading it takes longer."""

MIDDLE = 0.25  # a neck leaves at least this share of the voxels on either side
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def minutes(points: Points, geometry: Geometry) -> float:
    """Reading time of voxels (n, 3), slices along the first axis."""
    outline = outline_mm(_dense(points), geometry.spacing_zyx)
    return pace(geometry).minutes(len(np.unique(points[:, 0])), outline)


def connected(points: Points) -> list[Points]:
    """Connected parts (26 neighbours) of voxels (n, 3)."""
    ids = cc3d.connected_components(_dense(points).astype(np.uint8), connectivity=26)
    return split(points, ids[tuple((points - points.min(axis=0)).T)])


def split(points: Points, number: NDArray[np.integer[Any]]) -> list[Points]:
    """Points (n, 3) by their number, which counts from 1."""
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number)[1:])[:-1]
    return np.split(points[order], ends) if len(points) else []


@dataclass(frozen=True)
class Cut:
    """Connected pieces (voxels, 3) of a part, and whether each ends within a slice."""

    points: list[Points] = field(default_factory=list)
    within: list[bool] = field(default_factory=list)


def cut_part(part: Points, geometry: Geometry) -> Cut:
    """Pieces of a connected part that are read quickly, cut between slices: what is connected on one is in one piece.

    A cut between slices adds no outline and no extent: two pieces that are read together cost what the whole does. A
    slice that takes longer than `PLATE_MINUTES` is cut at its necks.
    """
    todo, cut = [part], Cut()
    while todo:
        piece = todo.pop()
        found, within = [piece], False
        several = np.ptp(piece[:, 0]) > 0
        if several and not is_quick(piece, geometry):
            todo += [half for side in _halves(piece) for half in connected(side)]
            continue
        if not several and minutes(piece, geometry) > PLATE_MINUTES:
            found, within = _within(piece, geometry), True
        cut.points.extend(found)
        cut.within.extend([within] * len(found))
    return cut


def cut_cluster(specks: Points, geometry: Geometry) -> list[Points]:
    """Pieces of specks that are read quickly; what is connected on a slice is in one piece."""
    todo, done = [specks], []
    while todo:
        piece = todo.pop()
        if is_quick(piece, geometry):
            done.append(piece)
        elif np.ptp(piece[:, 0]):
            todo += _halves(piece)
        elif len(parts := connected(piece)) > 1:
            middles = np.array([part.mean(axis=0) for part in parts])
            axis = int(np.argmax(np.ptp(middles * geometry.spacing_zyx, axis=0)))
            order = np.argsort(middles[:, axis], kind="stable")
            todo += [np.concatenate([parts[n] for n in half]) for half in np.array_split(order, 2)]
        else:
            done.append(piece)
    return done


def _halves(points: Points) -> list[Points]:
    """Both sides of the plane between two slices that halves the points best."""
    z = points[:, 0] - points[:, 0].min()
    below = np.cumsum(np.bincount(z))
    high = z > int(np.argmin(np.abs(below[:-1] - below[-1] / 2)))
    return [points[~high], points[high]]


@dataclass(frozen=True)
class Band:
    """Voxels (n, 3) of one slice, each with its row: how far it is from an end of what is connected there."""

    points: Points
    row: NDArray[np.intp]

    @classmethod
    def of(cls, plate: Points, geometry: Geometry) -> Band:
        """All of what is connected on one slice."""
        return cls(plate, _rows(plate, geometry))

    def halves(self) -> list[Band]:
        """The end's side of the narrowest place near the middle, and the other; nothing where there is one row."""
        width = np.bincount(self.row - self.row.min())
        if len(width) < 2:
            return []
        high = self.row >= int(self.row.min()) + _neck(width)
        return [Band(self.points[side], self.row[side]) for side in (~high, high)]


def is_quick(points: Points, geometry: Geometry) -> bool:
    """Whether voxels are read so quickly that they are not cut."""
    return minutes(points, geometry) <= PIECE_MINUTES + pace(geometry).visit / 60


def _within(plate: Points, geometry: Geometry) -> list[Points]:
    """Connected pieces of what is connected on a slice, each for one region."""
    todo, done = [Band.of(plate, geometry)], []
    while todo:
        band = todo.pop()
        halves = band.halves() if minutes(band.points, geometry) > PLATE_MINUTES else []
        todo += halves
        done += [] if halves else connected(band.points)
    return done


def _neck(width: NDArray[np.intp]) -> int:
    """Row before which a band is cut: the narrowest near its middle, of equal ones the one that halves it best."""
    below = np.cumsum(width)[:-1] / width.sum()
    across = np.minimum(width[:-1], width[1:])
    allowed = (below >= MIDDLE) & (below <= 1 - MIDDLE)
    if not allowed.any():
        return int(np.argmin(np.abs(below - 0.5))) + 1
    order = np.lexsort((np.abs(below - 0.5), across, ~allowed))
    return int(order[0]) + 1


def _rows(plate: Points, geometry: Geometry) -> NDArray[np.intp]:
    """How far each voxel is, within the plate, from one of its ends; in rows as wide as a voxel."""
    spacing = np.array(geometry.spacing_zyx[1:])
    at = plate[:, 1:] - plate[:, 1:].min(axis=0) + 1
    number = np.full(at.max(axis=0) + 2, -1)
    number[tuple(at.T)] = np.arange(len(at))
    ends, others, lengths = [], [], []
    for step in STEPS:
        there = number[tuple((at + step).T)]
        found = np.flatnonzero(there >= 0)
        ends.append(found)
        others.append(there[found])
        lengths.append(np.full(len(found), float(np.linalg.norm(step * spacing))))
    links = coo_array(
        (np.concatenate(lengths), (np.concatenate(ends), np.concatenate(others))), shape=(len(at), len(at))
    ).tocsr()
    start = int(np.argmax(_distances(links, 0)))
    row: NDArray[np.intp] = np.round(_distances(links, start) / spacing.max(), 6).astype(np.intp)
    return row


def _distances(links: Any, start: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.asarray(dijkstra(links, directed=False, indices=[start]))[0]
    return found


def _dense(points: Points) -> Array:
    at = points - points.min(axis=0)
    mask = np.zeros(at.max(axis=0) + 1, bool)
    mask[tuple(at.T)] = True
    return mask
