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

    from napari_deferredseg.core.volume import Array, LabelMap, LabelTable

SPECK = 4
"""Parts of a slice with fewer voxels get no box."""


def in_terms_of(table: LabelTable, mask: LabelMap) -> tuple[Array, tuple[str, ...]]:
    """Prompt (z, y, x) in the values of a table, and the names of structures that the table lacks: they are left out.

    Labels are matched by name where both sides name them, else by value.

    Raises
    ------
    InputError
        It holds labels, and none of them is in the table.
    """
    present = labels_present(mask.array)
    known = {value: found for value in present if (found := _match(value, mask.table, table)) is not None}
    left_out = tuple(mask.table.name(value) for value in present if value not in known)
    if left_out and not known:
        names = ", ".join(x.name for x in table.labels)
        raise InputError(
            f"{mask.source}: holds {', '.join(left_out)}, the model draws {names}; name or number them alike"
        )
    if not left_out and all(value == found for value, found in known.items()):
        return np.ascontiguousarray(mask.array), ()
    array = np.zeros(mask.array.shape, np.uint32)
    for value, found in known.items():
        array[mask.array == value] = found
    return array, left_out


def _match(value: int, own: LabelTable, table: LabelTable) -> int | None:
    """Value that a table has for a label of one's own."""
    if own.is_named(value):
        name = own.name(value).casefold()
        by_name = next((x.value for x in table.labels if x.name.casefold() == name), None)
        if by_name is not None or table.is_named(value):
            return by_name
    return value if value in table else None


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
