"""Corrections and their hash chain; every function runs inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Select, bindparam, delete, exists, insert, or_, select, update

from napari_deferredseg.core.errors import Busy, Damaged, InputError, NotAllowed
from napari_deferredseg.core.records import Assignment, Correction, State
from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.prepared import Prepared
from napari_deferredseg.store.tables.sql_cases import find_case, find_region, image_of_region
from napari_deferredseg.store.tables.sql_events import mark, record_event
from napari_deferredseg.store.tables.sql_names import person, place
from napari_deferredseg.store.tables.sql_readers import require_login, spelled
from napari_deferredseg.store.tables.sql_work import current

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from napari_deferredseg.store.seal import Mark
    from napari_deferredseg.store.tables.clock import Moment

CORRECTIONS, AUTHORS, PAYLOADS = schema.corrections.c, schema.correction_authors.c, schema.correction_payloads.c
EVENTS, PEOPLE = schema.events.c, schema.event_people.c
ASSIGNMENTS, REGIONS = schema.assignments.c, schema.regions.c


ERASED = "the correction was erased"


def _whole() -> Select[Any]:
    return (
        select(
            schema.corrections,
            AUTHORS.reader,
            schema.regions.c.case_key,
            schema.regions.c.number.label("region_number"),
            schema.correction_payloads,
        )
        .join(schema.correction_authors, AUTHORS.correction_id == CORRECTIONS.id)
        .join(schema.correction_payloads, PAYLOADS.correction_id == CORRECTIONS.id)
        .join(schema.regions, schema.regions.c.id == CORRECTIONS.region_id)
        .order_by(CORRECTIONS.sequence)
    )


def _not_superseded() -> ColumnElement[bool]:
    later = schema.corrections.alias("later")
    return ~exists().where(later.c.supersedes == CORRECTIONS.id)


# What a submission runs is compiled once, since a reader waits for it, and everybody else meanwhile.
_LAST = Prepared(select(CORRECTIONS.sequence, CORRECTIONS.chain).order_by(CORRECTIONS.sequence.desc()).limit(1))
_IS_KNOWN = Prepared(select(CORRECTIONS.id).where(CORRECTIONS.id == bindparam("correction")))
BY_ID = _whole().where(CORRECTIONS.id == bindparam("correction"))
_NEWEST = Prepared(
    select(CORRECTIONS.id)
    .join(schema.correction_authors, AUTHORS.correction_id == CORRECTIONS.id)
    .where(CORRECTIONS.region_id == bindparam("region"), AUTHORS.reader == bindparam("login"), _not_superseded())
    .order_by(CORRECTIONS.sequence.desc())
    .limit(1)
)
_ADD, _ADD_AUTHOR = Prepared(insert(schema.corrections)), Prepared(insert(schema.correction_authors))
_ADD_PAYLOAD = Prepared(insert(schema.correction_payloads))
_MARK_SUBMITTED = Prepared(
    update(schema.assignments)
    .where(ASSIGNMENTS.region_id == bindparam("region"))
    .values(state=State.SUBMITTED, holder=bindparam("login"), lease_until=None, updated=bindparam("now"))
)


@dataclass(frozen=True)
class Packed:
    """A correction with what takes time to compute, and needs no database."""

    given: Correction
    payload: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, given: Correction) -> Packed:
        """Pack the arrays and take the hashes."""
        salt = chain.new_salt()
        return cls(given, rows.payload_values(given, salt), chain.digest(given, salt))

    def by(self, author: str) -> Packed:
        """Return the same with the author's login as the readers table spells it."""
        if self.given.reader == author:
            return self
        spelled = replace(self.given, reader=author)
        return Packed(spelled, self.payload, chain.digest(spelled, self.payload["salt"]))


def submit(connection: Connection, packed: Packed, moment: Moment) -> Mark:
    """Keep a correction; as `Store.submit`."""
    author = spelled(connection, packed.given.reader)
    packed = packed.by(author)
    given = packed.given
    if _known(connection, given):
        return mark(connection)
    _check_image(connection, given)
    state = current(connection, given.region_id)
    newest = _NEWEST.scalar(connection, {"region": given.region_id, "login": author})
    _check_turn(connection, given, state, newest)
    link, now = _append(connection, packed), moment.now
    _MARK_SUBMITTED.run(connection, {"region": given.region_id, "login": author, "now": now})
    facts = {"region_id": given.region_id, "correction_id": given.id, "subject": link, "who": author, "at": now}
    return record_event(connection, "amend" if given.supersedes else "submit", **facts)


def effective(connection: Connection, case_key: str | None, reader: str | None) -> list[Correction]:
    """List corrections that stand; as `Store.corrections`."""
    statement = _whole().where(_not_superseded())
    if case_key is not None:
        statement = statement.where(schema.regions.c.case_key == find_case(connection, case_key).key)
    if reader is not None:
        statement = statement.where(AUTHORS.reader == require_login(connection, reader).login)
    return [_read(row) for row in connection.execute(statement).mappings()]


def runs_corrected(connection: Connection) -> set[str]:
    """Ids of the predictions whose regions have corrections that are not erased."""
    regions = schema.regions.c
    statement = (
        select(regions.prediction_id)
        .join(schema.corrections, CORRECTIONS.region_id == regions.id)
        .join(schema.correction_authors, AUTHORS.correction_id == CORRECTIONS.id)
    )
    return set(connection.scalars(statement.where(_not_superseded()).distinct()))


def history(connection: Connection, region_id: str) -> list[Correction]:
    """List all corrections of a region; as `Store.history`."""
    find_region(connection, region_id)
    statement = _whole().where(CORRECTIONS.region_id == region_id)
    return [_read(row) for row in connection.execute(statement).mappings()]


def erase(connection: Connection, correction_id: str, by: str, reason: str, moment: Moment) -> None:
    """Delete the author and the payload of a correction; as `Store.erase`."""
    why = reason.strip()
    if not why:
        raise InputError("say why the correction is erased: the reason is empty")
    statement = (
        select(CORRECTIONS.region_id, AUTHORS.reader, _not_superseded().label("stands"))
        .join(schema.correction_authors, AUTHORS.correction_id == CORRECTIONS.id)
        .where(CORRECTIONS.id == correction_id)
    )
    found = connection.execute(statement).one_or_none()
    if found is None:
        raise InputError("there is no correction of this id that could be erased")
    forgotten = _entries_naming(connection, found.region_id, found.reader)
    now = moment.now
    # The record first: without it the database refuses to delete.
    record_event(
        connection,
        "erase",
        region_id=found.region_id,
        correction_id=correction_id,
        facts={"forgets": forgotten, "stood": bool(found.stands)},
        who="its author" if by.casefold() == found.reader.casefold() else by,
        note=why,
        at=now,
    )
    connection.execute(delete(schema.correction_payloads).where(PAYLOADS.correction_id == correction_id))
    connection.execute(delete(schema.correction_authors).where(AUTHORS.correction_id == correction_id))
    connection.execute(delete(schema.event_people).where(PEOPLE.event.in_(forgotten)))
    if found.stands:
        _take_back(connection, found.region_id, now)


def _known(connection: Connection, given: Correction) -> bool:
    """Whether this id was submitted before. InputError when it was submitted with another content."""
    if _IS_KNOWN.one(connection, {"correction": given.id}) is None:
        return False
    row = connection.execute(BY_ID, {"correction": given.id}).mappings().one_or_none()
    if row is not None and not _same(_read(row), given):
        where = place(connection, given.region_id)
        raise InputError(f"your correction of {where} was submitted with another content: amend it")
    return True


def _same(a: Correction, b: Correction) -> bool:
    # Not the times: a client that lost the connection may take them anew.
    names = ("region_id", "reader", "verdict", "box", "note", "supersedes")
    arrays = ("before", "after", "support")
    return all(getattr(a, n) == getattr(b, n) for n in names) and all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays
    )


def _check_image(connection: Connection, given: Correction) -> None:
    key, digest, shape = image_of_region(connection, given.region_id)
    if given.case_key != key or given.voxel_hash != digest:
        raise InputError(f"the open image is not the one of case {key}: open that case and correct it there")
    if any(low < 0 or high > n for (low, high), n in zip(given.box, shape, strict=True)):
        raise InputError(f"the crop {given.box} of the correction lies outside case {key}, {shape}")


def _check_turn(connection: Connection, given: Correction, found: Assignment, newest: str | None) -> None:
    elsewhere = found.state is State.CLAIMED and found.holder != given.reader
    done = found.state is State.SETTLED or (found.state is State.SUBMITTED and newest is None)
    if not elsewhere and not done and given.supersedes == newest:
        return
    where = place(connection, given.region_id)
    if found.state is State.SETTLED:
        raise NotAllowed(f"{where} is settled: ask the lead to open it again")
    if elsewhere:
        who = person(connection, found.holder)
        raise Busy(f"{who} has claimed {where}: claim it again when they are done")
    if done:
        raise Busy(f"somebody else has submitted {where}: go on with the next one")
    if given.supersedes is None:
        raise InputError(
            f"you have submitted {where} before, perhaps in another window: open it again to amend your correction"
        )
    what = "open the region again" if newest else "submit it as a new one"
    raise InputError(f"the correction of {where} that this amends is not your newest one: {what}")


def _append(connection: Connection, packed: Packed) -> str:
    """Add a correction to the chain of corrections; its link is returned."""
    last, given = _LAST.one(connection, {}), packed.given
    length, head = (0, chain.START) if last is None else last.values()
    row = {
        "sequence": length + 1,
        "id": given.id,
        "region_id": given.region_id,
        "supersedes": given.supersedes,
        "digest": packed.digest,
        "previous": head,
    }
    row["chain"] = link = link_of(row)
    _ADD.run(connection, row)
    _ADD_AUTHOR.run(connection, {"correction_id": given.id, "reader": given.reader})
    _ADD_PAYLOAD.run(connection, packed.payload)
    return link


def link_of(row: Mapping[str, Any]) -> str:
    """Hash of a correction's place in the chain of corrections."""
    return chain.link(row["previous"], row["sequence"], row["id"], row["region_id"], row["supersedes"], row["digest"])


def _read(row: RowMapping) -> Correction:
    try:
        return rows.to_correction(row)
    except (Damaged, ValueError) as error:
        where = f"region {row['region_number']} of {row['case_key']}"
        raise Damaged(f"a correction of {where} is damaged in the database ({error}): restore a backup") from error


def _entries_naming(connection: Connection, region_id: str, login: str) -> list[int]:
    """Entries about a region that say somebody's name."""
    named = or_(PEOPLE.who == login, PEOPLE.target == login)
    statement = select(PEOPLE.event).join(schema.events, EVENTS.sequence == PEOPLE.event)
    return list(connection.scalars(statement.where(EVENTS.region_id == region_id, named).order_by(PEOPLE.event)))


def _take_back(connection: Connection, region_id: str, now: datetime) -> None:
    # Nothing is left that would answer the region's question; somebody has to assign it anew.
    where = schema.assignments.c.region_id == region_id
    submitted = schema.assignments.c.state == State.SUBMITTED
    connection.execute(
        update(schema.assignments)
        .where(where, submitted)
        .values(state=State.DECLINED, holder=None, reason=ERASED, updated=now)
    )
