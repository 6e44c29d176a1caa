"""Who holds which region; every function runs inside the caller's transaction.

A change of hands is one UPDATE that names the state it starts from: of two callers, one finds no row any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select, update

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Assignment, Reader, State, utc_now
from napari_deferredseg.store import rows, schema
from napari_deferredseg.store.sql_readers import record_event, require_group, require_login

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Any

    from sqlalchemy import ColumnElement, Connection

TABLE, ASSIGNMENTS = schema.assignments, schema.assignments.c
REGIONS = schema.regions.c


def assign(
    connection: Connection, region_id: str, *, reader: str | None, group: str | None, by: str, note: str
) -> Assignment:
    """Give a region away; as `Store.assign`."""
    if (reader is None) == (group is None):
        raise InputError(f"give region {region_id} to a reader or to a group: one of both")
    login = None if reader is None else require_login(connection, reader).login
    if group is not None:
        require_group(connection, group)
    found = current(connection, region_id)
    now = utc_now()
    if found.state is State.CLAIMED and found.lease_until is not None and found.lease_until > now:
        number = _number(connection, region_id)
        raise InputError(f"{found.holder} is reading region {number}: wait until it is submitted or released")
    if found.state in (State.SUBMITTED, State.SETTLED, State.WITHDRAWN):
        number = _number(connection, region_id)
        raise InputError(f"region {number} is {found.state}: only unread regions can be assigned")
    record_event(connection, "assign", region_id=region_id, who=by, target=login, note=note)
    given: dict[str, Any] = {"reader": login, "group_name": group, "assigned_by": by, "reason": note}
    changed = _change(connection, ASSIGNMENTS.region_id == region_id, state=State.OPEN, now=now, **given)
    assert changed is not None
    return changed


def claim(connection: Connection, region_id: str, login: str, now: datetime, lease: timedelta) -> Assignment | None:
    """Take a region; as `Store.claim`."""
    reader = require_login(connection, login)
    lapsed = ASSIGNMENTS.lease_until <= now
    free = or_(
        ASSIGNMENTS.state.in_((State.OPEN, State.SKIPPED)),
        and_(ASSIGNMENTS.state == State.CLAIMED, or_(ASSIGNMENTS.holder == reader.login, lapsed)),
    )
    where = and_(ASSIGNMENTS.region_id == region_id, _is_for(reader), free)
    changed = _change(connection, where, state=State.CLAIMED, now=now, holder=reader.login, lease_until=now + lease)
    return _noted(connection, "claim", region_id, reader, changed)


def release(connection: Connection, region_id: str, login: str) -> bool:
    """Give a claimed region back; as `Store.release`."""
    reader = require_login(connection, login)
    where = and_(ASSIGNMENTS.region_id == region_id, _held_by(reader))
    changed = _change(connection, where, state=State.OPEN, now=utc_now())
    return _noted(connection, "release", region_id, reader, changed) is not None


def skip(connection: Connection, region_id: str, login: str) -> bool:
    """Put off a region; as `Store.skip`."""
    reader = require_login(connection, login)
    open_to = and_(ASSIGNMENTS.state == State.OPEN, _is_for(reader))
    where = and_(ASSIGNMENTS.region_id == region_id, or_(open_to, _held_by(reader)))
    changed = _change(connection, where, state=State.SKIPPED, now=utc_now())
    return _noted(connection, "skip", region_id, reader, changed) is not None


def decline(connection: Connection, region_id: str, login: str, reason: str) -> bool:
    """Refuse a region; as `Store.decline`."""
    why = reason.strip()
    if not why:
        raise InputError(f"say why you decline region {region_id}: the reason is empty")
    reader = require_login(connection, login)
    open_to = and_(ASSIGNMENTS.state.in_((State.OPEN, State.SKIPPED)), _is_for(reader))
    where = and_(ASSIGNMENTS.region_id == region_id, or_(open_to, _held_by(reader)))
    changed = _change(connection, where, state=State.DECLINED, now=utc_now(), reason=why)
    return _noted(connection, "decline", region_id, reader, changed, why) is not None


def current(connection: Connection, region_id: str) -> Assignment:
    """Assignment of a region as it stands, locked until the transaction ends. InputError when there is none."""
    statement = select(TABLE).where(ASSIGNMENTS.region_id == region_id).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise InputError(f"there is no region {region_id!r}: refresh the worklist")
    return rows.to_assignment(row)


def _number(connection: Connection, region_id: str) -> int:
    """Number by which people know a region."""
    found: int = connection.execute(select(REGIONS.number).where(REGIONS.id == region_id)).scalar_one()
    return found


def _is_for(reader: Reader) -> ColumnElement[bool]:
    return or_(ASSIGNMENTS.reader == reader.login, ASSIGNMENTS.group_name.in_(reader.groups))


def _held_by(reader: Reader) -> ColumnElement[bool]:
    return and_(ASSIGNMENTS.state == State.CLAIMED, ASSIGNMENTS.holder == reader.login)


def _change(
    connection: Connection,
    where: ColumnElement[bool],
    *,
    state: State,
    now: datetime,
    holder: str | None = None,
    lease_until: datetime | None = None,
    **other: str | None,
) -> Assignment | None:
    values = {"state": state, "updated": now, "holder": holder, "lease_until": lease_until, **other}
    statement = update(TABLE).where(where).values(values).returning(TABLE)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else rows.to_assignment(row)


def _noted(
    connection: Connection, what: str, region_id: str, reader: Reader, changed: Assignment | None, note: str = ""
) -> Assignment | None:
    if changed is None:
        current(connection, region_id)
    else:
        record_event(connection, what, region_id=region_id, who=reader.login, note=note)
    return changed
