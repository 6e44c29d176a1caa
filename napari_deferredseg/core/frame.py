"""The frame in which a volume stands on the screen: axes nearest to superior, posterior, left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_deferredseg.core.boxes import Box
from napari_deferredseg.core.geometry import Geometry, Shape, Vector

Scalar = TypeVar("Scalar", bound=np.generic)
Number = TypeVar("Number", int, float)

OBLIQUE_ABOVE = 0.5


@dataclass(frozen=True)
class Frame:
    """How a file's array (z, y, x) is shown: permuted as a view, flipped by the affine, never rotated.

    A viewer paints in the wrong slices under a rotated affine, so the frame leaves the tilt out. Points in it are
    near the patient's millimetres but not them: those come from `Geometry` and an index in file order.

    Attributes
    ----------
    perm : tuple of int
        File axis (0 = x, 1 = y, 2 = z) that runs nearest to the patient's left, posterior and superior, in this order.
    tilt : float
        Angle between the file's axes and the frame's, degrees.
    scale : tuple of float
        Step of each axis of the view in S, P, L, mm; negative where the axis runs the other way.
    translate : tuple of float
        Where the view's voxel (0, 0, 0) lies in S, P, L, mm.
    shape : tuple of int
        Shape of the view.
    """

    perm: tuple[int, int, int]
    tilt: float
    scale: Vector
    translate: Vector
    shape: Shape

    @property
    def affine(self) -> NDArray[np.float64]:
        """Matrix (4, 4) from a view index (s, p, l, 1) to S, P, L in mm: scale, flips and translation only."""
        affine = np.diag((*self.scale, 1.0))
        affine[:3, 3] = self.translate
        return affine

    @property
    def axes(self) -> tuple[int, int, int]:
        """Axis of the file's array (z, y, x) that each axis of the view shows."""
        left, posterior, superior = self.perm
        return 2 - superior, 2 - posterior, 2 - left

    @property
    def oblique(self) -> bool:
        """Whether the volume is tilted enough to tell the reader."""
        return self.tilt > OBLIQUE_ABOVE

    def view(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Show an array (..., z, y, x) as (..., s, p, l), a view: what is written to it reaches the array."""
        return array.transpose(_last_three(array.ndim, self.axes))

    def file_order(self, view: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return an array (..., s, p, l) as (..., z, y, x), a view."""
        return view.transpose(_last_three(view.ndim, self._inverse))

    def to_file(self, index: ArrayLike) -> NDArray[Any]:
        """Indices (..., 3) of the file's array, of indices (..., 3) of the view."""
        return np.asarray(index)[..., self._inverse]

    def to_view(self, index: ArrayLike) -> NDArray[Any]:
        """Indices (..., 3) of the view, of indices (..., 3) of the file's array."""
        return np.asarray(index)[..., self.axes]

    def box_to_file(self, box: Box) -> Box:
        """Box of the file's array, of a box of the view."""
        z, y, x = self._inverse
        return box[z], box[y], box[x]

    def box_to_view(self, box: Box) -> Box:
        """Box of the view, of a box of the file's array."""
        s, p, left = self.axes
        return box[s], box[p], box[left]

    def world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 3) of the frame as S, P, L in mm, of indices (..., 3) of the view."""
        at: NDArray[np.float64] = np.asarray(index, np.float64)
        return at * np.array(self.scale, np.float64) + np.array(self.translate, np.float64)

    def index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices (..., 3) of the view, of points (..., 3) of the frame."""
        at: NDArray[np.float64] = np.asarray(world, np.float64)
        return (at - np.array(self.translate, np.float64)) / np.array(self.scale, np.float64)

    @property
    def _inverse(self) -> tuple[int, int, int]:
        z, y, x = (self.axes.index(axis) for axis in range(3))
        return z, y, x


def frame_of(geometry: Geometry) -> Frame:
    """Frame of a volume: the nearest one whose axes are the patient's, with the same centre."""
    direction = np.array(geometry.direction)
    perm = max(permutations(range(3)), key=lambda p: sum(abs(direction[r, p[r]]) for r in range(3)))
    turned = direction[:, perm]
    spacing = np.array(geometry.spacing)[list(perm)]
    flips = np.diag(np.where(np.diag(turned) < 0, -1.0, 1.0))
    tilt = np.degrees(np.arccos(np.clip((np.trace(flips @ turned) - 1) / 2, -1, 1)))
    shape = np.array(geometry.shape[::-1])[list(perm)]
    half = (shape - 1) / 2
    origin = np.array(geometry.origin) + (turned * spacing) @ half - (flips * spacing) @ half
    return Frame(
        perm=_three(perm),
        tilt=float(tilt),
        scale=_three(float(v) for v in np.diag(flips * spacing)[::-1]),
        translate=_three(float(v) for v in origin[::-1]),
        shape=_three(int(n) for n in shape[::-1]),
    )


def _three(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    a, b, c = values
    return a, b, c


def _last_three(ndim: int, axes: tuple[int, int, int]) -> tuple[int, ...]:
    return (*range(ndim - 3), *(ndim - 3 + axis for axis in axes))
