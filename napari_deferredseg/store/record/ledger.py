"""The record of events as read for a check: its links, and who did what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Table


KINDS = frozenset(
    (
        *("reader", "case", "move", "run", "region", "assign", "claim", "release", "skip", "decline", "withdraw"),
        *("submit", "amend", "erase", "key", "seal", "adopt", "guard"),
    )
)


@dataclass
class Ledger:
    """The record, entry by entry. `people` are the rows that say who and why and are as they were, by entry."""

    entries: list[Mapping[str, Any]] = field(default_factory=list)
    people: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        """Hash of the last entry."""
        return self.head_at(len(self.entries))

    def head_at(self, length: int) -> str:
        """Hash of the entry with this number."""
        return str(self.entries[length - 1]["chain"]) if length > 0 else chain.START

    def region(self, region_id: object) -> str:
        """Name a region as people know it."""
        return self.names.get(f"region {region_id}", "a region that is not there")

    def correction(self, correction_id: object) -> str:
        """Name a correction by its place and its region."""
        return self.names.get(f"correction {correction_id}", "a correction that is not there")

    def run(self, prediction_id: object) -> str:
        """Name a run by its case and its time."""
        return self.names.get(f"run {prediction_id}", "a run that is not there")

    def reader(self, login: object) -> str:
        """Name a reader."""
        return self.names.get(f"reader {login}", f"reader {login}")

    def tells(self, entry: Mapping[str, Any]) -> str:
        """Name an entry."""
        about = f" of {self.region(entry['region_id'])}" if entry["region_id"] else ""
        return f"entry {entry['sequence']} ({entry['what']}{about})"


def each(connection: Connection, table: Table, key: str) -> Iterator[tuple[Any, Mapping[str, Any] | None]]:
    """Every row of a table with its key, in the order of the keys; None for a row that cannot be read."""
    column = table.c[key]
    done: set[Any] = set()
    rows = iter(connection.execute(select(table).order_by(column)).mappings())
    try:
        while (row := next(rows, None)) is not None:
            done.add(row[key])
            yield row[key], dict(row)
        return
    except (ValueError, TypeError, DBAPIError):
        pass  # some row is damaged: one by one, to name it
    for identity in [x for x in connection.scalars(select(column).order_by(column)) if x not in done]:
        try:
            yield identity, dict(connection.execute(select(table).where(column == identity)).mappings().one())
        except (ValueError, TypeError, DBAPIError):
            yield identity, None


def facts_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of an entry; none where somebody has put something else there."""
    return entry["facts"] if isinstance(entry["facts"], dict) else {}


def read_ledger(connection: Connection) -> Ledger:
    """Read the record and check its links."""
    ledger = Ledger(names=_names(connection))
    previous = chain.START
    for number, row in each(connection, schema.events, "sequence"):
        if row is None:
            ledger.problems.append(f"entry {number} of the record is damaged in the database")
            continue
        ledger.entries.append(row)
        fits = number == len(ledger.entries) and _link(previous, row) == row["chain"]
        if not fits:
            ledger.problems.append(
                f"{ledger.tells(row)} does not fit the one before it: it was changed, put in or moved"
            )
        if row["what"] not in KINDS:
            ledger.problems.append(f"{ledger.tells(row)} is of a kind that this program does not write")
        previous = row["chain"]
    _read_people(connection, ledger)
    return ledger


def _names(connection: Connection) -> dict[str, str]:
    regions, corrections, readers = schema.regions.c, schema.corrections.c, schema.readers.c
    names = {}
    for identity, number, case in connection.execute(select(regions.id, regions.number, regions.case_key)):
        names[f"region {identity}"] = f"region {number} of {case}"
    for identity, number, region in connection.execute(
        select(corrections.id, corrections.sequence, corrections.region_id)
    ):
        where = names.get(f"region {region}", "a region that is not there")
        names[f"correction {identity}"] = f"correction {number}, of {where}"
    for login, name in connection.execute(select(readers.login, readers.name)):
        names[f"reader {login}"] = f"reader {name} (login {login})"
    for identity, run in each(connection, schema.predictions, "id"):
        said = "a run" if run is None else f"the run of {run['case_key']} at {run['created']:%Y-%m-%d %H:%M} UTC"
        names[f"run {identity}"] = said
    return names


def _link(previous: str, row: Mapping[str, Any]) -> str | None:
    try:
        return chain.entry(previous, row)
    except (ValueError, TypeError, AttributeError):
        return None


def _read_people(connection: Connection, ledger: Ledger) -> None:
    """Keep the rows that say who, and note those that are changed, missing, put in or still there."""
    there = dict(each(connection, schema.event_people, "event"))
    forgotten = _forgotten(connection, ledger)
    for entry in ledger.entries:
        number = entry["sequence"]
        if number not in there:
            if entry["people"] is not None and number not in forgotten:
                ledger.problems.append(f"{ledger.tells(entry)}: who did it is missing and nobody has erased it")
            continue
        row = there.pop(number)
        if number in forgotten:
            ledger.problems.append(f"{ledger.tells(entry)}: who did it is said to be erased, but is there")
        elif row is None or _people(row) != entry["people"]:
            ledger.problems.append(f"{ledger.tells(entry)}: who did it, or why, is not what was written")
        else:
            ledger.people[number] = row
    ledger.problems.extend(f"event_people names somebody for entry {number}, which is not there" for number in there)


def _forgotten(connection: Connection, ledger: Ledger) -> set[int]:
    """Entries whose people an erasure has emptied: of its own correction's region, and older than itself."""
    corrections = schema.corrections.c
    regions = dict(connection.execute(select(corrections.id, corrections.region_id)).all())
    about = {entry["sequence"]: entry["region_id"] for entry in ledger.entries}
    found: set[int] = set()
    for entry in ledger.entries:
        if entry["what"] != "erase":
            continue
        region, listed = entry["region_id"], facts_of(entry).get("forgets", [])
        if region is None or regions.get(entry["correction_id"]) != region:
            ledger.problems.append(f"{ledger.tells(entry)} erases no correction of its region")
            continue
        numbers = [n for n in listed if isinstance(n, int)] if isinstance(listed, list) else []
        own = {n for n in numbers if n < entry["sequence"] and about.get(n) == region}
        if set(numbers) - own:
            ledger.problems.append(f"{ledger.tells(entry)} forgets entries that are not of its region")
        found |= own
    return found


def _people(row: Mapping[str, Any]) -> str | None:
    try:
        return chain.people(row["salt"], row["who"], row["target"], row["note"])
    except (ValueError, TypeError):
        return None
