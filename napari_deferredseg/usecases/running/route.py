"""Give regions to readers, minding what lies on their desks already."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from pydantic import Field

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import Name
from napari_deferredseg.core.records import Record, State
from napari_deferredseg.routing.assign import assign, why_not_routed_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deferredseg.core.records import Assignment, Region
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.usecases.project import Project

WAITING = (State.OPEN, State.CLAIMED, State.SKIPPED)


class Channels(Record):
    """The named people behind a model's expert channels. What it learned of them is used for this purpose only.

    `readers` maps a channel's name to a login, or to a group whose members all stand behind it.
    """

    readers: dict[str, str] = Field(min_length=1)
    purpose: Name


def make_channels(readers: Mapping[str, str], purpose: str) -> Channels | None:
    """Map expert channels onto people for a stated purpose; None when none is mapped.

    Raises
    ------
    InputError
        One of both is there without the other.
    """
    if not readers:
        if purpose.strip():
            raise InputError("a purpose is stated but no expert channel is mapped onto a reader; do both or neither")
        return None
    if not " ".join(purpose.split()).isprintable() or not purpose.strip():
        raise InputError(
            "what a model learned of readers is used for a stated purpose only: say which (--purpose, or the line "
            "below the channels), or map no channel"
        )
    return Channels(readers=dict(readers), purpose=purpose)


def route(
    project: Project,
    regions: Sequence[Region],
    table: LabelTable,
    columns: Mapping[str, int] | None = None,
    replaced_case: str | None = None,
) -> list[Assignment]:
    """Assign regions to the project's readers; what waits in `replaced_case` is about to be withdrawn.

    Parameters
    ----------
    columns : mapping of login to int, optional
        As `columns_of` gives them: whose gain is which of the regions' scores.

    Raises
    ------
    InputError
        The project has no reader, or all are absent today.
    """
    busy = minutes_waiting(project, replaced_case)
    return assign(regions, project.store.readers(), table, busy=busy, columns=columns, day=date.today()).assignments


def minutes_waiting(project: Project, leave_out: str | None = None) -> dict[str, float]:
    """Minutes of reading that wait for each reader, by login, one case left out."""
    waiting: dict[str, float] = {}
    for item in project.store.items():
        held = item.assignment
        if held.reader is not None and held.state in WAITING and item.case.key != leave_out:
            waiting[held.reader] = waiting.get(held.reader, 0.0) + item.region.minutes
    return waiting


def columns_of(project: Project, channels: Channels, experts: Sequence[str]) -> dict[str, int]:
    """Number of the expert channel that stands for each reader, by login.

    Raises
    ------
    InputError
        A channel is not the model's or mapped onto nobody to whom regions are routed, or a reader stands behind two.
    """
    columns: dict[str, int] = {}
    for channel, name in channels.readers.items():
        if channel not in experts:
            known = ", ".join(experts) or "none"
            raise InputError(f"the model has no expert channel {channel!r}; its channels: {known}")
        named = [r for r in project.store.readers() if name.casefold() == r.login.casefold() or name in r.groups]
        if not named:
            raise InputError(
                f"channel {channel} is mapped onto {name!r}, who is no reader and no group of this project"
            )
        people = [r.login for r in named if r.is_routed_to]
        if not people:
            why = ", ".join(map(why_not_routed_to, named))
            raise InputError(f"channel {channel} is mapped onto {name!r}, to whom nothing is routed: {why}")
        for login in people:
            if login in columns:
                raise InputError(f"{login} stands behind two channels; map each reader onto one")
            columns[login] = experts.index(channel)
    return columns
