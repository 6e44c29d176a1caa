"""Saving drafts in the background."""

from __future__ import annotations

import dataclasses
import logging
import threading
from typing import TYPE_CHECKING, Protocol

from napari_deferredseg.core.log import log_failure
from napari_deferredseg.core.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from napari_deferredseg.store.drafts.draft import Draft

Key = tuple[str, str, str]
log = logging.getLogger(__name__)


class Drafts(Protocol):
    """What `AutoSave` needs of a journal."""

    def save(self, draft: Draft) -> None:
        """Keep a draft."""

    def discard(self, reader: str, region_id: str, draft_id: str) -> None:
        """Delete a draft."""


class AutoSave:
    """Writes and deletes drafts of a journal on a thread of its own; of what is asked of one draft only the latest.

    Both callbacks run on that thread, never on the caller's: hand over to the window's thread before touching it.
    What could not be saved is tried again with every later `put`, `discard` and `flush`.

    Parameters
    ----------
    journal : Journal
    on_saved : callable (Draft)
        A draft is on the disk.
    on_error : callable (str)
        One line: a draft could not be saved, and why.
    """

    def __init__(self, journal: Drafts, on_saved: Callable[[Draft], None], on_error: Callable[[str], None]) -> None:
        self._journal, self._on_saved, self._on_error = journal, on_saved, on_error
        self._changed = threading.Condition()
        self._waiting: dict[Key, Draft | None] = {}  # None: delete it
        self._saved_at: datetime | None = None
        self._asked = self._busy = self._closed = False
        self._thread = threading.Thread(target=self._work, name="deferredseg-autosave", daemon=True)
        self._thread.start()

    @property
    def saved_at(self) -> datetime | None:
        """When a draft was last saved, UTC; None before the first."""
        return self._saved_at

    def put(self, draft: Draft) -> None:
        """Take a copy of a draft and save it soon. Returns at once; RuntimeError after `close`."""
        copy = dataclasses.replace(draft, before=draft.before.copy(), after=draft.after.copy())
        self._ask(_key(draft.reader, draft.region_id, draft.id), copy)

    def discard(self, reader: str, region_id: str, draft_id: str) -> None:
        """Delete a draft soon, and what was put of it and waits. Returns at once; RuntimeError as in `put`.

        One that cannot be deleted, or whose process ends before, has the id of the correction that made it needless:
        nobody takes it up.
        """
        self._ask(_key(reader, region_id, draft_id), None)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything asked for is done. False when it is not after `timeout` seconds, or cannot be."""
        with self._changed:
            if self._waiting:
                self._asked = True
                self._changed.notify_all()
            rested = self._changed.wait_for(lambda: not (self._asked or self._busy), timeout)
            return rested and not self._waiting

    def close(self, timeout: float = 10.0) -> bool:
        """Flush and end the thread. False when something is still not on the disk."""
        saved = self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return saved

    def _ask(self, key: Key, wish: Draft | None) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("this AutoSave is closed")
            self._waiting[key] = wish
            self._asked = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._closed)
                if not self._asked:
                    return
                self._asked, self._busy = False, True
                batch = list(self._waiting.items())
            for key, wish in batch:  # what a reader would miss comes first
                if wish is not None:
                    self._save(key, wish)
            for key, wish in batch:
                if wish is None:
                    self._delete(key)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _save(self, key: Key, draft: Draft) -> None:
        try:
            self._journal.save(draft)
        except Exception as error:
            log_failure(log, error, "saving a draft")
            reason = getattr(error, "strerror", None) or error
            self._tell(self._on_error, f"your last strokes are not saved: {reason}; free the disk, then go on")
            return
        self._saved_at = utc_now()
        self._done(key, draft)
        self._tell(self._on_saved, draft)

    def _delete(self, key: Key) -> None:
        try:
            self._journal.discard(*key)
        except Exception as error:
            log.warning("a draft that is not needed any more stays: %s", error, exc_info=True)
        self._done(key, None)

    def _done(self, key: Key, wish: Draft | None) -> None:
        with self._changed:
            if key in self._waiting and self._waiting[key] is wish:
                del self._waiting[key]

    def _tell(self, listener: Callable[[Any], None], what: object) -> None:
        # A listener's mistake must not end the thread that saves.
        try:
            listener(what)
        except Exception:
            log.exception("a listener of AutoSave failed")


def _key(reader: str, region_id: str, draft_id: str) -> Key:
    return reader.casefold(), region_id, draft_id
