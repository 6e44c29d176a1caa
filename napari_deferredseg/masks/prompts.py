"""Boxes that tell a segmentor where to look, from a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cc3d
import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.core.volume import labels_present

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_deferredseg.core.volume import Array, LabelMap, LabelTable

SPECK = 4
"""Parts of a slice with fewer voxels get no box."""


def require_alike(mask: LabelMap, table: LabelTable, path: Path) -> None:
    """Check that a prompt means by its labels what a table means.

    Raises
    ------
    InputError
        It holds a value that the table lacks, or calls one otherwise.
    """
    for value in labels_present(mask.array):
        if value not in table:
            raise InputError(f"{path}: holds label {value}, which the model does not know; remap the file")
        own, wanted = mask.table.name(value), table.name(value)
        if value in mask.table and own.casefold() != wanted.casefold():
            raise InputError(f"{path}: calls label {value} {own!r}, the model calls it {wanted!r}; remap the file")


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
