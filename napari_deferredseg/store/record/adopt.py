"""Taking what an older version kept into the record, as it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, update

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import schema
from napari_deferredseg.store.tables.sql_cases import case_entries, region_entry
from napari_deferredseg.store.tables.sql_events import Entry, append
from napari_deferredseg.store.tables.sql_readers import plain_reader, reader_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from napari_deferredseg.store.arrays import PredictionFiles

EVENTS, PEOPLE, CORRECTIONS = schema.events.c, schema.event_people.c, schema.corrections.c
_CHAIN = (
    update(schema.events)
    .where(EVENTS.sequence == bindparam("number"))
    .values({name: bindparam(f"new_{name}") for name in ("subject", "people", "chain")})
)
_SALT = update(schema.event_people).where(PEOPLE.event == bindparam("number")).values(salt=bindparam("new_salt"))


def adopt(connection: Connection, files: PredictionFiles | None) -> None:
    """Chain the events of an older database, and add an entry for every row that none tells of.

    The triggers are down meanwhile. Harmless on a new database, and on one that has its record already. `files` are the
    arrays of the predictions, whose hashes are taken as the files are found.
    """
    chained = connection.scalar(select(func.count()).where(EVENTS.chain != ""))
    if chained or not connection.scalar(select(func.count()).select_from(schema.readers)):
        return
    found = _chain_events(connection)
    append(connection, [Entry("adopt", facts=found), *_readers(connection), *_cases(connection)])
    end = append(connection, [*_predictions(connection, files), *_regions(connection)])
    # No trigger does it now.
    heads = schema.chain_head
    connection.execute(update(heads).where(heads.c.id == 2).values(length=end.length, chain=end.head))


def origin(connection: Connection) -> str:
    """Hash of what was taken over, the same each time the same database is. Empty: nothing was, or it is damaged."""
    try:
        return _origin(connection)
    except (ValueError, TypeError, KeyError):
        return ""


def _origin(connection: Connection) -> str:
    found = connection.execute(select(EVENTS.facts).where(EVENTS.what == "adopt")).scalars().first()
    if found is None:
        return ""
    record = connection.execute(select(schema.events).order_by(EVENTS.sequence)).mappings()
    people = select(PEOPLE.event, PEOPLE.who, PEOPLE.target, PEOPLE.note).order_by(PEOPLE.event)
    readers = connection.execute(select(schema.readers).order_by(schema.readers.c.login)).mappings()
    told = [_entry_of(row, found["entries"]) for row in record if row["what"] not in ("seal", "key")]
    said = [list(row) for row in connection.execute(people)]
    return chain.content(
        {"found": found, "told": told, "people": said, "readers": [plain_reader(dict(row)) for row in readers]}
    )


def _entry_of(row: Any, older: int) -> list[Any]:
    """What an entry says apart from its salts, and from when it was taken over."""
    plain = [row["sequence"], row["what"], row["region_id"], row["correction_id"]]
    if row["sequence"] <= older:
        return [*plain, chain.time_text(row["at"]), row["subject"]]
    return [*plain, *((row["facts"], row["subject"]) if row["what"] in ("case", "run", "region") else ())]


def _chain_events(connection: Connection) -> dict[str, Any]:
    """Chain what happened before, and say how long and how the chain of corrections was found."""
    links = dict(connection.execute(select(CORRECTIONS.id, CORRECTIONS.chain)).all())
    named = {row["event"]: row for row in connection.execute(select(schema.event_people)).mappings()}
    rows = connection.execute(select(schema.events).order_by(EVENTS.sequence)).mappings().all()
    _close_up(rows)
    head = chain.START
    for row in rows:
        entry = dict(row)
        if entry["what"] in ("submit", "amend"):
            entry["subject"] = links.get(entry["correction_id"])
        who = named.get(entry["sequence"])
        if who is not None:
            salt = chain.new_salt()
            entry["people"] = chain.people(salt, who["who"], who["target"], who["note"])
            connection.execute(_SALT, {"number": entry["sequence"], "new_salt": salt})
        head = chain.entry(head, entry)
        new = {"new_subject": entry["subject"], "new_people": entry["people"], "new_chain": head}
        connection.execute(_CHAIN, {"number": entry["sequence"]} | new)
    connection.execute(
        update(schema.chain_head).where(schema.chain_head.c.id == 2).values(length=len(rows), chain=head)
    )
    kept = connection.execute(select(schema.chain_head).where(schema.chain_head.c.id == 1)).mappings().one_or_none()
    end = {} if kept is None else {"corrections": kept["length"], "head": kept["chain"]}
    return {"entries": len(rows), **end}


def _close_up(rows: Any) -> None:
    """Raise InputError where an event has been taken out of the older record: there is no honest way to chain it."""
    gaps = [n for n, row in enumerate(rows, start=1) if row["sequence"] != n]
    if gaps:
        raise Damaged(f"event {gaps[0]} is missing from the record of this project: restore a backup of the project")


def _readers(connection: Connection) -> Iterator[Entry]:
    for row in connection.execute(select(schema.readers).order_by(schema.readers.c.login_key)).mappings():
        yield reader_entry(dict(row))


def _cases(connection: Connection) -> Iterator[Entry]:
    for row in connection.execute(select(schema.cases).order_by(schema.cases.c.sequence)).mappings():
        yield from case_entries(dict(row))


def _predictions(connection: Connection, files: PredictionFiles | None) -> Iterator[Entry]:
    table = schema.predictions
    for row in connection.execute(select(table).order_by(table.c.sequence)).mappings().all():
        alternative, defer = _hashes(files, row["id"])
        new = {"alternative_hash": alternative, "defer_hash": defer}
        connection.execute(update(table).where(table.c.id == row["id"]).values(new))
        yield Entry("run", facts={"prediction": row["id"]}, subject=chain.content({**dict(row), **new}))


def _regions(connection: Connection) -> Iterator[Entry]:
    held = {row["region_id"]: dict(row) for row in connection.execute(select(schema.assignments)).mappings()}
    for row in connection.execute(select(schema.regions)).mappings():
        if row["id"] in held:
            entry = region_entry(dict(row), held[row["id"]])
            assert entry.facts is not None
            entry.facts["found"] = True
            yield entry


def _hashes(files: PredictionFiles | None, prediction_id: str) -> tuple[str, str]:
    if files is None:
        return "", ""
    try:
        return files.hashes(prediction_id)[1:]
    except Damaged:  # gone or damaged: the case says so when it is opened
        return "", ""
