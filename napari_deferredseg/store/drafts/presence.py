"""Marks that say which drafts a living window works on."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING, Any

import psutil

from napari_deferredseg.store.files import private_file, private_folder

if TYPE_CHECKING:
    from pathlib import Path

ENDING = ".open"
SAME_START = 2.0
"""Seconds by which two readings of one process's start may differ."""


class Presence:
    """One small file for each draft that is open; those of a process that ended count for nothing.

    Parameters
    ----------
    folder : Path
        The journal's; made at the first `enter`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mine: set[str] = set()

    def enter(self, stem: str) -> None:
        """Say that a window of this process works on the draft of this name. Without a disk nothing is said."""
        facts = {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}
        try:
            private_folder(self.folder)
            with os.fdopen(private_file(self._path(stem)), "w", encoding="utf-8") as stream:
                json.dump(facts, stream)
        except OSError:
            return
        self._mine.add(stem)

    def leave(self, stem: str) -> None:
        """Say that it does not any more. Harmless when it never did."""
        self._mine.discard(stem)
        try:
            self._path(stem).unlink(missing_ok=True)
        except OSError:  # it goes with the next sweep
            return

    def close(self) -> None:
        """Take back all that was said here."""
        for stem in tuple(self._mine):
            self.leave(stem)

    def is_open(self, stem: str) -> bool:
        """Whether a living window, of this process or another, works on the draft of this name."""
        try:
            return _lives(json.loads(self._path(stem).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}{ENDING}"


def _lives(facts: dict[str, Any]) -> bool:
    if facts["host"] != platform.node():  # the folder was copied from there
        return False
    try:
        started = psutil.Process(int(facts["pid"])).create_time()
    except psutil.Error:
        return False
    return abs(started - float(facts["started"])) < SAME_START
