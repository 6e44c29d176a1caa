"""What speaks against a mask, in the smallest pieces that are sent or left out as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from napari_deferredseg.masks.convex import is_compact
from napari_deferredseg.routing.effort import estimated_minutes, pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array

    Points = NDArray[np.int32]

COMPACT = 0.8
"""Share of its convex hull that makes a part compact."""

COMPACT_MINUTES = 6.0
"""A compact part of at most so long a reading is never cut."""

ATOM_MINUTES = 0.15
"""Tangled parts are cut into pieces of at most so long a reading, the visit itself not counted."""

SPECK_VOXELS = 8
"""A part of fewer voxels is a speck: too small for a shape, and for a visit of its own."""

CELL_MM = 1.0
"""On finer grids specks are joined by cells of this size."""

NEAR_MM = 5.0
"""A speck so near to something larger is looked at with it."""


@dataclass(frozen=True)
class Atoms:
    """Pieces without overlap, and what was too small to be one.

    Attributes
    ----------
    points : list of n (voxels, 3) int32
        Indices (z, y, x) of each piece's voxels.
    compact : list of n bool
        Whether it is the whole of a compact part.
    specks : list of (voxels, 3) int32
        What is too small for a visit, and near to nothing larger.
    """

    points: list[Points]
    compact: list[bool]
    specks: list[Points]

    @property
    def speck_voxels(self) -> int:
        """Voxels of all specks."""
        return sum(len(points) for points in self.specks)

    def moved(self, corner: Sequence[int]) -> Atoms:
        """Pieces of a crop that begins at this index, in the whole array."""
        by = np.array(corner, np.int32)
        return Atoms([p + by for p in self.points], self.compact, [p + by for p in self.specks])


def make_atoms(codes: Array, geometry: Geometry) -> Atoms:
    """Separate an array into connected parts of one code (26 neighbours), cut tangled ones, hand specks to neighbours.

    Parameters
    ----------
    codes : (z, y, x) uint8, uint16 or uint32
        0 is nothing to look at.
    geometry : Geometry
        Grid of the array.

    Returns
    -------
    Atoms
        Specks are in a piece within `NEAR_MM`, or in one of their own where enough are so near to each other.
    """
    pieces: list[Points] = []
    compact: list[bool] = []
    loose: list[Points] = []
    for part in _parts(codes):
        if len(part) < SPECK_VOXELS:
            loose.append(part)
            continue
        whole = _minutes(part, geometry) <= COMPACT_MINUTES and is_compact(part, COMPACT)
        found = [part] if whole else _pieces(part, geometry)
        pieces += found
        compact += [whole] * len(found)
    clusters = _clusters(loose, geometry)
    left = _attach(pieces, [cluster for cluster in clusters if len(cluster) < SPECK_VOXELS], geometry)
    for cluster in clusters:
        if len(cluster) >= SPECK_VOXELS:
            found = _cut(cluster, geometry, _halves)
            pieces += found
            compact += [False] * len(found)
    return Atoms(pieces, compact, left)


def _parts(codes: Array) -> list[Points]:
    ids = cc3d.connected_components(np.ascontiguousarray(codes), connectivity=26)
    where = np.argwhere(ids).astype(np.int32)
    return _split(where, ids[tuple(where.T)])


def _split(points: Points, number: NDArray[np.integer[Any]]) -> list[Points]:
    """Points (n, 3) by their number, which counts from 1."""
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number)[1:])[:-1]
    return np.split(points[order], ends) if len(points) else []


def _pieces(part: Points, geometry: Geometry) -> list[Points]:
    """Connected pieces of a tangled part, each read quickly; crumbs of the cutting are in the nearest piece."""

    def connected_halves(points: Points, geometry: Geometry) -> list[Points]:
        return [piece for half in _halves(points, geometry) for piece in _connected(half)]

    found = _cut(part, geometry, connected_halves)
    done = [piece for piece in found if len(piece) >= SPECK_VOXELS]
    left = _attach(done, [piece for piece in found if len(piece) < SPECK_VOXELS], geometry)
    return [*done, *left]


def _cut(points: Points, geometry: Geometry, halves: Callable[[Points, Geometry], list[Points]]) -> list[Points]:
    most = ATOM_MINUTES + pace(geometry).visit / 60
    todo, done = [points], []
    while todo:
        piece = todo.pop()
        if len(piece) > 1 and _minutes(piece, geometry) > most:
            todo += halves(piece, geometry)
        else:
            done.append(piece)
    return done


def _halves(points: Points, geometry: Geometry) -> list[Points]:
    """Both sides of the plane between two slices that halves the points best, else of one across their length.

    A cut between slices adds no outline and no extent: two pieces that are read together cost what the whole does.
    """
    z = points[:, 0] - points[:, 0].min()
    if z.any():
        below = np.cumsum(np.bincount(z))
        high = z > int(np.argmin(np.abs(below[:-1] - below[-1] / 2)))
    else:
        at = (points - points.mean(axis=0)) * geometry.spacing_zyx
        axis = np.linalg.eigh(at.T @ at)[1][:, -1]
        axis *= np.sign(axis[np.argmax(np.abs(axis))])
        order = np.argsort(np.round(at @ axis, 6), kind="stable")
        high = np.zeros(len(points), bool)
        high[order[len(order) // 2 :]] = True
    return [points[~high], points[high]]


def _clusters(specks: Sequence[Points], geometry: Geometry) -> list[Points]:
    """Specks joined with all that are near to them, and so on; on fine grids by cells, which joins a little less.

    What is joined here is near: a speck does not lose its place when its neighbour grows into more than one.
    """
    if not specks:
        return []
    points = np.concatenate(specks)
    owner = np.repeat(np.arange(len(specks)), [len(p) for p in specks])
    spacing = np.array(geometry.spacing_zyx)
    step = np.maximum(1, (CELL_MM / spacing).astype(int))
    cells, cell = np.unique(points // step, axis=0, return_inverse=True)
    slack = float(np.linalg.norm((step - 1) * spacing))  # between two voxels of one cell
    near = cKDTree(cells * (step * spacing)).query_pairs(_near_mm(geometry) - slack, output_type="ndarray")
    nodes = np.concatenate([owner, near[:, 0] + len(specks)])
    others = np.concatenate([cell.ravel() + len(specks), near[:, 1] + len(specks)])
    count = len(specks) + len(cells)
    links = coo_array((np.ones(len(nodes), bool), (nodes, others)), shape=(count, count))
    number = connected_components(links, directed=False)[1][owner]
    return _split(points, np.unique(number, return_inverse=True)[1].ravel() + 1)


def _near_mm(geometry: Geometry) -> float:
    """How far a speck may be from what it is looked at with; what touches is near on any grid."""
    return max(NEAR_MM, float(np.linalg.norm(geometry.spacing_zyx))) * (1 + 1e-9)


def _connected(points: Points) -> list[Points]:
    mask = _dense(points).astype(np.uint8)
    ids = cc3d.connected_components(mask, connectivity=26)
    return _split(points, ids[tuple((points - points.min(axis=0)).T)])


def _dense(points: Points) -> NDArray[np.bool_]:
    at = points - points.min(axis=0)
    mask = np.zeros(at.max(axis=0) + 1, bool)
    mask[tuple(at.T)] = True
    return mask


def _minutes(points: Points, geometry: Geometry) -> float:
    return estimated_minutes(_dense(points), geometry)


def _attach(pieces: list[Points], crumbs: Sequence[Points], geometry: Geometry) -> list[Points]:
    """Give each crumb to the piece nearest to it, within `NEAR_MM`; return those that are near to none."""
    if not pieces or not crumbs:
        return list(crumbs)
    owner = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    tree = cKDTree(np.concatenate(pieces) * np.array(geometry.spacing_zyx))
    given: dict[int, list[Points]] = {}
    left = []
    for crumb in crumbs:
        away, which = tree.query(crumb * np.array(geometry.spacing_zyx), distance_upper_bound=_near_mm(geometry))
        nearest = int(np.argmin(np.asarray(away)))
        if np.isfinite(np.asarray(away)[nearest]):
            given.setdefault(int(owner[np.asarray(which)[nearest]]), []).append(crumb)
        else:
            left.append(crumb)
    for piece, more in given.items():
        pieces[piece] = np.concatenate([pieces[piece], *more])
    return left
