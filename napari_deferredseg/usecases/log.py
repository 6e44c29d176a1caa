"""Where this person's log lies."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
from platformdirs import user_log_path

from napari_deferredseg.core.log import start_log
from napari_deferredseg.core.names import folder_in

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "DEFERREDSEG_LOG"
NAME = re.compile(r"deferredseg-\d{8}-(\d{1,9})\.log(\.\d+)?")
MOST, OLDEST = 40, 30 * 86400
"""Files of processes that have ended which stay, and for how many seconds at most."""


def log_folder() -> Path:
    """Folder of the log; `DEFERREDSEG_LOG` names another."""
    return folder_in(FOLDER) or user_log_path("napari-deferredseg", appauthor=False)


def open_log() -> Path | None:
    """Log from now on, as `start_log`, and delete what ended long ago. Nothing that goes wrong here is an error."""
    folder = log_folder()
    file = start_log(folder)
    with suppress(OSError):
        _tidy(folder)
    return file


def _tidy(folder: Path) -> None:
    ended = []
    for path in folder.iterdir():
        found = NAME.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found[1])):
            ended.append((path.stat().st_mtime, path))
    ended.sort(reverse=True)
    for number, (changed, path) in enumerate(ended):
        if number >= MOST or time.time() - changed > OLDEST:
            path.unlink(missing_ok=True)
