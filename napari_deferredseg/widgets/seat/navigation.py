"""From region to region and from case to case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deferredseg.usecases.reading.order import next_after
from napari_deferredseg.widgets.seat.opening import Opener

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.open_case import OpenCase
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.claims import Claims
    from napari_deferredseg.widgets.seat.events import SeatEvents


def missing_reader(session: Session) -> str:
    """What must be done before there is a worklist, in a few words; mostly empty."""
    if session.project is None:
        return "open a project first"
    return "" if session.reader is not None else "say who you are first, in My worklist"


class Navigation:
    """Opens regions, their case first where that is not open."""

    def __init__(self, session: Session, events: SeatEvents, claims: Claims) -> None:
        self._session, self._events, self._claims = session, events, claims
        self._opener = Opener(session, events)

    def open_item(self, item: WorkItem) -> None:
        """Open a region of the worklist, its case first where that is not open."""
        if self._session.case is not None and self._session.case.record.key == item.case.key:
            self._claims.open([item])
            return
        self.open_case(item.case.key, then=lambda: self._claims.open([item]))

    def open_case(self, key: str, then: Callable[[], Any] = lambda: None) -> None:
        """Read a case in the background and show it. InputError when no project is open."""
        project = self._session.need_project()

        def show(case: OpenCase) -> None:
            if self._session.project is project:
                self._session.set_case(case)
                then()

        self._opener.open(project, key, show)

    def step(self, steps: int) -> None:
        """Open the next (1) or previous (-1) region of the worklist."""
        if missing := missing_reader(self._session):
            self._events.problem.emit(f"{missing[:1].upper()}{missing[1:]}.")
            return
        here = self._session.reading.item.region.id if self._session.reading else None
        item = next_after(self._session.waiting(), here, steps)
        if item is None or item.region.id == here:  # what was seen last may be old
            item = next_after(self._session.worklist(), here, steps)
        if item is None:
            self._events.message.emit("Your worklist is empty: nothing is left to do.")
        elif item.region.id == here:
            self._events.message.emit("This is the only region on your worklist.")
        else:
            self.open_item(item)
