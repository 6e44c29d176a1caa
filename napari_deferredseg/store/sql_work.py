"""Who holds which region; every function runs inside the caller's transaction.

A change of hands is one UPDATE that names the state it starts from: of two callers, one finds no row any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, or_, select, true, update

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Assignment, Reader, State, utc_now
from napari_deferredseg.store import rows, schema
from napari_deferredseg.store.chain import time_text
from napari_deferredseg.store.sql_events import record_event
from napari_deferredseg.store.sql_readers import require_group, require_login

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Update

TABLE, ASSIGNMENTS = schema.assignments, schema.assignments.c
REGIONS = schema.regions.c

# Built once, since building a statement takes longer than running it. What follows is said of the reader `login`, who
# is in `groups`, at the time `now`.
_REGION = ASSIGNMENTS.region_id == bindparam("region")
_IS_FOR = or_(ASSIGNMENTS.reader == bindparam("login"), ASSIGNMENTS.group_name.in_(bindparam("groups", expanding=True)))
_HELD = and_(ASSIGNMENTS.state == State.CLAIMED, ASSIGNMENTS.holder == bindparam("login"))
_OPEN = ASSIGNMENTS.state == State.OPEN
_UNREAD = ASSIGNMENTS.state.in_((State.OPEN, State.SKIPPED))
_LAPSED = and_(ASSIGNMENTS.state == State.CLAIMED, ASSIGNMENTS.lease_until <= bindparam("now"))


def _changing(where: ColumnElement[bool], *more: str) -> Update:
    names = ("state", "updated", "holder", "lease_until", *more)
    return update(TABLE).where(_REGION, where).values({n: bindparam(f"new_{n}") for n in names}).returning(TABLE)


_ASSIGN = _changing(true(), "reader", "group_name", "assigned_by", "reason")
_CLAIM = _changing(and_(_IS_FOR, or_(_UNREAD, _HELD, _LAPSED)))
_RELEASE = _changing(_HELD)
_SKIP = _changing(or_(and_(_OPEN, _IS_FOR), _HELD))
_DECLINE = _changing(or_(and_(_UNREAD, _IS_FOR), _HELD), "reason")
_CURRENT = select(TABLE).where(_REGION).with_for_update()


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
    facts = None if group is None else {"group": group}
    record_event(connection, "assign", region_id=region_id, who=by, target=login, note=note, facts=facts, at=now)
    given = {"reader": login, "group_name": group, "assigned_by": by, "reason": note}
    changed = _change(connection, _ASSIGN, {"region": region_id}, state=State.OPEN, now=now, **given)
    assert changed is not None
    return changed


def claim(connection: Connection, region_id: str, login: str, now: datetime, lease: timedelta) -> Assignment | None:
    """Take a region; as `Store.claim`."""
    return _claim(connection, region_id, require_login(connection, login), now, lease)


def exchange(
    connection: Connection, given_back: str, taken: str, login: str, now: datetime, lease: timedelta
) -> Assignment | None:
    """Give one region back and take another; as `Store.exchange`."""
    reader = require_login(connection, login)
    _release(connection, given_back, reader)
    return _claim(connection, taken, reader, now, lease)


def release(connection: Connection, region_id: str, login: str) -> bool:
    """Give a claimed region back; as `Store.release`."""
    return _release(connection, region_id, require_login(connection, login)) is not None


def skip(connection: Connection, region_id: str, login: str) -> bool:
    """Put off a region; as `Store.skip`."""
    reader = require_login(connection, login)
    changed = _change(connection, _SKIP, _facts(region_id, reader), state=State.SKIPPED, now=utc_now())
    return _noted(connection, "skip", region_id, reader, changed) is not None


def decline(connection: Connection, region_id: str, login: str, reason: str) -> bool:
    """Refuse a region; as `Store.decline`."""
    why = reason.strip()
    if not why:
        raise InputError(f"say why you decline region {region_id}: the reason is empty")
    reader = require_login(connection, login)
    facts = _facts(region_id, reader)
    changed = _change(connection, _DECLINE, facts, state=State.DECLINED, now=utc_now(), reason=why)
    return _noted(connection, "decline", region_id, reader, changed, why) is not None


def current(connection: Connection, region_id: str) -> Assignment:
    """Assignment of a region as it stands, locked until the transaction ends. InputError when there is none."""
    row = connection.execute(_CURRENT, {"region": region_id}).mappings().one_or_none()
    if row is None:
        raise InputError(f"there is no region {region_id!r}: refresh the worklist")
    return rows.to_assignment(row)


def _number(connection: Connection, region_id: str) -> int:
    """Number by which people know a region."""
    found: int = connection.execute(select(REGIONS.number).where(REGIONS.id == region_id)).scalar_one()
    return found


def _claim(
    connection: Connection, region_id: str, reader: Reader, now: datetime, lease: timedelta
) -> Assignment | None:
    facts = _facts(region_id, reader) | {"now": now}
    held = {"holder": reader.login, "lease_until": now + lease}
    changed = _change(connection, _CLAIM, facts, state=State.CLAIMED, now=now, **held)
    return _noted(connection, "claim", region_id, reader, changed)


def _release(connection: Connection, region_id: str, reader: Reader) -> Assignment | None:
    facts = {"region": region_id, "login": reader.login}
    changed = _change(connection, _RELEASE, facts, state=State.OPEN, now=utc_now())
    return _noted(connection, "release", region_id, reader, changed)


def _facts(region_id: str, reader: Reader) -> dict[str, Any]:
    return {"region": region_id, "login": reader.login, "groups": reader.groups}


def _change(
    connection: Connection, statement: Update, facts: dict[str, Any], *, state: State, now: datetime, **other: Any
) -> Assignment | None:
    new = {"state": state, "updated": now, "holder": None, "lease_until": None, **other}
    row = connection.execute(statement, facts | {f"new_{n}": v for n, v in new.items()}).mappings().one_or_none()
    return None if row is None else rows.to_assignment(row)


def _noted(
    connection: Connection, what: str, region_id: str, reader: Reader, changed: Assignment | None, note: str = ""
) -> Assignment | None:
    if changed is None:
        current(connection, region_id)
    else:
        until = None if changed.lease_until is None else {"until": time_text(changed.lease_until)}
        who = reader.login
        record_event(connection, what, region_id=region_id, who=who, note=note, facts=until, at=changed.updated)
    return changed
