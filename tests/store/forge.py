"""What somebody with a database tool and this program's source would do to a project that is not theirs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, select, update

from napari_deferredseg.store import chain
from napari_deferredseg.store.codec import encode
from napari_deferredseg.store.record import guards
from napari_deferredseg.store.record.ledger import read_ledger
from napari_deferredseg.store.record.replay import standings
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.sql_corrections import BY_ID, link_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection


def edit(path: Path, *statements: str) -> None:
    """Run statements with the triggers taken away, and put these back so that nothing shows."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA synchronous=OFF")
        for name in guards.expected():
            raw.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            raw.execute(statement)
        for statement in guards.expected().values():
            raw.execute(statement)
        raw.commit()


def rewrite(path: Path, change: Callable[[Connection], None], *, strip_seals: bool = False) -> None:
    """Change what one likes and recompute every digest, link, subject and head after it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
        guards.remove(connection)
        change(connection)
        _relink_corrections(connection)
        _relink_events(connection, strip_seals)
        guards.put_back(connection)
    engine.dispose()


def forge_mask(connection: Connection) -> None:
    """Give the first correction another mask, with a digest and a hash of its own that fit."""
    table, payloads = schema.corrections.c, schema.correction_payloads.c
    identity = connection.scalar(select(table.id).order_by(table.sequence).limit(1))
    whole = connection.execute(BY_ID, {"correction": identity}).mappings().one()
    given = rows.to_correction(whole)
    after = encode(given.before)
    assert after != whole["after"]
    connection.execute(update(schema.correction_payloads).where(payloads.correction_id == identity).values(after=after))
    forged = rows.to_correction(connection.execute(BY_ID, {"correction": identity}).mappings().one())
    digest = chain.digest(forged, whole["salt"])
    connection.execute(update(schema.corrections).where(table.id == identity).values(digest=digest))


def cut_tail(connection: Connection, length: int) -> None:
    """Leave the first entries alone, and put the worklist where it was then."""
    run = connection.exec_driver_sql
    gone = f"SELECT correction_id FROM events WHERE sequence > {length} AND what IN ('submit', 'amend')"
    drawn = f"SELECT region_id FROM events WHERE sequence > {length} AND what = 'region'"
    for table in ("correction_payloads", "correction_authors"):
        run(f"DELETE FROM {table} WHERE correction_id IN ({gone})")
    run(f"DELETE FROM corrections WHERE id IN ({gone})")
    run(f"DELETE FROM assignments WHERE region_id IN ({drawn})")
    run(f"DELETE FROM regions WHERE id IN ({drawn})")
    run(f"DELETE FROM event_people WHERE event > {length}")
    run(f"DELETE FROM events WHERE sequence > {length}")
    for region, then in standings(read_ledger(connection)).items():
        values = vars(then) | {"lease_until": _time(then.lease_until), "updated": _time(then.updated)}
        where = schema.assignments.c.region_id == region
        connection.execute(update(schema.assignments).where(where).values(values))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _relink_corrections(connection: Connection) -> None:
    table, previous = schema.corrections, chain.START
    for row in connection.execute(select(table).order_by(table.c.sequence)).mappings().all():
        new: dict[str, Any] = dict(row) | {"previous": previous}
        new["chain"] = previous = link_of(new)
        connection.execute(update(table).where(table.c.id == row["id"]).values(new))
        subject = update(schema.events).where(schema.events.c.correction_id == row["id"])
        connection.execute(subject.where(schema.events.c.what.in_(("submit", "amend"))).values(subject=previous))
    _move_head(connection, 1, table)


def _relink_events(connection: Connection, strip_seals: bool) -> None:
    table, head = schema.events, chain.START
    for row in connection.execute(select(table).order_by(table.c.sequence)).mappings().all():
        head = chain.entry(head, row)
        new = {"chain": head} | ({"seal": None} if strip_seals else {})
        connection.execute(update(table).where(table.c.sequence == row["sequence"]).values(new))
    _move_head(connection, 2, table)


def _move_head(connection: Connection, number: int, table: Any) -> None:
    last = connection.execute(
        select(table.c.sequence, table.c.chain).order_by(table.c.sequence.desc()).limit(1)
    ).one_or_none()
    length, end = (0, chain.START) if last is None else last
    connection.execute(
        update(schema.chain_head).where(schema.chain_head.c.id == number).values(length=length, chain=end)
    )
