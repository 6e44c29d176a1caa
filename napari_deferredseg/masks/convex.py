"""Whether a part is one compact thing or a tangle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORNER = 0.25  # voxels are shrunk to half their size: what lies in a plane or on a line still has a hull
MANY = 500  # of more voxels the volume of the hull says the same within a few percent, and sooner
CHUNK = 200_000


def hull_share(points: NDArray[np.integer[Any]]) -> float:
    """Share of the voxels in a part's convex hull that belong to the part, over 0 to 1.

    Voxels are counted, not volumes: the steps of a coarse grid do not make a ball less compact.

    Parameters
    ----------
    points : (n, 3) int
        Indices of its voxels, at least one.
    """
    low = points.min(axis=0)
    hull = ConvexHull(_corners(points - low))
    if len(points) > MANY:
        return float(min(1.0, len(points) / hull.volume))
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    inside = 0
    shape = tuple(int(n) for n in points.max(axis=0) - low + 1)
    for start in range(0, int(np.prod(shape)), CHUNK):
        where = np.unravel_index(np.arange(start, min(start + CHUNK, int(np.prod(shape)))), shape)
        at = np.stack(where, axis=1).astype(float)
        for normal, offset in zip(normals, offsets, strict=True):
            at = at[at @ normal + offset <= 1e-6]
        inside += len(at)
    return len(points) / max(inside, len(points))


def _corners(points: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Corners of the shrunk first and last voxel of each row; no other voxel touches the hull."""
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0]))
    rows = points[order]
    new = np.any(rows[1:, :2] != rows[:-1, :2], axis=1)
    ends = np.concatenate(([True], new)) | np.concatenate((new, [True]))
    offsets = CORNER * np.array([[z, y, x] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    corners: NDArray[np.float64] = (rows[ends][:, None] + offsets[None]).reshape(-1, 3)
    return corners
