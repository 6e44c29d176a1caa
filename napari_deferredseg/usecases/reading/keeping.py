"""Drafts go to the disk, and the claim of what is worked on stays alive, while the reader works on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import DeferredSegError
from napari_deferredseg.core.records import utc_now
from napari_deferredseg.store.drafts.autosave import AutoSave
from napari_deferredseg.usecases.reading import read
from napari_deferredseg.usecases.reading.claiming import why_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_deferredseg.store.drafts.journal import Draft
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.events import SessionEvents
    from napari_deferredseg.usecases.reading.read import Reading

FLUSH_SECONDS = 10.0


class Keeper:
    """Saves what is open in one project. `events` hear of it on the saving thread; `is_open` asks what is open now."""

    def __init__(self, project: Project, events: SessionEvents, is_open: Callable[[Reading], bool]) -> None:
        self._events, self._is_open = events, is_open
        self._reading: Reading | None = None
        self._is_quiet = False
        self._saver = AutoSave(project.journal, self._on_saved, events.save_failed.emit)

    def save(self, reading: Reading) -> None:
        """Put the state of a region on its way to the journal; returns at once."""
        now = utc_now()
        reading.touch(now)
        self._reading = reading
        self._saver.put(reading.draft(now))

    def let_go(self) -> None:
        """Say no more of the claim: the region is about to be submitted here."""
        self._reading = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Say nothing of the claim in here: whoever saves knows that it is gone."""
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False

    def discard(self, reading: Reading, draft_id: str) -> None:
        """Let go of a draft that became a correction."""
        self._saver.discard(reading.reader.login, reading.item.region.id, draft_id)

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until what was saved is on disk: a draft written later would come back from the dead."""
        return self._saver.flush(timeout)

    def close(self) -> None:
        """Flush, and save no more."""
        self._saver.close()

    def _on_saved(self, draft: Draft) -> None:
        self._events.saved.emit()
        reading = self._reading
        if self._is_quiet or reading is None or reading.correction_id != draft.id or not self._is_open(reading):
            return
        try:
            if not read.keep_claim(reading, utc_now()) and self._reading is reading and self._is_open(reading):
                self._events.claim_lost.emit(why_lost(reading.project, reading.item, reading.reader))
        except DeferredSegError as error:
            self._events.claim_lost.emit(str(error))
