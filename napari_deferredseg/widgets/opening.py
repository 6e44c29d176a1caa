"""Cases are read in the background, one at a time, and what goes on is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal, SignalGroup

from napari_deferredseg.usecases.open_case import OpenCase, load_case
from napari_deferredseg.widgets.background import in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.usecases.project import Project


class StageEvents(SignalGroup):
    """What widgets show beside the session's own events. `busy` says what is going on, "" when nothing is."""

    message = Signal(str)
    problem = Signal(str)
    busy = Signal(str)
    picked = Signal(object)  # WorkItem or None
    lists = Signal()  # the worklist may be another one


class Opener:
    """Reads a case while the window stays alive."""

    def __init__(self, events: StageEvents) -> None:
        self._events = events
        self._loading: str | None = None

    def open(self, project: Project, key: str, show: Callable[[OpenCase], None]) -> None:
        """Read a case, then `show` it; while one is being read, another is not begun."""
        if self._loading is not None:
            self._events.message.emit(f"Still opening {self._loading} ...")
            return
        self._loading = key

        def done(case: OpenCase) -> None:
            self._rest()
            show(case)

        def failed(line: str) -> None:
            self._rest()
            self._events.problem.emit(line)

        in_background(
            lambda progress: load_case(project, key, progress),
            done=done,
            failed=failed,
            progressed=lambda share, doing: self._events.busy.emit(f"Opening {key}: {doing}" if share < 1 else ""),
        )

    def _rest(self) -> None:
        self._loading = None
        self._events.busy.emit("")
