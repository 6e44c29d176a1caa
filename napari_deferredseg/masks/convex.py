"""Whether a part is one compact thing or a tangle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORNER = 0.25  # voxels are shrunk to half their size: what lies in a plane or on a line still has a hull
FLAT = 1e-9
CHUNK = 2_000_000


def is_compact(points: NDArray[np.integer[Any]], least: float) -> bool:
    """Whether `hull_share` of a part is at least so much; a tangle is mostly told without making its hull."""
    between = max(_between_ends(points, axis) for axis in range(3))
    return len(points) / between >= least and hull_share(points) >= least


def _between_ends(points: NDArray[np.integer[Any]], axis: int) -> int:
    """Voxels from the first to the last of each row along an axis: all of them are in the hull."""
    at = np.roll(points - points.min(axis=0), 2 - axis, axis=1).astype(np.int64)
    size = at.max(axis=0) + 1
    row = at[:, 0] * size[1] + at[:, 1]
    order = np.argsort(row * size[2] + at[:, 2])
    row, along = row[order], at[order, 2]
    ends = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1], [True])))
    return int((along[ends[1:] - 1] - along[ends[:-1]] + 1).sum())


def hull_share(points: NDArray[np.integer[Any]]) -> float:
    """Share of the voxels in a part's convex hull that belong to the part, over 0 to 1.

    Voxels are counted, not volumes: the steps of a coarse grid do not make a ball less compact.

    Parameters
    ----------
    points : (n, 3) int
        Indices of its voxels, at least one.
    """
    at = points - points.min(axis=0)
    at = at[:, np.argsort(at.max(axis=0), kind="stable")]  # rows along the longest axis: as few as may be
    hull = ConvexHull(_corners(at))
    rows = np.indices(at.max(axis=0)[:2] + 1).reshape(2, -1)
    inside = sum(_inside(hull.equations, part, int(at[:, 2].max())) for part in _chunks(rows, len(hull.equations)))
    return len(points) / max(inside, len(points))


def _chunks(rows: NDArray[np.intp], facets: int) -> list[NDArray[np.intp]]:
    return np.array_split(rows, 1 + rows.shape[1] * facets // CHUNK, axis=1)


def _inside(facets: NDArray[np.float64], rows: NDArray[np.intp], last: int) -> int:
    """Whole numbers from 0 to `last` along each row (2, n) that lie within all facets."""
    rest = -(facets[:, :2] @ rows + facets[:, 3:]) + 1e-6
    slope = facets[:, 2:3]
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = rest / slope
    high = np.where(slope > FLAT, bound, np.inf).min(axis=0)
    low = np.where(slope < -FLAT, bound, -np.inf).max(axis=0)
    beside = ((np.abs(slope) <= FLAT) & (rest < 0)).any(axis=0)
    count = np.floor(np.minimum(high, last)) - np.ceil(np.maximum(low, 0)) + 1
    return int(np.where(beside, 0, np.maximum(count, 0)).sum())


def _corners(points: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Corners of the shrunk first and last voxel of each row; no other voxel touches the hull."""
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0]))
    rows = points[order]
    new = np.any(rows[1:, :2] != rows[:-1, :2], axis=1)
    ends = np.concatenate(([True], new)) | np.concatenate((new, [True]))
    offsets = CORNER * np.array([[z, y, x] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    corners: NDArray[np.float64] = (rows[ends][:, None] + offsets[None]).reshape(-1, 3)
    return corners
