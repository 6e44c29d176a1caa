"""Long work off the window's thread, with its progress and its outcome back on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy import QtCore
from superqt.utils import create_worker

from napari_deferredseg.core.errors import NO_MEMORY, Cancelled, DeferredSegError
from napari_deferredseg.core.log import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from superqt.utils import FunctionWorker

    from napari_deferredseg.core.progress import Progress

T = TypeVar("T")
log = logging.getLogger(__name__)


class Relay(QtCore.QObject):
    """Carries calls from any thread to the window's: Qt queues what another thread emits."""

    progressed = QtCore.Signal(float, str)
    problem = QtCore.Signal(str)
    lost = QtCore.Signal(str)
    done = QtCore.Signal(object)
    failed = QtCore.Signal(str)
    cancelled = QtCore.Signal(str)
    saved = QtCore.Signal()

    def ended_by(self, error: Exception) -> Any:
        """Signal for work that an exception has ended."""
        return self.cancelled if isinstance(error, Cancelled) else self.failed


def in_background(
    work: Callable[[Progress], T],
    *,
    done: Callable[[T], Any],
    failed: Callable[[str], Any],
    progressed: Callable[[float, str], Any],
    cancelled: Callable[[str], Any] | None = None,
) -> FunctionWorker:
    """Run `work(progress)` in a thread; exactly one of the others is called on the window's thread at its end.

    `failed` gets one line, and the log the traceback; `cancelled`, where it is given, is called instead when the work
    ends with `Cancelled`. Methods of a widget that is gone by then are not called.
    """

    # napari 0.9.2 cannot take a worker's error, so none leaves the work: it comes back as a value.
    def outcome(progress: Progress) -> tuple[T | None, Exception | None]:
        try:
            return work(progress), None
        except Exception as error:
            return None, error

    def tell(what: tuple[T | None, Exception | None]) -> None:
        value, error = what
        if error is None:
            relay.done.emit(value)
        else:
            log_failure(log, error, "work in the background")
            relay.ended_by(error).emit(one_line(error))

    relay = Relay()
    relay.progressed.connect(progressed)
    relay.done.connect(done)
    relay.failed.connect(failed)
    relay.cancelled.connect(cancelled or failed)
    worker = create_worker(outcome, relay.progressed.emit, _start_thread=False)
    worker.returned.connect(tell)
    worker.start()
    return worker


def one_line(error: BaseException) -> str:
    """What to show of an error: the line that was written for the user, or what kind of defect it is."""
    if isinstance(error, DeferredSegError):
        return str(error)
    if isinstance(error, MemoryError):
        return NO_MEMORY
    return f"unexpected: {type(error).__name__}: {error}".splitlines()[0]
