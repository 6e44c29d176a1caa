"""What widgets show of a project and of the open region: facts, read once, in the words that people see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_deferredseg.usecases.reading.painted import painted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deferredseg.core.records import Assignment, Reader, WorkItem
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.read import Reading

MOST_LABELS = 2
"""So many labels of a region are named in a list."""


@dataclass(frozen=True)
class CaseRow:
    """A case of the project, and the name of the file that it was read from."""

    key: str
    file: str


@dataclass(frozen=True)
class WorkRow:
    """A region in a reader's list, and the names of the labels that it is about."""

    item: WorkItem
    about: str


@dataclass(frozen=True)
class Progress:
    """How much waits for a reader: regions, in how many cases, and about how long they take."""

    regions: int
    cases: int
    minutes: float


@dataclass(frozen=True)
class RegionFacts:
    """What is asked of the reader of the open region.

    Attributes
    ----------
    about : str
        Names of the labels that it is about.
    volume : float
        mm³.
    notes : tuple of str
        What the model and whoever sent it wrote.
    is_amendment : bool
        Whether it is a submission that was opened again.
    """

    number: int
    about: str
    volume: float
    question: str
    notes: tuple[str, ...]
    is_amendment: bool


@dataclass(frozen=True)
class Elsewhere:
    """Voxels that are changed in another region; `holder` is a name, or "" for one's own."""

    number: int
    voxels: int
    holder: str


@dataclass(frozen=True)
class Changes:
    """What a submission of the open region would change.

    Attributes
    ----------
    elsewhere : tuple of Elsewhere
        Regions of other people first, then by number of voxels.
    unnamed : tuple of int
        Labels that the case's table lacks.
    """

    voxels: int = 0
    elsewhere: tuple[Elsewhere, ...] = ()
    unnamed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sent:
    """Where a region went: the name of a reader and whether they are away, or a group."""

    number: int
    to: str


def case_rows(project: Project) -> tuple[CaseRow, ...]:
    """List the cases of a project."""
    return tuple(CaseRow(case.key, PurePath(case.source).name) for case in project.store.cases())


def work_rows(project: Project, items: Sequence[WorkItem], known: Mapping[str, str]) -> tuple[WorkRow, ...]:
    """List regions, in this order; `known` says what some are about, by id, as it was read before."""
    cases = {item.case.key for item in items if item.region.id not in known}
    tables = {key: project.store.prediction(key).table for key in cases}
    rows = []
    for item in items:
        about = known.get(item.region.id)
        if about is None:
            table = tables[item.case.key]
            about = ", ".join(table.name(value) for value in item.region.labels[:MOST_LABELS]) or "new"
        rows.append(WorkRow(item, about))
    return tuple(rows)


def progress(items: Sequence[WorkItem]) -> Progress:
    """Count what waits."""
    return Progress(len(items), len({x.case.key for x in items}), sum(x.region.minutes for x in items))


def region_facts(reading: Reading) -> RegionFacts:
    """Say what is asked."""
    item, table = reading.item, reading.case.prediction.table
    sent = f"{item.sent_with} ({item.assignment.assigned_by})" if item.sent_with else ""
    return RegionFacts(
        number=item.region.number,
        about=", ".join(table.name(value) for value in item.region.labels) or "no label",
        volume=item.region.volume,
        question=reading.question(),
        notes=tuple(note for note in (item.region.note, sent) if note),
        is_amendment=reading.supersedes is not None,
    )


def changes(reading: Reading, regions: Sequence[WorkItem]) -> Changes:
    """Look at what a reader has painted so far; `regions` are all those of the case."""
    found = painted(reading, regions)
    if not found.elsewhere:
        return Changes(found.voxels, (), found.unnamed)
    names = names_of(reading.project.store.readers())
    own = reading.reader.login
    elsewhere = [
        Elsewhere(x.region.number, count, "" if _login(x.assignment) == own else holder(x.assignment, names))
        for x, count in found.elsewhere
    ]
    return Changes(found.voxels, tuple(sorted(elsewhere, key=lambda x: (not x.holder, -x.voxels))), found.unnamed)


def names_of(readers: Sequence[Reader]) -> dict[str, str]:
    """Names by login."""
    return {reader.login: reader.name for reader in readers}


def holder(held: Assignment, names: Mapping[str, str]) -> str:
    """Name of whoever has a region, or its group."""
    login = _login(held)
    return names.get(login, login) if login else f"group {held.group}"


def sent(number: int, held: Assignment, readers: Sequence[Reader]) -> Sent:
    """Say where a region went, and until when whoever has it now is away."""
    reader = next((x for x in readers if x.login == _login(held)), None)
    return Sent(number, f"{holder(held, names_of(readers))}{'' if reader is None else away(reader)}")


def away(reader: Reader) -> str:
    """Until when a reader is away, to stand behind their name; empty where they are not."""
    return f" (away until {reader.absent_to})" if reader.is_absent(date.today()) else ""


def _login(held: Assignment) -> str:
    return held.reader or held.holder or ""
