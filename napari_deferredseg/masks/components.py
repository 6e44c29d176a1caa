"""Connected parts of masks and label maps, 26 neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cc3d
import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.core.geometry import Shape, Vector
    from napari_deferredseg.core.volume import Array

COARSE_MM = 1.5
SLAB = 16
"""Slices that are counted at a time: numpy counts in copies of eight bytes a voxel."""


@dataclass(frozen=True)
class Components:
    """Connected parts of an array.

    Attributes
    ----------
    ids : (z, y, x) uint16 or uint32
        Number of the part at each voxel, from 1; 0 where the array is 0.
    voxels : (n,) int64
        Size of part i + 1.
    boxes : list of n Box
        Where part i + 1 lies.
    """

    ids: Array
    voxels: NDArray[np.int64]
    boxes: list[Box]

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Part `number` (from 1) inside its box."""
        (a, b), (c, d), (e, f) = self.boxes[number - 1]
        return np.asarray(self.ids[a:b, c:d, e:f] == number)


def components(array: Array) -> Components:
    """Separate (z, y, x) bool or labels into connected parts of one value each."""
    return counted(numbered(array))


def numbered(array: Array) -> Array:
    """Number (z, y, x) of the connected part that each voxel of bool or labels is in, from 1; 0 where it is 0."""
    whole = np.ascontiguousarray(array)
    if whole.dtype == np.bool_:
        whole = whole.view(np.uint8)  # of truth values cc3d expects too few parts on a grid of a few voxels, and raises
    return np.asarray(cc3d.connected_components(whole, connectivity=26))


def counted(ids: Array) -> Components:
    """Sizes and boxes of numbered parts (z, y, x), which are numbered from 1 without a gap."""
    signed = ids.view(np.int32) if ids.dtype == np.uint32 else ids
    boxes: list[Box] = []
    for found in ndimage.find_objects(signed):
        z, y, x = ((s.start, s.stop) for s in found)
        boxes.append((z, y, x))
    return Components(ids, _sizes(ids, len(boxes) + 1)[1:], boxes)


def _sizes(ids: Array, count: int) -> NDArray[np.int64]:
    """Voxels (count,) of each number."""
    sizes = np.zeros(count, np.int64)
    for z in range(0, len(ids), SLAB):
        sizes += np.bincount(ids[z : z + SLAB].ravel(), minlength=count)
    return sizes


def structure_radius(labels: Array, spacing_zyx: Vector) -> dict[int, float]:
    """Typical radius of each label's connected structures, mm.

    Half of the label's voxels lie in structures of at least this radius; it is that of a ball of the same volume (on
    a single slice, of a disc of the same area). Fine grids are measured at every n-th voxel.

    Parameters
    ----------
    labels : (z, y, x) uint8 or uint16
        0 is background.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    """
    z, y, x = (max(1, int(COARSE_MM / s)) for s in spacing_zyx)
    coarse = np.ascontiguousarray(labels[::z, ::y, ::x])
    parts = components(coarse)
    value = np.zeros(len(parts.voxels) + 1, coarse.dtype)
    for own, plane in zip(parts.ids, coarse, strict=True):
        begins = np.flatnonzero(own.ravel()[1:] != own.ravel()[:-1]) + 1
        for at in (begins, slice(1)):
            value[own.ravel()[at]] = plane.ravel()[at]
    result = {}
    for label in np.unique(value[1:]):
        voxels = np.sort(parts.voxels[value[1:] == label])[::-1]
        half = voxels[np.searchsorted(np.cumsum(voxels), voxels.sum() / 2)]
        result[int(label)] = _radius(half, coarse.shape, (z * spacing_zyx[0], y * spacing_zyx[1], x * spacing_zyx[2]))
    return result


def _radius(voxels: int, shape: tuple[int, ...], spacing_zyx: Vector) -> float:
    sz, sy, sx = spacing_zyx
    if shape[0] == 1:
        return float(np.sqrt(voxels * sy * sx / np.pi))
    return float(np.cbrt(voxels * sz * sy * sx * 3 / (4 * np.pi)))


def deepest_index(mask: NDArray[np.bool_], spacing_zyx: Vector) -> Shape:
    """Index (z, y, x) of the true voxel of (dz, dy, dx) farthest from the outside, mm; of equals the most central.

    The outside of the array counts as outside, but not across an axis of one slice.

    Raises
    ------
    ValueError
        No voxel is true.
    """
    where = np.argwhere(mask)
    if not len(where):
        raise ValueError("an empty mask has no deepest voxel")
    margins = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
    depth = ndimage.distance_transform_edt(np.pad(mask, margins), sampling=spacing_zyx)
    values = depth[tuple((where + [m for m, _ in margins]).T)]
    deepest = where[values >= values.max() - 1e-6]
    offset = (deepest - where.mean(axis=0)) * spacing_zyx
    z, y, x = deepest[int(np.argmin((offset**2).sum(axis=1)))].tolist()
    return z, y, x
