"""State of one viewer: which project, who reads, which case and region. Widgets listen to it and hold no facts."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal, SignalGroup

from napari_deferredseg.core.boxes import union
from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.records import Reader, State, Verdict, WorkItem, utc_now
from napari_deferredseg.store.drafts.journal import AutoSave
from napari_deferredseg.usecases.reading import read
from napari_deferredseg.usecases.reading.claiming import Claim, Wish, ask, drop, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.core.records import Correction
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.store.drafts.journal import Draft
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.open_case import OpenCase


class SessionEvents(SignalGroup):
    """What a session tells. `saved`, `save_failed` and `claim_lost` come from the saving thread, the rest does not."""

    project = Signal()
    reader = Signal()
    case = Signal()
    reading = Signal()
    worklist = Signal()
    labels = Signal(object)  # Box, file order: written by the session, not by a hand
    saved = Signal()
    save_failed = Signal(str)
    claim_lost = Signal(str)
    message = Signal(str)


class Session:
    """One reader at one viewer."""

    def __init__(self) -> None:
        self.events = SessionEvents()
        self.project: Project | None = None
        self.reader: Reader | None = None
        self.case: OpenCase | None = None
        self.work: Array | None = None
        self.reading: read.Reading | None = None
        self.last: WorkItem | None = None
        self._saver: AutoSave | None = None
        self._waiting: list[WorkItem] | None = None
        self._changed: Callable[[], Box | None] = lambda: None
        self.events.worklist.connect(self._forget_waiting)

    # project and reader
    def set_project(self, project: Project) -> None:
        """Work in this open project, in place of the present one; the session closes it."""
        self.close()
        self.project = project
        self._saver = AutoSave(project.journal, self._on_saved, self.events.save_failed.emit)
        self.events.project.emit()

    def close(self) -> None:
        """Put the region aside and let go of the project."""
        if self.project is None:
            return
        self.set_case(None)
        if self._saver is not None:
            self._saver.close()
        self.project.close()
        self.project = self.reader = self.last = self._saver = self._waiting = None
        self.events.project.emit()

    def need_project(self) -> Project:
        """Return the open project. InputError when none is open."""
        if self.project is None:
            raise InputError("open a project first")
        return self.project

    def choose_reader(self, login: str | None) -> None:
        """Say who is reading. InputError when the project has no such reader."""
        reader = None if login is None else self.need_project().store.reader(login)
        if reader == self.reader:
            return
        self.leave()
        self.reader = reader
        self.last = None
        self.events.reader.emit()
        self.events.worklist.emit()

    def worklist(self) -> list[WorkItem]:
        """Return what the reader may work on now; empty without a project or reader."""
        if self.project is None or self.reader is None:
            return []
        self._waiting = self.project.store.worklist(self.reader.login)
        return list(self._waiting)

    def waiting(self) -> list[WorkItem]:
        """Return the worklist as it was read last, which is what the reader sees."""
        return self.worklist() if self._waiting is None else list(self._waiting)

    # case
    def set_case(self, case: OpenCase | None) -> None:
        """Show a case that was loaded, in place of the present one; None to close it."""
        self.leave()
        if case is None and self.case is None:
            return
        self.case = case
        self.work = None if case is None else case.composed.copy()
        self.events.case.emit()
        self.events.worklist.emit()

    # reading
    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell listeners of regions that are closed and opened in here once, at the end, as things are then."""
        with ExitStack() as stack:
            for signal in (self.events.reading, self.events.worklist):
                stack.enter_context(signal.paused(lambda earlier, later: later))
            stack.enter_context(self.events.labels.paused(lambda a, b: (union(a[0], b[0]),)))
            yield

    def begin(self, item: WorkItem) -> bool:
        """Take a region of the open case. False, with a message, when somebody else was faster."""
        return self.begun(ask(self.wish(item)))

    def wish(self, item: WorkItem) -> Wish:
        """Say what to `ask` for, on any thread, to open a region of the open case; `begun` shows what came of it."""
        project = self.need_project()
        if self.reader is None:
            raise InputError("say who you are first: choose a reader in My worklist")
        if self.case is None or self.work is None or item.case.key != self.case.record.key:
            raise InputError(f"{item.case.key} is not open")
        self._keep_draft()
        return read.wish_for(project, self.case, item, self.reader, self.reading)

    def begun(self, claim: Claim) -> bool:
        """Show a region that was asked for. False, with a message, when somebody else was faster."""
        wish, case, work = claim.wish, self.case, self.work
        if case is None or work is None or self.project is not wish.project or case.record.key != wish.case.key:
            drop(claim)
            return False
        if self.reader != wish.reader:
            drop(claim)
            return False
        with self.together():
            if self.look():  # painted while the answer was on its way
                self.save()
            self._flush()
            left, shown = self.reading, self.reading.after.copy() if self.reading is not None else None
            reading = read.opened(claim, case, work, utc_now(), left)
            if left is not None and shown is not None:
                self._finish(left, shown)
            self.reading = reading
            if self.reading is None:
                self.events.message.emit(why_not(wish.project, wish.item, wish.reader))
                self.events.worklist.emit()
                return False
            self.events.reading.emit()
            self.events.worklist.emit()
            if self.reading.recovered:
                self.events.labels.emit(self.reading.box)
            self._tell_of(claim, self.reading)
        return True

    def watch(self, changed: Callable[[], Box | None]) -> None:
        """Learn from whoever lets hands write to `work`: the box, file order, written since this was called last."""
        self._changed = changed

    def look(self) -> bool:
        """Take in what hands have written since the last look. True when there was something."""
        box = self._changed()
        if box is None or self.reading is None:
            return False
        self.reading.note_change(box)
        return True

    def note_change(self, box: Box) -> None:
        """Something was written in this box of `work`, file order."""
        if self.reading is None:
            return
        self.reading.note_change(box)
        self.save()

    def save(self) -> None:
        """Put the state of the region on its way to the journal; returns at once."""
        if self.reading is None or self._saver is None:
            return
        self.look()
        now = utc_now()
        self.reading.touch(now)
        self._saver.put(self.reading.draft(now))

    def reset_to_ai(self) -> tuple[tuple[Array, ...], Array]:
        """Return what to write into `work` so that the region shows the AI's mask again: an index and its values."""
        self.look()
        return self._need_reading().unlike_ai()

    def submit(self, verdict: Verdict) -> Correction:
        """Keep what the reader found and close the region. InputError when it cannot be kept; then it stays open."""
        self.look()
        reading = self._need_reading()
        shown = reading.after.copy()
        try:
            correction = read.submit(reading, verdict, utc_now())
        except DeferredSegError:
            self._see_whether_done(reading)
            raise
        if self._saver is not None:
            self._saver.discard(reading.reader.login, reading.item.region.id, correction.id)
        self.last = reading.item
        self._finish(reading, shown)
        return correction

    def _see_whether_done(self, reading: read.Reading) -> None:
        """Let this region be opened again where another window has submitted it: it is this reader's last one now."""
        items: list[WorkItem] = []
        with suppress(DeferredSegError):  # why it was refused is what has to be said
            items = reading.project.store.items(case_key=reading.item.case.key)
        now = next((x for x in items if x.region.id == reading.item.region.id), None)
        if now and now.assignment.state is State.SUBMITTED and now.assignment.holder == reading.reader.login:
            self.last = now
            self.events.worklist.emit()

    def skip(self) -> None:
        """Put the region off."""
        reading = self._need_reading()
        self.save()
        self._flush()
        shown = reading.after.copy()
        read.skip(reading)
        self._finish(reading, shown)

    def decline(self, reason: str) -> bool:
        """Refuse the region. True when a draft of what was painted stays on this computer.

        Raises
        ------
        InputError
            No reason is given; the region is submitted, or not this reader's any more.
        """
        reading = self._need_reading()
        if not reason.strip():
            raise InputError("say in a few words why you decline this region")
        self.save()
        self._flush()
        shown = reading.after.copy()
        kept = reading.project.journal.of_region(reading.reader.login, reading.item.region.id)
        stays = reading.changed_voxels > 0 and any(draft.id == reading.correction_id for draft in kept)
        read.decline(reading, reason)
        self._finish(reading, shown)
        return stays

    def amend_last(self) -> None:
        """Open the region submitted last again. InputError when there is none, or its case is not open."""
        self.begin(self.last_item())

    def last_item(self) -> WorkItem:
        """Return the region submitted last, as it stands now. InputError when there is none."""
        if self.last is None or self.project is None:
            raise InputError("you have not submitted anything since you said who you are")
        items = self.project.store.items(case_key=self.last.case.key)
        return next(x for x in items if x.region.id == self.last.region.id)

    def leave(self) -> None:
        """Put the open region aside; its draft stays in the journal."""
        if self.reading is None:
            return
        self._keep_draft()
        reading, shown = self.reading, self.reading.after.copy()
        read.put_aside(reading)
        self._finish(reading, shown)

    def painted(self) -> bool:
        """Whether the open region differs from what was found."""
        self.look()
        return self.reading is not None and self.reading.changed_voxels > 0

    def _need_reading(self) -> read.Reading:
        if self.reading is None:
            raise InputError("open a region of your worklist first")
        return self.reading

    def _keep_draft(self) -> None:
        """Put what there is of the open region on the disk."""
        if self.reading is None:
            return
        if self.reading.note or self.painted():
            self.save()
        self._flush()

    def _flush(self) -> None:
        """Wait until what was put is on disk: a draft written later would come back from the dead."""
        if self._saver is not None:
            self._saver.flush(timeout=10.0)

    def _forget_waiting(self) -> None:
        self._waiting = None

    def _on_saved(self, draft: Draft) -> None:
        """Extend the claim of what is worked on, on the saving thread."""
        self.events.saved.emit()
        reading = self.reading
        if reading is None or reading.correction_id != draft.id:
            return
        try:
            if not read.keep_claim(reading, utc_now()) and self.reading is reading:
                why = why_not(reading.project, reading.item, reading.reader)
                self.events.claim_lost.emit(f"{why} What you painted is kept.")
        except DeferredSegError as error:
            self.events.claim_lost.emit(str(error))

    def _tell_of(self, claim: Claim, reading: read.Reading) -> None:
        lines = ["Your earlier work on this region is back."] if reading.recovered else []
        if claim.elsewhere:
            number = reading.item.region.number
            lines.append(f"Region {number} is open in another window of yours, too: submit it in one of them.")
        if lines:
            self.events.message.emit(" ".join(lines))

    def _finish(self, reading: read.Reading, shown: Array) -> None:
        self.reading = None
        if not np.array_equal(shown, reading.after):
            self.events.labels.emit(reading.box)
        self.events.reading.emit()
        self.events.worklist.emit()


def next_after(items: list[WorkItem], region_id: str | None, step: int) -> WorkItem | None:
    """Item `step` places after a region in a worklist, round the end; the first where the region is not in it."""
    if not items:
        return None
    place = next((i for i, item in enumerate(items) if item.region.id == region_id), None)
    return items[0 if place is None else (place + step) % len(items)]


def case_after(items: list[WorkItem], region_id: str, within: int) -> str | None:
    """Key of the case that comes next in a worklist, where at most `within` regions are before it; None else."""
    place = next((i for i, item in enumerate(items) if item.region.id == region_id), None)
    if place is None:
        return None
    here = items[place].case.key
    coming = (items[place + 1 :] + items[:place])[: within + 1]
    return next((item.case.key for item in coming if item.case.key != here), None)
