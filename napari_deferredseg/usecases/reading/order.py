"""What comes next in a worklist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.core.records import WorkItem


def next_after(items: list[WorkItem], region_id: str | None, step: int) -> WorkItem | None:
    """Item `step` places after a region in a worklist, round the end; the first where the region is not in it."""
    if not items:
        return None
    place = next((i for i, item in enumerate(items) if item.region.id == region_id), None)
    return items[0 if place is None else (place + step) % len(items)]


def case_after(items: list[WorkItem], region_id: str, within: int) -> str | None:
    """Key of the case that comes next in a worklist, where at most `within` regions are before it; None else."""
    place = next((i for i, item in enumerate(items) if item.region.id == region_id), None)
    if place is None:
        return None
    here = items[place].case.key
    coming = (items[place + 1 :] + items[:place])[: within + 1]
    return next((item.case.key for item in coming if item.case.key != here), None)
