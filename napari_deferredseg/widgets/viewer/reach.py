"""How far a brush or a fill that goes across slices reaches: a ball in millimetres, no further than an area."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_deferredseg.core.boxes import intersection, slices, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.boxes import Box


class Area(NamedTuple):
    """Voxels that may be painted: `mask` (dz, dy, dx) inside `box`."""

    box: Box
    mask: NDArray[np.bool_]


def ball(radius: float, spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Ball around the middle voxel: those whose centres are within a radius, mm; odd along every axis."""
    reach = [int(radius / step + 1e-6) for step in spacing]
    grid = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    square = np.asarray(sum((i * step) ** 2 for i, step in zip(grid, spacing, strict=True)))
    return square <= radius**2 + 1e-6


def cut(shape: NDArray[np.bool_], center: Sequence[int], area: Area) -> tuple[Area | None, bool]:
    """The part of a ball about a voxel that lies in an area, None where none does; and whether something is cut off."""
    low = [c - n // 2 for c, n in zip(center, shape.shape, strict=True)]
    z, y, x = ((a, a + n) for a, n in zip(low, shape.shape, strict=True))
    common = intersection((z, y, x), area.box)
    if common is None:
        return None, True
    mask = shape[within(common, (z, y, x))] & area.mask[within(common, area.box)]
    return Area(common, mask), int(mask.sum()) < int(shape.sum())


def connected(labels: NDArray[np.integer], seed: Sequence[int], area: Area) -> NDArray[np.bool_]:
    """Voxels of the area with the seed's label that are joined to it by faces without leaving the area.

    `labels` (z, y, x) are whole; the seed must lie in the area. The mask is in the area's box.
    """
    at = tuple(s - low for s, (low, _) in zip(seed, area.box, strict=True))
    same = area.mask & (labels[slices(area.box)] == labels[tuple(seed)])
    parts, _ = ndimage.label(same)
    return np.asarray(parts == parts[at])
