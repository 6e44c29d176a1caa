"""Give regions to readers, minding what lies on their desks already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.records import State
from napari_deferredseg.routing.assign import assign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Assignment, Region
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.usecases.project import Project

WAITING = (State.OPEN, State.CLAIMED, State.SKIPPED)


def route(
    project: Project, regions: Sequence[Region], table: LabelTable, replaced_case: str | None = None
) -> list[Assignment]:
    """Assign regions to the project's readers; what waits in `replaced_case` is about to be withdrawn.

    Raises
    ------
    InputError
        The project has no reader.
    """
    busy = minutes_waiting(project, replaced_case)
    return assign(regions, project.store.readers(), table, busy=busy).assignments


def minutes_waiting(project: Project, leave_out: str | None = None) -> dict[str, float]:
    """Minutes of reading that wait for each reader, by login, one case left out."""
    waiting: dict[str, float] = {}
    for item in project.store.items():
        held = item.assignment
        if held.reader is not None and held.state in WAITING and item.case.key != leave_out:
            waiting[held.reader] = waiting.get(held.reader, 0.0) + item.region.minutes
    return waiting
