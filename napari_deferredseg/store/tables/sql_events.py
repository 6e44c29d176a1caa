"""The record of events, a hash chain; every function runs inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select

from napari_deferredseg.core.records import utc_now
from napari_deferredseg.store import chain
from napari_deferredseg.store.seal import KEY, MEMORY, Mark, Memory, ProjectKey
from napari_deferredseg.store.tables import schema
from napari_deferredseg.store.tables.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection

EVENTS = schema.events.c
SEALED = "deferredseg_sealed"
"""Where a connection's `info` says what was sealed in its transaction."""
# What everybody waits for is built once.
_LAST = Prepared(select(EVENTS.sequence, EVENTS.chain, EVENTS.seal).order_by(EVENTS.sequence.desc()).limit(1))
_AT = Prepared(select(EVENTS.chain).where(EVENTS.sequence == bindparam("number")))
_BACKWARDS = select(schema.events).order_by(EVENTS.sequence.desc())
_ADD, _ADD_PERSON = Prepared(insert(schema.events)), Prepared(insert(schema.event_people))


@dataclass(frozen=True)
class Entry:
    """Something that happened. `who`, `target` and `note` go to a table of their own, which an erasure may empty.

    `facts` and `subject` (the hash of the row that it tells of) stay for ever: nothing personal belongs there.
    """

    what: str
    region_id: str | None = None
    correction_id: str | None = None
    facts: dict[str, Any] | None = None
    subject: str | None = None
    who: str | None = None
    target: str | None = None
    note: str = ""
    at: datetime = field(default_factory=utc_now)
    salt: bytes = field(default_factory=chain.new_salt)


def append(connection: Connection, entries: Sequence[Entry]) -> Mark:
    """Add entries to the record and say where it stands then. They are sealed where this computer has the key."""
    last = _LAST.one(connection, {})
    length, head, seal = (0, chain.START, None) if last is None else last.values()
    key = _usable_key(connection)
    added = list(entries)
    if key is not None and last is not None and not key.has_sealed(head, seal):
        first = _unsealed_from(connection, key)
        key = None if first is None else key
        if first is not None:
            added.insert(0, Entry("seal", facts={"from": first, "to": length}))
    events, people = [], []
    for sequence, entry in enumerate(added, start=length + 1):
        row = _row(sequence, entry)
        row["chain"] = head = chain.entry(head, row)
        row["seal"] = seal = None if key is None else key.seal(head)
        events.append(row)
        if entry.who is not None:
            named = {"who": entry.who, "target": entry.target, "note": entry.note, "salt": entry.salt}
            people.append({"event": sequence, **named})
    for event in events:
        _ADD.run(connection, event)
    for person in people:
        _ADD_PERSON.run(connection, person)
    end = Mark(length + len(added), head, seal)
    if key is not None:
        connection.info[SEALED] = end
    return end


def is_there(connection: Connection, known: Mark) -> bool:
    """Whether the record still holds what a mark remembers."""
    return bool(known.length == 0 or _AT.scalar(connection, {"number": known.length}) == known.head)


def _usable_key(connection: Connection) -> ProjectKey | None:
    """Key to seal with; None where the record is not the one that this key has sealed before."""
    options = connection.get_execution_options()
    key: ProjectKey | None = options.get(KEY)
    memory: Memory | None = options.get(MEMORY)
    known = None if key is None or memory is None else memory.last()
    return key if known is None or is_there(connection, known) else None


def record_event(connection: Connection, what: str, **facts: Any) -> Mark:
    """Add one entry to the record; the arguments are those of `Entry`."""
    return append(connection, [Entry(what, **facts)])


def mark(connection: Connection) -> Mark:
    """Where the record stands."""
    last = _LAST.one(connection, {})
    return Mark(0, chain.START) if last is None else Mark(last["sequence"], last["chain"], last["seal"])


def _row(sequence: int, entry: Entry) -> dict[str, Any]:
    named = entry.who is not None
    return {
        "sequence": sequence,
        "at": entry.at,
        "what": entry.what,
        "region_id": entry.region_id,
        "correction_id": entry.correction_id,
        "facts": entry.facts,
        "subject": entry.subject,
        "people": chain.people(entry.salt, entry.who or "", entry.target, entry.note) if named else None,
    }


def _unsealed_from(connection: Connection, key: ProjectKey) -> int | None:
    """First of the entries at the end that nobody with the key has sealed; None when they do not hold together."""
    later: Any = None
    for row in connection.execute(_BACKWARDS).mappings():
        if later is not None and not _fits(row, later):
            return None
        if row["seal"] is not None:
            return None if later is None or not key.has_sealed(row["chain"], row["seal"]) else int(later["sequence"])
        if row["what"] in ("key", "seal"):
            return None  # no holder leaves these unsealed: somebody took the seals away
        later = row
    fits = later is not None and later["sequence"] == 1 and chain.entry(chain.START, later) == later["chain"]
    return 1 if fits else None


def _fits(row: Any, later: Any) -> bool:
    return bool(row["sequence"] == later["sequence"] - 1) and chain.entry(row["chain"], later) == str(later["chain"])
