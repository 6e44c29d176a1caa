"""What a database's errors mean to the person at the screen."""

from __future__ import annotations

from typing import Any

from napari_deferredseg.core.errors import Busy, Damaged, DeferredSegError, InputError, NotAllowed

BUSY, LOCKED, READ_ONLY, IO, CORRUPT, FULL, CANNOT_OPEN, CONSTRAINT, NOT_A_DATABASE = 5, 6, 8, 10, 11, 13, 14, 19, 26
"""Primary result codes of SQLite."""
CANNOT_WRITE = "it cannot be written here, only read: copy the project's folder to a local disk where you may write"
MEANINGS: dict[int, tuple[type[DeferredSegError], str]] = {
    BUSY: (Busy, "others are writing to it all the time: try again"),
    LOCKED: (Busy, "others are writing to it all the time: try again"),
    READ_ONLY: (NotAllowed, CANNOT_WRITE),
    IO: (InputError, "its disk does not answer: check the disk, then try again"),
    CORRUPT: (Damaged, "it is damaged: restore it from a backup"),
    FULL: (InputError, "its disk is full: free some space, then try again"),
    CANNOT_OPEN: (InputError, "it cannot be reached: check the disk that it lies on"),
    CONSTRAINT: (NotAllowed, "it refused a change that does not fit what is there, and nothing was changed"),
    NOT_A_DATABASE: (Damaged, "it is damaged: restore it from a backup"),
}


def as_told(error: Exception, where: object) -> DeferredSegError:
    """Return one line for an error of SQLAlchemy or of the driver; `where` names the database."""
    raw: Any = getattr(error, "orig", None) or error
    code = getattr(raw, "sqlite_errorcode", 0) & 0xFF
    kind, meaning = MEANINGS.get(code, (InputError, "try again, and check the disk"))
    return kind(f"{where} cannot be used now ({raw}): {meaning}")
