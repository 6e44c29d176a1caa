"""Saving drafts in the background."""

from __future__ import annotations

import dataclasses
import logging
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from napari_deferredseg.core.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari_deferredseg.store.draft import Draft

Key = tuple[str, str]
log = logging.getLogger(__name__)


class Drafts(Protocol):
    """What `AutoSave` needs of a journal."""

    def save(self, draft: Draft) -> None:
        """Keep a draft."""

    def discard(self, reader: str, region_id: str, not_after: datetime | None = None) -> None:
        """Delete a draft, unless it was saved later."""


class AutoSave:
    """Writes and deletes drafts of a journal on a thread of its own; of what is asked of one region only the latest.

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
        self._waiting: dict[Key, Draft | datetime] = {}  # a time: delete what was saved until then
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
        self._ask(_key(draft.reader, draft.region_id), copy)

    def discard(self, reader: str, region_id: str, not_after: datetime) -> None:
        """Delete a draft soon, with what was put for its region and waits. Returns at once; RuntimeError as in `put`.

        A later draft, of another window, stays. One that cannot be deleted, or whose process ends before, is older
        than the submission that made it needless: nobody takes it up.
        """
        self._ask(_key(reader, region_id), not_after)

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

    def _ask(self, key: Key, wish: Draft | datetime) -> None:
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
            drafts = [(key, wish) for key, wish in batch if not isinstance(wish, datetime)]
            for key, draft in drafts:
                self._save(key, draft)
            for key, wish in batch:  # what a reader would miss comes first
                if isinstance(wish, datetime):
                    self._delete(key, wish)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _save(self, key: Key, draft: Draft) -> None:
        try:
            self._journal.save(draft)
        except Exception as error:
            reason = getattr(error, "strerror", None) or error
            self._tell(self._on_error, f"your last strokes are not saved: {reason}; free the disk, then go on")
            return
        self._saved_at = utc_now()
        self._done(key, draft)
        self._tell(self._on_saved, draft)

    def _delete(self, key: Key, not_after: datetime) -> None:
        try:
            self._journal.discard(*key, not_after)
        except Exception as error:
            log.warning("a draft that is not needed any more stays: %s", error)
        self._done(key, not_after)

    def _done(self, key: Key, wish: Draft | datetime) -> None:
        with self._changed:
            if self._waiting.get(key) is wish:
                del self._waiting[key]

    def _tell(self, listener: Callable[[Any], None], what: object) -> None:
        # A listener's mistake must not end the thread that saves.
        try:
            listener(what)
        except Exception:
            log.exception("a listener of AutoSave failed")


def _key(reader: str, region_id: str) -> Key:
    return reader.casefold(), region_id
