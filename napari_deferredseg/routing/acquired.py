"""The slices that a volume was acquired in, whichever of its array's axes they lie along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry, Matrix
    from napari_deferredseg.core.volume import Array

COARSE = 1.2
"""An axis along which voxels are over so many times as long as along both others is the one across the slices."""


def slice_axis(geometry: Geometry) -> int:
    """Array axis across the slices: one of a single voxel, else the one that is clearly coarser than both others.

    Where there is none, as on isotropic grids, it is the array's first axis, as files commonly have it.
    """
    if 1 in geometry.shape:
        return geometry.shape.index(1)
    longest = int(np.argmax(geometry.spacing_zyx))
    second = sorted(geometry.spacing_zyx)[1]
    return longest if geometry.spacing_zyx[longest] > COARSE * second else 0


@dataclass(frozen=True)
class Acquired:
    """Arrays and indices with the slices along the first axis.

    Attributes
    ----------
    order : (axis, axis, axis)
        The file's axis across the slices, then its other axes.
    geometry : Geometry
        The same grid, its axes in that order.
    """

    order: tuple[int, int, int]
    geometry: Geometry

    @classmethod
    def of(cls, geometry: Geometry) -> Self:
        """Slices of a grid as it is in its file."""
        first = slice_axis(geometry)
        second, third = (axis for axis in range(3) if axis != first)
        order = (first, second, third)
        if first == 0:
            return cls(order, geometry)
        sz, sy, sx = (geometry.spacing_zyx[axis] for axis in order)
        nz, ny, nx = (geometry.shape[axis] for axis in order)
        columns = np.array(geometry.direction)[:, [2 - axis for axis in reversed(order)]]
        a, b, c = ((float(row[0]), float(row[1]), float(row[2])) for row in columns)
        direction: Matrix = (a, b, c)
        there = {"shape": (nz, ny, nx), "spacing": (sx, sy, sz), "direction": direction}
        return cls(order, geometry.model_copy(update=there))

    def array(self, array: Array) -> Array:
        """View of an array (z, y, x) with the slices along the first axis."""
        return array.transpose(self.order)

    def index(self, index: Sequence[int]) -> list[int]:
        """Index in the array of an index in the file's."""
        return [index[axis] for axis in self.order]

    def in_file(self, points: NDArray[np.int32]) -> NDArray[np.int32]:
        """Indices (n, 3) in the file's array of indices in the array."""
        return points[:, np.argsort(self.order)]
