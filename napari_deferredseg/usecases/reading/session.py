"""State of one viewer: which project, who reads, which case and region. Widgets listen to it and hold no facts."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import union
from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.records import Reader, State, Verdict, WorkItem, utc_now
from napari_deferredseg.usecases.reading import defer, read, views
from napari_deferredseg.usecases.reading.claiming import Claim, Wish, ask, drop, remark, why_not
from napari_deferredseg.usecases.reading.events import SessionEvents
from napari_deferredseg.usecases.reading.keeping import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.core.records import Assignment, Correction
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.open_case import OpenCase


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
        self._saver: Keeper | None = None
        self._waiting: list[WorkItem] | None = None
        self._about: dict[str, str] = {}
        self._changed: Callable[[], Box | None] = lambda: None
        self.events.worklist.connect(self._forget_waiting)

    # project and reader
    def set_project(self, project: Project) -> None:
        """Work in this open project, in place of the present one; the session closes it."""
        self.close()
        self.project = project
        self._saver = Keeper(project, self.events, lambda reading: self.reading is reading)
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
        self._about = {}
        self.events.project.emit()

    def need_project(self) -> Project:
        """Return the open project. InputError when none is open."""
        if self.project is None:
            raise InputError("open a project first")
        return self.project

    def choose_reader(self, login: str | None) -> None:
        """Say who is reading. InputError when the project has no such reader."""
        reader = None if login is None else self.need_project().store.reader(login)
        if reader is not None and not reader.active:
            raise InputError(f"{reader.name} was deactivated in this project: an admin can activate them again")
        if reader == self.reader:
            return
        self.leave()
        self.reader = reader
        self.last = None
        self.events.reader.emit()
        self.events.worklist.emit()

    def actor(self) -> str | None:
        """Login of who acts here: who was chosen, None where nobody was."""
        return None if self.reader is None else self.reader.login

    def readers_changed(self) -> str:
        """Take in that readers of the project changed, whoever reads here among them; returns what they lost, or ""."""
        lost = ""
        if self.reader is not None:
            now = self.need_project().store.reader(self.reader.login)
            if now.active:
                self.reader = now
            else:
                lost = self._stop_reading()
        self.events.readers.emit()
        self.events.worklist.emit()
        return lost

    def _stop_reading(self) -> str:
        """Close the region of whoever was deactivated; returns what became of it, in a sentence, or ""."""
        painted = self.painted()
        with nullcontext() if self._saver is None else self._saver.quiet():
            self.choose_reader(None)
        return "What was painted here is kept as a draft." if painted else ""

    def worklist(self) -> list[WorkItem]:
        """Return what the reader may work on now; empty without a project or reader."""
        if self.project is None or self.reader is None:
            return []
        self._waiting = self.project.store.worklist(self.reader.login)
        return list(self._waiting)

    def waiting(self) -> list[WorkItem]:
        """Return the worklist as it was read last, which is what the reader sees."""
        return self.worklist() if self._waiting is None else list(self._waiting)

    # what panels list
    def readers(self) -> tuple[Reader, ...]:
        """Return the project's readers; none without a project."""
        return () if self.project is None else tuple(self.project.store.readers())

    def cases(self) -> tuple[views.CaseRow, ...]:
        """List the project's cases; none without a project."""
        return () if self.project is None else views.case_rows(self.project)

    def regions(self) -> list[WorkItem]:
        """Return every region of the open case as it stands now; none without a case."""
        if self.project is None or self.case is None:
            return []
        return list(self.project.store.items(case_key=self.case.record.key))

    def rows(self, regions: Sequence[WorkItem] = ()) -> tuple[views.WorkRow, ...]:
        """Read the worklist again, and add what this reader has submitted of some regions, in any window."""
        if self.project is None or self.reader is None:
            return ()
        login = self.reader.login
        done = [x for x in regions if x.assignment.holder == login and x.assignment.state.is_done]
        rows = views.work_rows(self.project, [*self.worklist(), *done], self._about)
        self._about = {row.item.region.id: row.about for row in rows}
        return rows

    def progress(self) -> views.Progress:
        """Count what waits, as it was read last."""
        return views.progress(self.waiting())

    def facts(self) -> views.RegionFacts | None:
        """Say what is asked about the open region; None where there is none."""
        return None if self.reading is None else views.region_facts(self.reading)

    def changes(self, regions: Sequence[WorkItem]) -> views.Changes:
        """Say what a submission would change; `regions` are all those of the open case."""
        return views.Changes() if self.reading is None else views.changes(self.reading, regions)

    # what is sent to others
    def send(self, item: WorkItem, target: defer.Target, note: str = "") -> views.Sent:
        """Give a region to somebody. InputError as `defer_region`, and when nobody said who sends it."""
        held = defer.defer_region(self.need_project(), item.region.id, target, self._need_sender(), note)
        return self._sent(item.region.number, held)

    def send_drawn(self, drawn: NDArray[np.bool_], target: defer.Target, note: str = "") -> views.Sent:
        """Make a region of what was drawn on the open case, (z, y, x) in file order, and give it to somebody.

        InputError as `defer_drawn`, when no case is open, and when nobody said who sends it.
        """
        project, by = self.need_project(), self._need_sender()
        if self.case is None:
            raise InputError("open a case first")
        region = defer.defer_drawn(project, self.case, drawn, target, by, note)
        return self._sent(region.number, project.store.standing(region.id)[0])

    def release(self, item: WorkItem) -> None:
        """Take a region back from whoever reads it. InputError as `release_region`, and when nobody said who asks."""
        defer.release_region(self.need_project(), item.case.key, item.region.number, self._need_sender())
        self.events.worklist.emit()

    def _need_sender(self) -> str:
        if self.reader is None:
            raise InputError("say who you are first: the region's reader sees who sent it")
        return self.reader.login

    def _sent(self, number: int, held: Assignment) -> views.Sent:
        self.events.worklist.emit()
        return views.sent(number, held, self.readers())

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
            if line := remark(claim, is_recovered=self.reading.recovered):
                self.events.message.emit(line)
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
        self._saver.save(self.reading)

    def write_note(self, text: str) -> None:
        """Keep a note with what the open region becomes."""
        if self.reading is not None:
            self.reading.note = text
            self.save()

    def reset_to_ai(self) -> tuple[tuple[Array, ...], Array]:
        """Return what to write into `work` so that the region shows the AI's mask again: an index and its values."""
        self.look()
        return self._need_reading().unlike_ai()

    def submit(self, verdict: Verdict) -> Correction:
        """Keep what the reader found and close the region. InputError when it cannot be kept; then it stays open."""
        self.look()
        reading = self._need_reading()
        shown = reading.after.copy()
        if self._saver is not None:
            self._saver.let_go()
        try:
            correction = read.submit(reading, verdict, utc_now())
        except DeferredSegError:
            self._see_whether_done(reading)
            raise
        if self._saver is not None:
            self._saver.discard(reading, correction.id)
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
        if self._saver is not None:
            self._saver.flush()

    def _forget_waiting(self) -> None:
        self._waiting = None

    def _finish(self, reading: read.Reading, shown: Array) -> None:
        self.reading = None
        if not np.array_equal(shown, reading.after):
            self.events.labels.emit(reading.box)
        self.events.reading.emit()
        self.events.worklist.emit()
