"""What a database's errors mean to the person at the screen."""

from __future__ import annotations

from typing import Any

from napari_deferredseg.core.errors import InputError

BUSY, LOCKED, READ_ONLY, IO, CORRUPT, FULL, CANNOT_OPEN, CONSTRAINT, NOT_A_DATABASE = 5, 6, 8, 10, 11, 13, 14, 19, 26
"""Primary result codes of SQLite."""
CANNOT_WRITE = "it cannot be written here, only read: copy the project's folder to a local disk where you may write"
MEANINGS = {
    BUSY: "others are writing to it all the time: try again",
    LOCKED: "others are writing to it all the time: try again",
    READ_ONLY: CANNOT_WRITE,
    IO: "its disk does not answer: check the disk, then try again",
    CORRUPT: "it is damaged: restore it from a backup",
    FULL: "its disk is full: free some space, then try again",
    CANNOT_OPEN: "it cannot be reached: check the disk that it lies on",
    CONSTRAINT: "it refused a change that does not fit what is there, and nothing was changed",
    NOT_A_DATABASE: "it is damaged: restore it from a backup",
}


def as_input_error(error: Exception, where: object) -> InputError:
    """Return one line for an error of SQLAlchemy or of the driver; `where` names the database."""
    raw: Any = getattr(error, "orig", None) or error
    meaning = MEANINGS.get(getattr(raw, "sqlite_errorcode", 0) & 0xFF)
    if meaning is None:
        return InputError(f"{where} cannot be used now ({raw}): try again, and check the disk")
    return InputError(f"{where} cannot be used now ({raw}): {meaning}")
