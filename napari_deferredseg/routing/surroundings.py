"""What pieces have in common: outlines that fall away when they are read together, and what is seen from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from napari_deferredseg.routing.effort import edge_mm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry

JOIN_MM = 25.0
"""Pieces so near to each other may be read as one region."""

SEEN_MM = 3.0
"""Who looks at a piece sees what lies within this distance of it."""

CELL_MM = 1.5
"""Finer grids are looked at in cells of about this size."""

COARSE_MM = 5.0
"""Size of the cells by which it is told which pieces are near to each other."""


@dataclass(frozen=True)
class Surroundings:
    """Pieces by number.

    Attributes
    ----------
    voxels : list of int
        How many each has.
    compact : list of bool
        As in `Atoms`.
    slices : list of int
        The slices that each is on, as bits.
    outline : list of float
        Length of each one's outlines, mm.
    shared : list of dict of int to float
        Length of outline, mm, that a piece and a neighbour both have.
    above, below : list of set of int
        Which pieces lie on each one's voxels on the next and on the previous slice.
    near : list of set of int
        Which pieces lie within `JOIN_MM`, by the middles of coarse cells.
    seen : list of (cells,) int
        Cells within `SEEN_MM` of each piece.
    worth : (cells,) float
        What speaks against the mask in each cell, summed.
    """

    voxels: list[int]
    compact: list[bool]
    slices: list[int]
    outline: list[float]
    shared: list[dict[int, float]]
    above: list[set[int]]
    below: list[set[int]]
    near: list[set[int]]
    seen: list[NDArray[np.intp]]
    worth: NDArray[np.float64]


def surroundings(
    pieces: list[NDArray[np.int32]], compact: list[bool], weight: NDArray[np.float32], geometry: Geometry
) -> Surroundings:
    """Measure what pieces have in common.

    Parameters
    ----------
    pieces, compact
        As in `Atoms`.
    weight : (z, y, x) float32
        What speaks against the mask at each voxel.
    """
    owner = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    points = np.concatenate(pieces)
    place, order = _places(points, geometry)
    outline, shared = _outlines(place, owner[order], geometry)
    above, below = _stacked(place, owner[order], geometry)
    seen, worth = _seen(points, owner, weight[tuple(points.T)], geometry)
    return Surroundings(
        voxels=[len(p) for p in pieces],
        compact=compact,
        slices=[sum(1 << int(z) for z in np.unique(p[:, 0])) for p in pieces],
        outline=outline,
        shared=shared,
        above=above,
        below=below,
        near=_near(points, owner, geometry),
        seen=seen,
        worth=worth,
    )


def _places(points: NDArray[np.int32], geometry: Geometry) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Ascending places of points in a grid with a margin of one voxel, and the points' order."""
    place = np.ravel_multi_index(tuple((points + 1).T), tuple(np.array(geometry.shape) + 2))
    order = np.argsort(place)
    return place[order], order


def _stacked(
    place: NDArray[np.intp], owner: NDArray[np.intp], geometry: Geometry
) -> tuple[list[set[int]], list[set[int]]]:
    count = int(owner.max()) + 1
    above: list[set[int]] = [set() for _ in range(count)]
    below: list[set[int]] = [set() for _ in range(count)]
    after = _owner_at(place, owner, place + (geometry.shape[1] + 2) * (geometry.shape[2] + 2))
    touch = (after != owner) & (after >= 0)
    for pair in np.unique(owner[touch] * count + after[touch]).tolist():
        a, b = divmod(pair, count)
        above[a].add(b)
        below[b].add(a)
    return above, below


def _outlines(
    place: NDArray[np.intp], owner: NDArray[np.intp], geometry: Geometry
) -> tuple[list[float], list[dict[int, float]]]:
    count = int(owner.max()) + 1
    padded = np.array(geometry.shape) + 2
    outline = np.zeros(count)
    shared: list[dict[int, float]] = [{} for _ in range(count)]
    for step, mm in zip((int(padded[2]), 1), edge_mm(geometry.spacing_zyx), strict=True):
        after = _owner_at(place, owner, place + step)
        outline += mm * np.bincount(owner[after != owner], minlength=count)
        before = _owner_at(place, owner, place - step)
        outline += mm * np.bincount(owner[before != owner], minlength=count)
        touch = (after != owner) & (after >= 0)
        pairs, edges = np.unique(owner[touch] * count + after[touch], return_counts=True)
        for pair, n in zip(pairs.tolist(), edges.tolist(), strict=True):
            a, b = divmod(pair, count)
            shared[a][b] = shared[b][a] = shared[a].get(b, 0.0) + n * mm
    return outline.tolist(), shared


def _owner_at(place: NDArray[np.intp], owner: NDArray[np.intp], wanted: NDArray[np.intp]) -> NDArray[np.intp]:
    """Owner of each wanted place, -1 where nobody has it; `place` ascends."""
    at = np.minimum(np.searchsorted(place, wanted), len(place) - 1)
    return np.where(place[at] == wanted, owner[at], -1)


def _seen(
    points: NDArray[np.int32], owner: NDArray[np.intp], weight: NDArray[np.float32], geometry: Geometry
) -> tuple[list[NDArray[np.intp]], NDArray[np.float64]]:
    cells = _Cells.of(points, owner, geometry, CELL_MM)
    worth = np.bincount(cells.number, weight.astype(float), minlength=len(cells.middle)).astype(float)
    return _rows(cells.near(SEEN_MM)), worth


def _near(points: NDArray[np.int32], owner: NDArray[np.intp], geometry: Geometry) -> list[set[int]]:
    cells = _Cells.of(points, owner, geometry, COARSE_MM)
    found = cells.near(JOIN_MM) @ cells.own.T
    return [set(others.tolist()) - {piece} for piece, others in enumerate(_rows(found))]


@dataclass(frozen=True)
class _Cells:
    """Cells that hold points: where their middles are (mm), each point's cell, and the cells of each piece."""

    middle: NDArray[np.float64]
    number: NDArray[np.intp]
    mine: list[NDArray[np.intp]]
    tree: cKDTree

    @classmethod
    def of(cls, points: NDArray[np.int32], owner: NDArray[np.intp], geometry: Geometry, size_mm: float) -> _Cells:
        spacing = np.array(geometry.spacing_zyx)
        step = np.maximum(1, np.rint(size_mm / spacing).astype(int))
        grid = tuple(np.array(geometry.shape) // step + 1)
        places, number = np.unique(np.ravel_multi_index(tuple((points // step).T), grid), return_inverse=True)
        cells = np.stack(np.unravel_index(places, grid), axis=1)
        piece, cell = np.divmod(np.unique(owner * len(cells) + number), len(cells))
        middle = (cells * step + (step - 1) / 2) * spacing
        mine = np.split(cell, np.cumsum(np.bincount(piece))[:-1])
        return cls(middle, number, mine, cKDTree(middle))

    @property
    def own(self) -> csr_array:
        """Which cells each piece has, (pieces, cells) bool."""
        owners = np.repeat(np.arange(len(self.mine)), [len(own) for own in self.mine])
        shape = (len(self.mine), len(self.middle))
        return csr_array((np.ones(len(owners), bool), (owners, np.concatenate(self.mine))), shape=shape)

    def near(self, distance_mm: float) -> csr_array:
        """Cells of each piece and those whose middle is within a distance of the middle of one of them, mm."""
        count = len(self.middle)
        pairs = self.tree.query_pairs(distance_mm * (1 + 1e-9), output_type="ndarray")
        ends = np.concatenate([pairs[:, 0], pairs[:, 1], np.arange(count)])
        others = np.concatenate([pairs[:, 1], pairs[:, 0], np.arange(count)])
        near = csr_array((np.ones(len(ends), bool), (ends, others)), shape=(count, count))
        return csr_array(self.own @ near)


def _rows(found: csr_array) -> list[NDArray[np.intp]]:
    """Columns of each row, ascending."""
    found.sort_indices()
    return [part.astype(np.intp) for part in np.split(found.indices, found.indptr[1:-1])]
