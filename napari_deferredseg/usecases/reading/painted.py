"""What a submission of the open region would change, told before it is submitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import intersection, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.read import Reading


@dataclass(frozen=True)
class Painted:
    """What differs from what was found.

    Attributes
    ----------
    voxels : int
        How many voxels.
    elsewhere : tuple of (WorkItem, int)
        Other regions in which some of them lie, and how many, in order of number.
    unnamed : tuple of int
        Labels they have now that the case's table lacks.
    """

    voxels: int = 0
    elsewhere: tuple[tuple[WorkItem, int], ...] = ()
    unnamed: tuple[int, ...] = ()


def painted(reading: Reading, items: Sequence[WorkItem]) -> Painted:
    """Look at what a reader has painted so far; `items` are all regions of the case."""
    after = reading.after
    changed = reading.before != after
    voxels = int(np.count_nonzero(changed))
    if not voxels:
        return Painted()
    found: list[tuple[WorkItem, int]] = []
    for item in items:
        common = intersection(item.region.box, reading.box)
        if common is None or item.region.id == reading.item.region.id:
            continue
        theirs = item.region.mask[within(common, item.region.box)]
        if count := int(np.count_nonzero(changed[within(common, reading.box)] & theirs)):
            found.append((item, count))
    values = np.flatnonzero(np.bincount(after[changed]))
    table = reading.case.prediction.table
    unnamed = tuple(int(value) for value in values if value and int(value) not in table)
    return Painted(voxels, tuple(sorted(found, key=lambda pair: pair[0].region.number)), unnamed)
