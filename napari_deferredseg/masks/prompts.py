"""Boxes that tell a segmentor where to look, from a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cc3d
import numpy as np

from napari_deferredseg.core.scan import SliceBox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deferredseg.core.volume import Array

SPECK = 4
"""Parts of a slice with fewer voxels get no box."""


def boxes_of(labels: Array, margin: int = 0) -> tuple[SliceBox, ...]:
    """Box around every connected part (8 neighbours) of a label map's slices.

    Parameters
    ----------
    labels : (z, y, x), unsigned integer
    margin : int
        Voxels that a box reaches beyond its part on every side, as far as the slice goes.
    """
    return tuple(box for z in range(len(labels)) for box in boxes_in(labels[z], z, margin))


def boxes_in(plane: Array, z: int, margin: int = 0) -> Iterator[SliceBox]:
    """Boxes of one slice (y, x), which is slice `z` of its volume; see `boxes_of`."""
    parts, count = cc3d.connected_components(np.ascontiguousarray(plane), connectivity=8, return_N=True)
    if not count:
        return
    found = cc3d.statistics(parts)
    height, width = plane.shape
    for number in range(1, count + 1):
        if found["voxel_counts"][number] < SPECK:
            continue
        rows, columns = found["bounding_boxes"][number]
        label = int(plane[rows, columns][parts[rows, columns] == number][0])
        yield SliceBox(
            label,
            z,
            (max(rows.start - margin, 0), min(rows.stop + margin, height)),
            (max(columns.start - margin, 0), min(columns.stop + margin, width)),
        )
