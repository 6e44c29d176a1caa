"""The store's own clock: it never goes back, and a leap that would end running leases is not believed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.core.records import Role, State, utc_now
from napari_deferredseg.store.tables import schema
from napari_deferredseg.store.tables.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

LONGEST_LEASE = timedelta(hours=24)
LONGEST_REST = timedelta(days=31)
"""After the last entry the computer's clock is believed so far, even where that ends a lease."""

_EVENTS, _ASSIGNMENTS = schema.events.c, schema.assignments.c
_LATEST = Prepared(select(_EVENTS.at).where(_EVENTS.region_id.is_not(None)).order_by(_EVENTS.sequence.desc()).limit(1))
_READERS = schema.readers.c
_HELD = (
    select(
        _ASSIGNMENTS.holder, _READERS.name, schema.regions.c.number, schema.regions.c.case_key, _ASSIGNMENTS.lease_until
    )
    .join(schema.readers, schema.readers.c.login == _ASSIGNMENTS.holder)
    .join(schema.regions, schema.regions.c.id == _ASSIGNMENTS.region_id)
    .where(_ASSIGNMENTS.state == State.CLAIMED)
)
_LEAD = select(_READERS.login).where(_READERS.active, _READERS.role.in_((Role.LEAD, Role.ADMIN))).limit(1)


def computer_clock() -> Callable[[], datetime]:
    """Return a clock that reads the computer's once and goes on by how long the computer has been running since.

    Whoever sets the computer's clock while a program runs does not move it.
    """
    ticks = next((getattr(time, n) for n in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW") if hasattr(time, n)), None)

    def running() -> float:  # with the time asleep, where the system tells
        return time.monotonic() if ticks is None else time.clock_gettime(ticks)

    start, begun = utc_now(), running()
    return lambda: start + timedelta(seconds=running() - begun)


@dataclass(frozen=True)
class Moment:
    """Time of a transaction. `doubt` is "", or says why nobody may lose a region to others at this time."""

    now: datetime
    doubt: str = ""

    def certain(self) -> datetime:
        """Return the time where regions may change hands by it. InputError where that is in doubt."""
        if self.doubt:
            raise NotAllowed(self.doubt)
        return self.now


class StoreClock:
    """Time that goes on from the last entry of the database, whatever the computer's clock does.

    Parameters
    ----------
    read : callable
        Time of the computer, with a time zone.
    """

    def __init__(self, read: Callable[[], datetime]) -> None:
        self._read = read
        self._reading = self._time = read()
        self._lock = threading.Lock()

    def moment(self, connection: Connection, login: str = "") -> Moment:
        """Time of now, at least that of the last entry.

        Where the last entry is more than `LONGEST_REST` old and leases ran at that time, it is their time that stays,
        with a doubt. Leases of the reader `login`, who is here to speak for them, give none.
        """
        latest: datetime | None = _LATEST.scalar(connection, {})
        with self._lock:
            reading = self._read()
            now = max(reading, self._time + max(reading - self._reading, timedelta(0)), latest or reading)
            rested = latest is not None and now - latest > LONGEST_REST
            doubt = _doubt(connection, latest, now, login) if latest is not None and rested else ""
            if latest is not None and doubt:
                return Moment(latest, doubt)
            self._reading, self._time = reading, now
            return Moment(now)


def plausible(lease: timedelta) -> timedelta:
    """Return a lease. InputError when it is no time to read one region in."""
    if not timedelta(0) < lease <= LONGEST_LEASE:
        hours = LONGEST_LEASE.total_seconds() / 3600
        raise InputError(f"a lease of {lease} is refused: a region can be held for at most {hours:g} hours at once")
    return lease


def _doubt(connection: Connection, latest: datetime, now: datetime, login: str) -> str:
    rows = connection.execute(_HELD)
    running = (row for row in rows if row.lease_until and row.lease_until > latest)
    held = next((row for row in running if row.holder.casefold() != login.casefold()), None)
    if held is None:
        return ""
    has_lead = connection.scalar(_LEAD) is not None
    first = "" if has_lead else "make a lead (deferredseg reader add NAME --role lead), who then "
    return (
        f"this computer's clock says {now:%Y-%m-%d %H:%M}, the last entry here is of {latest:%Y-%m-%d %H:%M}, when "
        f"{held.name} was reading region {held.number} of {held.case_key}: set the clock right where it is wrong; "
        f"where it is right, {held.name} goes on or gives the region back, or {first or 'a lead '}does: "
        f"deferredseg release {held.case_key} {held.number} --by LOGIN"
    )
