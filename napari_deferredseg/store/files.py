"""Writing files so that a power cut leaves the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

T = TypeVar("T")
LEFT_ALONE = 3600.0
"""Seconds after which nobody can be writing a file any more."""


def private_folder(folder: Path) -> None:
    """Make a folder that only its user may enter, where the system knows such a thing.

    FileNotFoundError when the folder around it has gone: a disk that was pulled out must not seem to be there.
    """
    folder.mkdir(mode=0o700, exist_ok=True)


def private_file(path: Path) -> int:
    """Open a new or emptied file that only its user may read; returns the descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)


def write_synced(path: Path, parts: Iterable[bytes]) -> None:
    """Write a user-only file and wait until it is on the disk. One that could not be finished is removed."""
    try:
        with os.fdopen(private_file(path), "wb") as stream:
            for part in parts:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def is_left_alone(path: Path) -> bool:
    """Whether a file, or a folder with what lies in it, was last written more than an hour ago."""
    try:
        newest = max(x.stat().st_mtime for x in (path, *path.glob("*")))
    except OSError:
        return False
    return time.time() - newest > LEFT_ALONE


def remedy(error: OSError) -> str:
    """What to do where a file could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a place where you may write"
    return "check the disk and what room it has"


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Windows keeps them itself and lets nobody ask."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """`os.replace` that waits for a virus scanner or an indexer on Windows to let go of the file."""
    patiently(lambda: os.replace(source, target))


def patiently(action: Callable[[], T], attempts: int = 6, pause: float = 0.05) -> T:
    """Return what `action` returns, trying again on PermissionError; the last one is raised."""
    for _ in range(attempts - 1):
        try:
            return action()
        except PermissionError:
            time.sleep(pause)
    return action()
