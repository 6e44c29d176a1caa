"""Whose turn it is to write to an SQLite file.

SQLite's own waiting sleeps longer the longer one has waited, so whoever comes late overtakes whoever waits, now and
then for ever. Here those who have waited long ask more often, and chance keeps them from asking all at once.
"""

from __future__ import annotations

import random
import sqlite3
import time

PATIENCE = 60.0
"""Seconds after which a writer gives up."""
FIRST_PAUSE, LAST_PAUSE = 0.02, 0.002
HURRY = 0.6
"""Seconds of waiting until the pauses are shortest."""


def begin_writing(raw: sqlite3.Connection, busy_timeout: int) -> None:
    """Begin a transaction that writes, once nobody else's is under way.

    Parameters
    ----------
    busy_timeout : int
        Milliseconds that the connection's other statements wait for a lock; it is set anew.

    Raises
    ------
    sqlite3.OperationalError
        Others wrote without a pause for `PATIENCE` seconds, or the file cannot be written.
    """
    begun = time.monotonic()
    raw.execute("PRAGMA busy_timeout=0").close()
    try:
        while not _begun(raw, last=time.monotonic() - begun > PATIENCE):
            waited = min(1.0, (time.monotonic() - begun) / HURRY)
            time.sleep(random.uniform(0.25, 1.0) * FIRST_PAUSE * (LAST_PAUSE / FIRST_PAUSE) ** waited)
    finally:
        raw.execute(f"PRAGMA busy_timeout={busy_timeout}").close()


def is_busy(error: sqlite3.Error) -> bool:
    """Whether an error says that somebody else has the lock."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _begun(raw: sqlite3.Connection, *, last: bool) -> bool:
    try:
        raw.execute("BEGIN IMMEDIATE").close()
    except sqlite3.OperationalError as error:
        if last or not is_busy(error):
            raise
        return False
    return True
