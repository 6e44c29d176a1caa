"""Asking for regions without holding the window up: somebody else may be writing to the database at that moment."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import DeferredSegError
from napari_deferredseg.core.log import log_failure
from napari_deferredseg.usecases.reading.claiming import Claim, ask, drop
from napari_deferredseg.widgets.qt.background import Relay, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.events import SeatEvents

log = logging.getLogger(__name__)
AT_ONCE = 0.1
"""Seconds that the window waits: a claim takes a tenth of that, and a region that changes at once does not flicker."""


class Claims:
    """Claims regions of the open case on a thread of its own, one at a time."""

    def __init__(self, session: Session, events: SeatEvents) -> None:
        self._session, self._events = session, events
        self._pool = ThreadPoolExecutor(1, "deferredseg-claim")
        self._asked: WorkItem | None = None
        self._future: Future[Claim] | None = None
        self._relay = Relay()
        self._relay.done.connect(lambda came: self._finish(*came))

    def is_asking(self) -> bool:
        """Whether a claim is under way; then it is said, and nothing else should begin."""
        if self._asked is not None:
            self._events.message.emit(f"Still asking for region {self._asked.region.number} ...")
        return self._asked is not None

    def open(
        self,
        items: Sequence[WorkItem],
        then: Callable[[], object] = lambda: None,
        otherwise: Callable[[], object] = lambda: None,
    ) -> None:
        """Open the first of these regions that nobody else has taken, `then` go on; what went wrong is said.

        `otherwise` is called when all of them are taken.
        """
        if self.is_asking():
            return
        if not items:
            otherwise()
            return
        try:
            wish = self._session.wish(items[0])
        except DeferredSegError as error:
            self._events.problem.emit(one_line(error))
            return
        future = self._pool.submit(ask, wish)
        self._asked, self._future = items[0], future
        try:
            future.exception(AT_ONCE)
        except TimeoutError:
            self._events.busy.emit(f"Asking for region {items[0].region.number} ...")
            future.add_done_callback(lambda came: self._relay.done.emit((came, items, then, otherwise)))
            return
        self._finish(future, items, then, otherwise)

    def close(self) -> None:
        """End the thread; a region that comes now is given back."""
        future, self._future, self._asked = self._future, None, None
        self._pool.shutdown(cancel_futures=True)
        if future is not None and not future.cancelled() and future.exception() is None:
            drop(future.result())

    def _finish(
        self,
        future: Future[Claim],
        items: Sequence[WorkItem],
        then: Callable[[], object],
        otherwise: Callable[[], object],
    ) -> None:
        if self._future is not future:
            return
        self._asked = self._future = None
        self._events.busy.emit("")
        try:
            is_open = self._session.begun(future.result())
        except Exception as error:
            log_failure(log, error, "asking for a region")
            self._events.problem.emit(one_line(error))
            return
        if is_open:
            then()
        else:
            self.open(items[1:], then, otherwise)
