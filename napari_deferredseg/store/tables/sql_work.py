"""Who holds which region; every function runs inside the caller's transaction.

The row that says who holds a region is read and locked before it changes (SQLite: the whole file is), so that of two
callers one finds it changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from napari_deferredseg.core.errors import Busy, InputError, NotAllowed
from napari_deferredseg.core.records import Assignment, Reader, Role, State
from napari_deferredseg.store.chain import time_text
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.clock import LONGEST_LEASE, plausible
from napari_deferredseg.store.tables.prepared import Prepared
from napari_deferredseg.store.tables.sql_events import record_event
from napari_deferredseg.store.tables.sql_names import no_region, person, place
from napari_deferredseg.store.tables.sql_readers import acting, require_group, require_login

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Any

    from sqlalchemy import Connection

    from napari_deferredseg.store.tables.clock import Moment

TABLE, ASSIGNMENTS = schema.assignments, schema.assignments.c
# Compiled once, since a reader waits for it, and everybody else meanwhile.
_REGION = ASSIGNMENTS.region_id == bindparam("region")
_CURRENT = Prepared(select(TABLE).where(_REGION).with_for_update())
_CHANGED = ("reader", "group_name", "state", "holder", "lease_until", "reason", "assigned_by", "updated")
_LAST = (
    select(schema.events.c.what, schema.event_people.c.who)
    .select_from(schema.events.outerjoin(schema.event_people, schema.event_people.c.event == schema.events.c.sequence))
    .where(schema.events.c.region_id == bindparam("region"))
    .order_by(schema.events.c.sequence.desc())
    .limit(1)
)
UNREAD = (State.OPEN, State.SKIPPED)
_CHANGE = Prepared(update(TABLE).where(_REGION).values({n: bindparam(f"new_{n}") for n in _CHANGED}))


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
    login = None if reader is None else acting(connection, reader).login
    if group is not None:
        require_group(connection, group)
    found = current(connection, region_id)
    if runs(found, moment.now):
        who = person(connection, found.holder)
        raise Busy(f"{who} is reading {where}: wait until it is submitted, or let a lead release it")
    if found.state in (State.SUBMITTED, State.SETTLED, State.WITHDRAWN):
        raise InputError(f"{where} is {found.state}: only unread regions can be assigned")
    facts, now = None if group is None else {"group": group}, moment.now
    record_event(connection, "assign", region_id=region_id, who=by, target=login, note=note, facts=facts, at=now)
    given = {"reader": login, "group": group, "assigned_by": by, "reason": note}
    return _change(connection, found, State.OPEN, now, **given)


def claim(connection: Connection, region_id: str, login: str, lease: timedelta, moment: Moment) -> Assignment | None:
    """Take a region; as `Store.claim`."""
    return _claim(connection, region_id, acting(connection, login), lease, moment)


def exchange(
    connection: Connection, given_back: str, taken: str, login: str, lease: timedelta, moment: Moment
) -> Assignment | None:
    """Give one region back and take another; as `Store.exchange`."""
    reader = acting(connection, login)
    _release(connection, given_back, reader, moment)
    return _claim(connection, taken, reader, lease, moment)


def release(connection: Connection, region_id: str, login: str, moment: Moment) -> bool:
    """Give a claimed region back; as `Store.release`."""
    return _release(connection, region_id, require_login(connection, login), moment) is not None


def release_all(connection: Connection, login: str, by: str, moment: Moment) -> None:
    """Open every region that a reader has claimed, for somebody who acts, or "" where that is not known."""
    held = select(ASSIGNMENTS.region_id).where(ASSIGNMENTS.state == State.CLAIMED, ASSIGNMENTS.holder == login)
    for region_id in connection.scalars(held.order_by(ASSIGNMENTS.region_id)).all():
        _change(connection, current(connection, region_id), State.OPEN, moment.now)
        record_event(connection, "release", region_id=region_id, who=by, target=login, at=moment.now)


def take_back(connection: Connection, region_id: str, by: str, note: str, moment: Moment) -> Assignment:
    """Open a region that somebody has claimed; as `Store.take_back`."""
    lead = acting(connection, by)
    where = place(connection, region_id)
    found = current(connection, region_id)
    if lead.role not in (Role.LEAD, Role.ADMIN) and not _is_held(found, lead):
        raise NotAllowed(f"{lead.name} is no lead: only a lead can release {where} for somebody else")
    if found.state is not State.CLAIMED:
        raise InputError(f"nobody is reading {where}: it is {found.state}")
    changed = _change(connection, found, State.OPEN, moment.now)
    facts = {"region_id": region_id, "who": lead.login, "target": found.holder, "note": note, "at": moment.now}
    record_event(connection, "release", **facts)
    return changed


def skip(connection: Connection, region_id: str, login: str, moment: Moment) -> bool:
    """Put off a region; as `Store.skip`."""
    reader, found = acting(connection, login), current(connection, region_id)
    if not (_is_held(found, reader) or (found.state is State.OPEN and _is_for(found, reader))):
        return False
    _noted(connection, "skip", reader, _change(connection, found, State.SKIPPED, moment.now))
    return True


def decline(connection: Connection, region_id: str, login: str, reason: str, moment: Moment) -> bool:
    """Refuse a region; as `Store.decline`."""
    why = reason.strip()
    if not why:
        raise InputError(f"say why you decline {place(connection, region_id)}: the reason is empty")
    reader, found = acting(connection, login), current(connection, region_id)
    if not (_is_held(found, reader) or (found.state in UNREAD and _is_for(found, reader))):
        return False
    _noted(connection, "decline", reader, _change(connection, found, State.DECLINED, moment.now, reason=why), why)
    return True


def standing(connection: Connection, region_id: str) -> tuple[Assignment, str | None, str]:
    """Assignment of a region, and who changed it last and how; as `Store.standing`."""
    found = current(connection, region_id)
    last = connection.execute(_LAST, {"region": region_id}).one_or_none()
    return (found, None, "") if last is None else (found, last.who, last.what)


def current(connection: Connection, region_id: str) -> Assignment:
    """Assignment of a region as it stands, locked until the transaction ends. InputError when there is none."""
    row = _CURRENT.one(connection, {"region": region_id})
    if row is None:
        raise no_region()
    return rows.to_assignment(row)


def _claim(
    connection: Connection, region_id: str, reader: Reader, lease: timedelta, moment: Moment
) -> Assignment | None:
    found, length = current(connection, region_id), plausible(lease)
    until = (moment.now if _is_held(found, reader) else moment.certain()) + length
    lapsed = found.state is State.CLAIMED and not runs(found, moment.now)
    if not _is_for(found, reader) or not (found.state in UNREAD or _is_held(found, reader) or lapsed):
        return None
    held = {"holder": reader.login, "lease_until": until}
    return _noted(connection, "claim", reader, _change(connection, found, State.CLAIMED, moment.now, **held))


def _release(connection: Connection, region_id: str, reader: Reader, moment: Moment) -> Assignment | None:
    found = current(connection, region_id)
    if not _is_held(found, reader):
        return None
    return _noted(connection, "release", reader, _change(connection, found, State.OPEN, moment.now))


def _is_for(found: Assignment, reader: Reader) -> bool:
    return found.reader == reader.login or found.group in reader.groups


def _is_held(found: Assignment, reader: Reader) -> bool:
    return found.state is State.CLAIMED and found.holder == reader.login


def _change(connection: Connection, found: Assignment, state: State, now: datetime, **other: Any) -> Assignment:
    new = {"state": state, "updated": now, "holder": None, "lease_until": None, **other}
    changed = found.model_copy(update=new)
    values = rows.assignment_values(changed)
    _CHANGE.run(connection, {"region": found.region_id} | {f"new_{n}": values[n] for n in _CHANGED})
    return changed


def _noted(connection: Connection, what: str, reader: Reader, changed: Assignment, note: str = "") -> Assignment:
    until = None if changed.lease_until is None else {"until": time_text(changed.lease_until)}
    facts = {"region_id": changed.region_id, "who": reader.login, "note": note, "facts": until}
    record_event(connection, what, at=changed.updated, **facts)
    return changed
