"""Who holds which region; every function runs inside the caller's transaction.

A change of hands is one UPDATE that names the state it starts from: of two callers, one finds no row any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, or_, select, true, update

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Assignment, Reader, Role, State
from napari_deferredseg.store import rows, schema
from napari_deferredseg.store.chain import time_text
from napari_deferredseg.store.clock import LONGEST_LEASE, plausible
from napari_deferredseg.store.sql_events import record_event
from napari_deferredseg.store.sql_names import no_region, person, place
from napari_deferredseg.store.sql_readers import require_group, require_login

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Update

    from napari_deferredseg.store.clock import Moment

TABLE, ASSIGNMENTS = schema.assignments, schema.assignments.c

# Built once, since building a statement takes longer than running it. What follows is said of the reader `login`, who
# is in `groups`, at the time `now`.
_REGION = ASSIGNMENTS.region_id == bindparam("region")
_IS_FOR = or_(ASSIGNMENTS.reader == bindparam("login"), ASSIGNMENTS.group_name.in_(bindparam("groups", expanding=True)))
_HELD = and_(ASSIGNMENTS.state == State.CLAIMED, ASSIGNMENTS.holder == bindparam("login"))
_OPEN = ASSIGNMENTS.state == State.OPEN
_UNREAD = ASSIGNMENTS.state.in_((State.OPEN, State.SKIPPED))
# A lease that ends later than any can was not given by this clock.
_LAPSED = and_(
    ASSIGNMENTS.state == State.CLAIMED,
    or_(ASSIGNMENTS.lease_until <= bindparam("now"), ASSIGNMENTS.lease_until > bindparam("latest_end")),
)


def _changing(where: ColumnElement[bool], *more: str) -> Update:
    names = ("state", "updated", "holder", "lease_until", *more)
    return update(TABLE).where(_REGION, where).values({n: bindparam(f"new_{n}") for n in names}).returning(TABLE)


_ASSIGN = _changing(true(), "reader", "group_name", "assigned_by", "reason")
_CLAIM = _changing(and_(_IS_FOR, or_(_UNREAD, _HELD, _LAPSED)))
_RELEASE = _changing(_HELD)
_TAKE_BACK = _changing(ASSIGNMENTS.state == State.CLAIMED)
_SKIP = _changing(or_(and_(_OPEN, _IS_FOR), _HELD))
_DECLINE = _changing(or_(and_(_UNREAD, _IS_FOR), _HELD), "reason")
_CURRENT = select(TABLE).where(_REGION).with_for_update()


def runs(assignment: Assignment, now: datetime) -> bool:
    """Whether somebody reads a region under a lease that this time believes in."""
    until = assignment.lease_until
    return assignment.state is State.CLAIMED and until is not None and now < until <= now + LONGEST_LEASE


def assign(
    connection: Connection,
    region_id: str,
    *,
    reader: str | None,
    group: str | None,
    by: str,
    note: str,
    moment: Moment,
) -> Assignment:
    """Give a region away; as `Store.assign`."""
    where = place(connection, region_id)
    if (reader is None) == (group is None):
        raise InputError(f"give {where} to a reader or to a group: one of both")
    login = None if reader is None else require_login(connection, reader).login
    if group is not None:
        require_group(connection, group)
    found = current(connection, region_id)
    if runs(found, moment.now):
        who = person(connection, found.holder)
        raise InputError(f"{who} is reading {where}: wait until it is submitted, or let a lead release it")
    if found.state in (State.SUBMITTED, State.SETTLED, State.WITHDRAWN):
        raise InputError(f"{where} is {found.state}: only unread regions can be assigned")
    facts, now = None if group is None else {"group": group}, moment.now
    record_event(connection, "assign", region_id=region_id, who=by, target=login, note=note, facts=facts, at=now)
    given = {"reader": login, "group_name": group, "assigned_by": by, "reason": note}
    changed = _change(connection, _ASSIGN, {"region": region_id}, state=State.OPEN, now=moment.now, **given)
    assert changed is not None
    return changed


def claim(connection: Connection, region_id: str, login: str, lease: timedelta, moment: Moment) -> Assignment | None:
    """Take a region; as `Store.claim`."""
    return _claim(connection, region_id, require_login(connection, login), lease, moment)


def exchange(
    connection: Connection, given_back: str, taken: str, login: str, lease: timedelta, moment: Moment
) -> Assignment | None:
    """Give one region back and take another; as `Store.exchange`."""
    reader = require_login(connection, login)
    _release(connection, given_back, reader, moment)
    return _claim(connection, taken, reader, lease, moment)


def release(connection: Connection, region_id: str, login: str, moment: Moment) -> bool:
    """Give a claimed region back; as `Store.release`."""
    return _release(connection, region_id, require_login(connection, login), moment) is not None


def take_back(connection: Connection, region_id: str, by: str, note: str, moment: Moment) -> Assignment:
    """Open a region that somebody has claimed; as `Store.take_back`."""
    lead = require_login(connection, by)
    where = place(connection, region_id)
    if lead.role not in (Role.LEAD, Role.ADMIN):
        raise InputError(f"{lead.name} is no lead: only a lead can release {where} for somebody else")
    found = current(connection, region_id)
    if found.state is not State.CLAIMED:
        raise InputError(f"nobody is reading {where}: it is {found.state}")
    changed = _change(connection, _TAKE_BACK, {"region": region_id}, state=State.OPEN, now=moment.now)
    assert changed is not None
    told = {"region_id": region_id, "who": lead.login, "target": found.holder, "note": note, "at": moment.now}
    record_event(connection, "release", **told)
    return changed


def skip(connection: Connection, region_id: str, login: str, moment: Moment) -> bool:
    """Put off a region; as `Store.skip`."""
    reader = require_login(connection, login)
    changed = _change(connection, _SKIP, _facts(region_id, reader), state=State.SKIPPED, now=moment.now)
    return _noted(connection, "skip", region_id, reader, changed, moment) is not None


def decline(connection: Connection, region_id: str, login: str, reason: str, moment: Moment) -> bool:
    """Refuse a region; as `Store.decline`."""
    why = reason.strip()
    if not why:
        raise InputError(f"say why you decline {place(connection, region_id)}: the reason is empty")
    reader = require_login(connection, login)
    facts = _facts(region_id, reader)
    changed = _change(connection, _DECLINE, facts, state=State.DECLINED, now=moment.now, reason=why)
    return _noted(connection, "decline", region_id, reader, changed, moment, why) is not None


def current(connection: Connection, region_id: str) -> Assignment:
    """Assignment of a region as it stands, locked until the transaction ends. InputError when there is none."""
    row = connection.execute(_CURRENT, {"region": region_id}).mappings().one_or_none()
    if row is None:
        raise no_region()
    return rows.to_assignment(row)


def _claim(
    connection: Connection, region_id: str, reader: Reader, lease: timedelta, moment: Moment
) -> Assignment | None:
    until, now = moment.certain() + plausible(lease), moment.now
    facts = _facts(region_id, reader) | {"now": now, "latest_end": now + LONGEST_LEASE}
    held = {"holder": reader.login, "lease_until": until}
    changed = _change(connection, _CLAIM, facts, state=State.CLAIMED, now=now, **held)
    return _noted(connection, "claim", region_id, reader, changed, moment)


def _release(connection: Connection, region_id: str, reader: Reader, moment: Moment) -> Assignment | None:
    facts = {"region": region_id, "login": reader.login}
    changed = _change(connection, _RELEASE, facts, state=State.OPEN, now=moment.now)
    return _noted(connection, "release", region_id, reader, changed, moment)


def _facts(region_id: str, reader: Reader) -> dict[str, Any]:
    return {"region": region_id, "login": reader.login, "groups": reader.groups}


def _change(
    connection: Connection, statement: Update, facts: dict[str, Any], *, state: State, now: datetime, **other: Any
) -> Assignment | None:
    new = {"state": state, "updated": now, "holder": None, "lease_until": None, **other}
    row = connection.execute(statement, facts | {f"new_{n}": v for n, v in new.items()}).mappings().one_or_none()
    return None if row is None else rows.to_assignment(row)


def _noted(
    connection: Connection,
    what: str,
    region_id: str,
    reader: Reader,
    changed: Assignment | None,
    moment: Moment,
    note: str = "",
) -> Assignment | None:
    if changed is None:
        current(connection, region_id)
    else:
        until = None if changed.lease_until is None else {"until": time_text(changed.lease_until)}
        who = reader.login
        record_event(connection, what, region_id=region_id, who=who, note=note, facts=until, at=changed.updated)
    return changed
