"""Gaussian smoothing in millimetres, done only where there is something to smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_deferredseg.core.boxes import Box, bounding_box, grown, size, slices, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Shape, Vector

TRUNCATE = 3.0
NEGLIGIBLE = 0.2  # a Gaussian of fewer voxels leaves over 99.99 % of a voxel where it was
BLOCK = 8


def smooth(array: NDArray[np.float32], spacing_zyx: Vector, sigma_mm: float) -> NDArray[np.float32]:
    """Smooth a map with a Gaussian; its total is kept, at the borders too (they mirror).

    Parameters
    ----------
    array : (z, y, x) float32
        A map; quick where most of it is 0.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    sigma_mm : float
        Standard deviation, mm; the kernel ends at three of them. 0 smooths nothing.

    Returns
    -------
    (z, y, x) float32
        A new array. Rounding may leave the range of the values by a hair.

    Raises
    ------
    ValueError
        `sigma_mm` is negative or not finite.
    """
    if not np.isfinite(sigma_mm) or sigma_mm < 0:
        raise ValueError(f"sigma {sigma_mm} mm must be 0 or more")
    sigma = [_voxels(sigma_mm, s, n) for s, n in zip(spacing_zyx, array.shape, strict=True)]
    if not any(sigma):
        return array.copy()
    reach = [int(TRUNCATE * s + 0.5) for s in sigma]
    result = np.zeros(array.shape, np.float32)
    for part in _parts(array, reach):
        # The parts do not overlap and a Gaussian is linear: the sum of smoothed parts is the smoothed whole.
        box, piece = part, array[slices(part)]
        for axis in np.flatnonzero(sigma):
            wide = grown(box, _along(int(axis), reach[axis]), _shape(array))
            room = np.zeros(size(wide), np.float32)
            room[within(box, wide)] = piece
            piece = ndimage.gaussian_filter1d(room, sigma[axis], axis=int(axis), truncate=TRUNCATE)
            box = wide
        target = result[slices(box)]
        target += piece
    return result


def _along(axis: int, reach: int) -> Shape:
    z, y, x = (reach if i == axis else 0 for i in range(3))
    return z, y, x


def _voxels(sigma_mm: float, spacing: float, length: int) -> float:
    sigma = sigma_mm / spacing
    return sigma if length > 1 and sigma >= NEGLIGIBLE else 0.0


def _shape(array: NDArray[np.float32]) -> Shape:
    z, y, x = array.shape
    return z, y, x


def _parts(array: NDArray[np.float32], reach: Sequence[int]) -> Iterator[Box]:
    """Boxes without overlap that hold all non-zero voxels and are cheap to smooth when each grows by `reach`."""
    shape = _shape(array)
    for blocks in _halved(_occupied(array), reach)[0]:
        z, y, x = ((lo * BLOCK, min(n, hi * BLOCK)) for (lo, hi), n in zip(blocks, shape, strict=True))
        yield z, y, x


def _occupied(array: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Blocks of 8 x 8 x 8 voxels that hold a non-zero one."""
    hit = np.stack([(array[z : z + BLOCK] != 0).any(axis=0) for z in range(0, len(array), BLOCK)])
    for axis in (1, 2):
        hit = np.logical_or.reduceat(hit, np.arange(0, hit.shape[axis], BLOCK), axis=axis)
    return hit


def _halved(hit: NDArray[np.bool_], reach: Sequence[int], start: Shape = (0, 0, 0)) -> tuple[list[Box], float]:
    """Boxes of blocks, and the voxels to be filtered; a box is halved for as long as that saves work."""
    box = bounding_box(hit)
    if box is None:
        return [], 0.0
    whole = float(np.prod([BLOCK * n + 2 * r for n, r in zip(size(box), reach, strict=True)]))
    a, b, c = ((lo + s, hi + s) for (lo, hi), s in zip(box, start, strict=True))
    axis = int(np.argmax(size(box)))
    length = size(box)[axis]
    tight = hit[slices(box)]
    if length == 1 or tight.all():
        return [(a, b, c)], whole
    corner = (a[0], b[0], c[0])
    middle = [length // 2 if i == axis else 0 for i in range(3)]
    low, high = np.split(tight, [length // 2], axis=axis)
    left = _halved(low, reach, corner)
    right = _halved(high, reach, (corner[0] + middle[0], corner[1] + middle[1], corner[2] + middle[2]))
    cost = left[1] + right[1]
    return (left[0] + right[0], cost) if cost < whole else ([(a, b, c)], whole)
