"""What speaks against a mask, in the smallest pieces that are sent or left out as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cc3d
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from napari_deferredseg.masks.convex import is_compact
from napari_deferredseg.routing.plates import cut_cluster, cut_part, minutes, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array

    Points = NDArray[np.int32]

COMPACT = 0.8
"""Share of its convex hull that makes a part compact."""

COMPACT_MINUTES = 6.0
"""A compact part of at most so long a reading is never cut."""

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
    within : list of n bool
        Whether it ends within a slice, where what is connected is too much for one region.
    specks : list of (voxels, 3) int32
        What is too small for a visit, and near to nothing larger.
    """

    points: list[Points]
    compact: list[bool]
    within: list[bool]
    specks: list[Points]

    @property
    def speck_voxels(self) -> int:
        """Voxels of all specks."""
        return sum(len(points) for points in self.specks)

    def moved(self, corner: Sequence[int]) -> Atoms:
        """Pieces of a crop that begins at this index, in the whole array."""
        by = np.array(corner, np.int32)
        return Atoms([p + by for p in self.points], self.compact, self.within, [p + by for p in self.specks])


def make_atoms(codes: Array, geometry: Geometry) -> Atoms:
    """Separate an array into connected parts of one code (26 neighbours), cut tangled ones, hand specks to neighbours.

    Parameters
    ----------
    codes : (z, y, x) uint8, uint16 or uint32
        Slices along the first axis; 0 is nothing to look at.
    geometry : Geometry
        Grid of the array.

    Returns
    -------
    Atoms
        Specks are in a piece within `NEAR_MM`, or in one of their own where enough are so near to each other.
    """
    pieces: list[Points] = []
    compact: list[bool] = []
    within: list[bool] = []
    loose: list[Points] = []
    for part in _parts(codes):
        if len(part) < SPECK_VOXELS:
            loose.append(part)
            continue
        whole = minutes(part, geometry) <= COMPACT_MINUTES and is_compact(part, COMPACT)
        found, ends = ([part], [False]) if whole else _pieces(part, geometry)
        pieces += found
        compact += [whole] * len(found)
        within += ends
    clusters = _clusters(loose, geometry)
    small = [cluster for cluster in clusters if len(cluster) < SPECK_VOXELS]
    hosts = _attach(pieces, small, geometry)
    left = [cluster for cluster, host in zip(small, hosts, strict=True) if host is None]
    for cluster in clusters:
        if len(cluster) >= SPECK_VOXELS:
            found = cut_cluster(cluster, geometry)
            pieces += found
            compact += [False] * len(found)
            within += [False] * len(found)
    return Atoms(pieces, compact, within, left)


def _parts(codes: Array) -> list[Points]:
    ids = cc3d.connected_components(np.ascontiguousarray(codes), connectivity=26)
    where = np.argwhere(ids).astype(np.int32)
    return split(where, ids[tuple(where.T)])


def _pieces(part: Points, geometry: Geometry) -> tuple[list[Points], list[bool]]:
    """Connected pieces of a tangled part; crumbs of the cutting are in the nearest one. Which end within a slice."""
    cut = cut_part(part, geometry)
    done = [n for n, points in enumerate(cut.points) if len(points) >= SPECK_VOXELS]
    crumbs = [points for points in cut.points if len(points) < SPECK_VOXELS]
    ends = [cut.within[n] for n, points in enumerate(cut.points) if len(points) < SPECK_VOXELS]
    found, within = [cut.points[n] for n in done], [cut.within[n] for n in done]
    hosts = _attach(found, crumbs, geometry)
    for host, crumb_ends in zip(hosts, ends, strict=True):
        if host is not None:
            within[host] |= crumb_ends  # what it was cut from may be in another piece
    left = [n for n, host in enumerate(hosts) if host is None]
    return [*found, *(crumbs[n] for n in left)], [*within, *(ends[n] for n in left)]


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
    return split(points, np.unique(number, return_inverse=True)[1].ravel() + 1)


def _near_mm(geometry: Geometry) -> float:
    """How far a speck may be from what it is looked at with; what touches is near on any grid."""
    return max(NEAR_MM, float(np.linalg.norm(geometry.spacing_zyx))) * (1 + 1e-9)


def _attach(pieces: list[Points], crumbs: Sequence[Points], geometry: Geometry) -> list[int | None]:
    """Give each crumb to the piece nearest to it, within `NEAR_MM`; number of that piece, None near to none."""
    if not pieces or not crumbs:
        return [None] * len(crumbs)
    owner = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    tree = cKDTree(np.concatenate(pieces) * np.array(geometry.spacing_zyx))
    given: dict[int, list[Points]] = {}
    hosts: list[int | None] = []
    for crumb in crumbs:
        away, which = tree.query(crumb * np.array(geometry.spacing_zyx), distance_upper_bound=_near_mm(geometry))
        nearest = int(np.argmin(np.asarray(away)))
        if np.isfinite(np.asarray(away)[nearest]):
            hosts.append(host := int(owner[np.asarray(which)[nearest]]))
            given.setdefault(host, []).append(crumb)
        else:
            hosts.append(None)
    for piece, more in given.items():
        pieces[piece] = np.concatenate([pieces[piece], *more])
    return hosts
