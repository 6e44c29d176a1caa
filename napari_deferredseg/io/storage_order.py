"""One grid stored in several ways: axes in another order, or counted from the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.io.itk import matrix, vector

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import Array

ALONG = 0.9
"""Share of an axis that lies along another one, from where on both may be the same."""


class Reordering:
    """How voxels on one grid become those of the same grid stored otherwise; nothing is resampled.

    Attributes
    ----------
    order : three ints
        Which axis (z, y, x) of the other becomes the first, second and third.
    flipped : three bools
        Which axes run the other way, after that.
    """

    def __init__(self, order: tuple[int, ...], flipped: tuple[bool, ...]) -> None:
        self.order, self.flipped = order, flipped

    def array(self, array: Array) -> Array:
        """Return an array (..., z, y, x) in the new order, in memory of its own."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        axes = [lead + axis for axis, flip in enumerate(self.flipped) if flip]
        return np.ascontiguousarray(np.flip(turned, tuple(axes)))

    def geometry(self, grid: Geometry) -> Geometry:
        """Return the grid of `array`."""
        columns = grid.affine()[:3, :3][:, list(self.order)]
        shape = [grid.shape[axis] for axis in self.order]
        first = [n - 1 if flip else 0 for n, flip in zip(shape, self.flipped, strict=True)]
        origin = grid.affine()[:3, 3] + columns @ np.array(first, float)
        signed = columns * np.where(self.flipped, -1.0, 1.0)
        xyz = signed[:, ::-1]
        spacing = np.array([grid.spacing_zyx[axis] for axis in self.order])[::-1]
        return Geometry(
            shape=(shape[0], shape[1], shape[2]),
            spacing=vector(spacing),
            origin=vector(origin),
            direction=matrix(xyz / spacing),
        )

    def __str__(self) -> str:
        names = "zyx"
        moved = [names[axis] for axis in self.order]
        said = [] if moved == list(names) else [f"its axes {', '.join(moved)} became z, y, x"]
        turned = [name for name, flip in zip(names, self.flipped, strict=True) if flip]
        if turned:
            said.append(f"{', '.join(turned)} {'was' if len(turned) == 1 else 'were'} reversed")
        return " and ".join(said)


def reordering(wanted: Geometry, other: Geometry) -> Reordering | None:
    """How to store `other` as `wanted` is stored, where both are the same voxels; else None.

    Only grids whose orientation is known are compared: of others nobody can tell which axis is which.
    """
    if not (wanted.orientation_known and other.orientation_known):
        return None
    cosines = np.array(wanted.direction).T[::-1] @ np.array(other.direction)[:, ::-1]
    order = tuple(int(axis) for axis in np.abs(cosines).argmax(axis=1))
    along = [cosines[i, axis] for i, axis in enumerate(order)]
    if sorted(order) != [0, 1, 2] or min(abs(v) for v in along) < ALONG:
        return None
    found = Reordering(order, tuple(bool(v < 0) for v in along))
    return found if wanted.same_grid(found.geometry(other)) else None
