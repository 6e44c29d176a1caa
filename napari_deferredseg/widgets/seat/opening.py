"""Cases are read in the background, one at a time, and what goes on is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.reading.open_case import CaseImages, OpenCase, load_case, load_images
from napari_deferredseg.usecases.reading.order import case_after
from napari_deferredseg.widgets.qt.background import in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.events import SeatEvents

SOON = 2
"""So many regions before another case begins, its images are read."""
ROOM = 4
"""So many times the memory of the present image must be free for that."""


class Opener:
    """Reads a case while the window stays alive, and the images of the next one while the last regions are read."""

    def __init__(self, session: Session, events: SeatEvents) -> None:
        self._session = session
        self._events = events
        self._loading: str | None = None
        self._preparing: str | None = None
        self._ready: CaseImages | None = None
        self._failed: str | None = None
        self._then: Callable[[], None] = _nothing
        events.lists.connect(self._on_lists)
        session.events.project.connect(self._forget)
        session.events.case.connect(self._forget)

    def open(self, project: Project, key: str, show: Callable[[OpenCase], None]) -> None:
        """Read a case, then `show` it; while one is being read, another is not begun."""
        if self._loading is not None:
            self._events.message.emit(f"Still opening {self._loading} ...")
            return
        self._loading = key
        if self._preparing == key:
            self._events.busy.emit(f"Opening {key}: reading the volume")
            self._then = lambda: self._load(project, key, show)
        else:
            self._load(project, key, show)

    def _load(self, project: Project, key: str, show: Callable[[OpenCase], None]) -> None:
        ready, self._ready = self._ready, None

        def done(case: OpenCase) -> None:
            self._rest()
            show(case)

        def failed(line: str) -> None:
            self._rest()
            self._events.problem.emit(line)

        in_background(
            lambda progress: load_case(project, key, progress, ready),
            done=done,
            failed=failed,
            progressed=lambda share, doing: self._events.busy.emit(f"Opening {key}: {doing}" if share < 1 else ""),
        )

    def _on_lists(self) -> None:
        QTimer.singleShot(0, self._prepare_next)  # by then the widgets have read the worklist

    def _prepare_next(self) -> None:
        project, reading = self._session.project, self._session.reading
        if project is None or reading is None or self._preparing is not None or self._loading is not None:
            return
        key = case_after(self._session.waiting(), reading.item.region.id, SOON)
        if key is None or key == self._failed or (self._ready is not None and self._ready.record.key == key):
            return
        if psutil.virtual_memory().available < ROOM * reading.case.volume.array.nbytes:
            return
        self._preparing, self._ready = key, None
        in_background(
            lambda progress: load_images(project, key),
            done=lambda images: self._prepared(images if self._session.project is project else None),
            failed=lambda line: self._not_prepared(key),
            progressed=lambda share, doing: None,
        )

    def _prepared(self, images: CaseImages | None) -> None:
        self._preparing, self._ready = None, images
        then, self._then = self._then, _nothing
        then()

    def _not_prepared(self, key: str) -> None:
        self._failed = key  # whoever opens the case is told why
        self._prepared(None)

    def _forget(self) -> None:
        self._ready = self._failed = None

    def _rest(self) -> None:
        self._loading = None
        self._events.busy.emit("")


def _nothing() -> None:
    return
