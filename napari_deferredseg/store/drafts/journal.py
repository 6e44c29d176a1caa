"""Drafts on the reader's own disk, so that nothing they did is lost."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import Busy, Damaged, InputError
from napari_deferredseg.core.records import LOGIN
from napari_deferredseg.store.drafts.autosave import AutoSave
from napari_deferredseg.store.drafts.draft import Draft, dump, parse
from napari_deferredseg.store.drafts.presence import ENDING as OPEN
from napari_deferredseg.store.drafts.presence import Presence
from napari_deferredseg.store.files import (
    is_left_alone,
    patiently,
    private_folder,
    replace,
    sync_folder,
    write_synced,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AutoSave", "Draft", "Journal"]

NEWEST, PREVIOUS, UNFINISHED, DAMAGED = ".draft", ".draft-previous", ".new", ".damaged"
REGION = DRAFT = re.compile(r"[0-9a-f]{1,64}")


class Journal:
    """Folder with the drafts of readers, one for each window that has a region open, and the generation before it.

    Any thread may call it. A process killed at any moment leaves the newest draft for which `save` had returned, or
    a later one.

    Parameters
    ----------
    folder : Path
        Made at the first `save`, for its user alone where the system knows such a thing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._presence = Presence(folder)

    def save(self, draft: Draft) -> None:
        """Keep a draft; when this returns it is on the disk.

        Raises
        ------
        OSError
            The disk is full or the folder cannot be written. The draft saved before is still there.
        """
        stem = _stem(draft.reader, draft.region_id, draft.id)
        newest, unfinished = self._path(stem, NEWEST), self._path(f"{stem}.{os.getpid()}", UNFINISHED)
        parts = dump(draft)
        with self._lock:
            private_folder(self.folder)
            write_synced(unfinished, parts)
            if newest.exists():
                replace(newest, self._path(stem, PREVIOUS))
            replace(unfinished, newest)
            sync_folder(self.folder)

    def load(self, reader: str, region_id: str) -> Draft | None:
        """Return the newest draft of a region that can be read, or None. A damaged file is kept, under another name.

        Raises
        ------
        InputError
            Another program keeps the file locked.
        """
        return next(iter(self.of_region(reader, region_id)), None)

    def of_region(self, reader: str, region_id: str) -> list[Draft]:
        """Return a reader's drafts of a region, the one saved last first. InputError as in `load`."""
        with self._lock:
            return self._found(self._stems(reader, region_id))

    def drafts(self, reader: str) -> list[Draft]:
        """Return all of a reader's drafts, the one saved last first. InputError as in `load`."""
        with self._lock:
            return self._found(self._stems(reader))

    def discard(self, reader: str, region_id: str, draft_id: str) -> None:
        """Delete a draft, since it was submitted or the reader does not want it. Harmless when there is none.

        Raises
        ------
        InputError
            The file cannot be deleted.
        """
        stem = _stem(reader, region_id, draft_id)
        with self._lock:
            # The newest goes last: killed in between, no older state comes back in its place.
            doomed = [*self.folder.glob(f"{stem}.*{UNFINISHED}"), self._path(stem, PREVIOUS), self._path(stem, NEWEST)]
            try:
                for path in doomed:
                    patiently(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]
                if self.folder.is_dir():
                    sync_folder(self.folder)
            except OSError as error:
                raise InputError(f"the draft {doomed[-1]} cannot be deleted: {error.strerror or error}") from None

    # windows
    def enter(self, reader: str, region_id: str, draft_id: str) -> None:
        """Say that a window works on a draft, until `leave` or the end of this process."""
        self._presence.enter(_stem(reader, region_id, draft_id))

    def leave(self, reader: str, region_id: str, draft_id: str) -> None:
        """Say that it does not any more. Harmless when it never did."""
        self._presence.leave(_stem(reader, region_id, draft_id))

    def is_open(self, reader: str, region_id: str, draft_id: str) -> bool:
        """Whether a window that lives, here or in another process, works on a draft."""
        return self._presence.is_open(_stem(reader, region_id, draft_id))

    def open_drafts(self, reader: str, region_id: str) -> set[str]:
        """Return the ids of a region's drafts that windows of this reader work on, saved or not."""
        start, end = f"{_region(region_id)}.", f"-{_login(reader)}"
        names = (path.name.removesuffix(OPEN) for path in self.folder.glob(f"{start}*{end}{OPEN}"))
        ids = {name.removeprefix(start).removesuffix(end) for name in names}
        return {x for x in ids if DRAFT.fullmatch(x) and self.is_open(reader, region_id, x)}

    def sweep(self) -> int:
        """Delete half-written files and marks of windows that are gone, an hour old; returns how many. No draft."""
        gone = 0
        for path in (*self.folder.glob(f"*{UNFINISHED}"), *self.folder.glob(f"*{OPEN}")):
            try:
                if is_left_alone(path) and not self._presence.is_open(path.name.removesuffix(OPEN)):
                    path.unlink(missing_ok=True)
                    gone += 1
            except OSError:  # locked or not ours: the next time
                continue
        return gone

    def close(self) -> None:
        """Take back what was said of windows here."""
        self._presence.close()

    def _stems(self, reader: str, region_id: str | None = None) -> list[str]:
        ending = f"-{_login(reader)}"
        start = "" if region_id is None else _region(region_id)
        names = {p.name.removesuffix(end) for end in (NEWEST, PREVIOUS) for p in self.folder.glob(f"{start}*{end}")}
        found = []
        for name in names:
            region, _, draft_id = name.removesuffix(ending).partition(".")
            if name.endswith(ending) and REGION.fullmatch(region) and (not draft_id or DRAFT.fullmatch(draft_id)):
                found += [name] if region_id in (None, region) else []
        return found

    def _found(self, stems: list[str]) -> list[Draft]:
        found = [self._load(stem) for stem in stems]
        return sorted((d for d in found if d is not None), key=lambda d: d.saved, reverse=True)

    def _path(self, stem: str, ending: str) -> Path:
        return self.folder / f"{stem}{ending}"

    def _load(self, stem: str) -> Draft | None:
        for ending in (NEWEST, PREVIOUS):
            path = self._path(stem, ending)
            try:
                draft = parse(patiently(path.read_bytes))
                if _stem(draft.reader, draft.region_id, draft.id) == stem:
                    return draft
            except FileNotFoundError:
                continue
            except PermissionError:
                raise Busy(f"the draft {path} is locked: close the program that has it open") from None
            except (OSError, Damaged):
                pass
            self._set_aside(path, stem)
        return None

    def _set_aside(self, path: Path, stem: str) -> None:
        number = 1
        while self._path(f"{stem}.{number}", DAMAGED).exists():
            number += 1
        try:
            path.rename(self._path(f"{stem}.{number}", DAMAGED))
        except OSError:
            return


def _stem(reader: str, region_id: str, draft_id: str) -> str:
    # The region comes first: a login such as CON or NUL may not begin a file's name on Windows.
    if draft_id and not DRAFT.fullmatch(draft_id):
        raise ValueError(f"{draft_id!r} is no id of a draft")
    return f"{_region(region_id)}{'.' if draft_id else ''}{draft_id}-{_login(reader)}"


def _region(region_id: str) -> str:
    if not REGION.fullmatch(region_id):
        raise ValueError(f"{region_id!r} is no region id")
    return region_id


def _login(reader: str) -> str:
    if not LOGIN.fullmatch(reader):
        raise ValueError(f"{reader!r} is no login")
    return reader.casefold()
