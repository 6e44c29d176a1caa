"""Runs inference and training in a worker process."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple

from napari_deferredseg.core.errors import Cancelled
from napari_deferredseg.core.progress import silent
from napari_deferredseg.engine.channel import Kind, pack, unpack
from napari_deferredseg.engine.jobs import job_name
from napari_deferredseg.engine.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_deferredseg.core.progress import Progress, Warm
    from napari_deferredseg.engine.channel import Buffers

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 1.5
"""Seconds a job has to stop by itself before its process is killed."""
TURN_EVERY = 0.2
"""Seconds between two reports of a caller that waits for its turn."""


class Engine:
    """One worker process, started by the first job and kept for the next ones with all that they loaded.

    A job is a function at the top of a module, called in the worker as `job(warm, progress, *args)`. `warm` is a
    mapping that stays from job to job; calling `progress(share, doing)` tells the caller and is where a job can be
    stopped. Jobs run one at a time: a second thread waits its turn, telling so by its own progress. What a job prints
    goes to standard error.

    Parameters
    ----------
    packages : tuple of str
        Packages whose functions may be jobs.
    grace : float
        Seconds a cancelled job has to stop by itself before the process is killed.
    """

    def __init__(self, packages: tuple[str, ...] = ("napari_deferredseg",), *, grace: float = GRACE) -> None:
        self._packages = packages
        self._grace = grace
        self._worker: WorkerProcess | None = None
        self._closed = False
        self._turn = Lock()
        self._holder: int | None = None
        self._changing = Lock()

    def run(self, job: Callable[[Warm, Progress, *Ts], T], *args: *Ts, progress: Progress = silent) -> T:
        """Run a job in the worker and return what it returns.

        Parameters
        ----------
        job : function
            Its module should load what only the worker needs where the job runs.
        *args
            What can be pickled. Large contiguous arrays travel as they are.
        progress : callable
            Called in this thread, some 50 times a second at most, always with a share of 1. When it raises, the job
            is told to stop, the process is killed where that does not help, and the exception goes on to the caller;
            so does Ctrl+C.

        Raises
        ------
        DeferredSegError
            As the job raised it.
        WorkerDied
            Memory ran out, or the process died.
        Cancelled
            The engine was closed.
        ValueError
            The job is none that the worker may run.
        Exception
            Whatever else the job raised, with the worker's traceback as a note.
        """
        name = job_name(job, self._packages)
        request = pack((name, args))
        with self._my_turn(progress):
            kind, reply = self._call(request, progress)
        if kind is Kind.FAILED:
            raise unpack(reply)[0]
        result: T = unpack(reply)
        return result

    def close(self) -> None:
        """End the worker, in the middle of a job too. Nothing runs afterwards."""
        with self._changing:
            self._closed = True
            if self._worker is not None:
                self._worker.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _call(self, request: Buffers, progress: Progress) -> tuple[Kind, Buffers]:
        worker = self._ready()
        try:
            worker.begin(request)
            kind, reply = worker.outcome(progress)
        except BaseException:
            worker.stop(self._grace)
            if self._closed:
                raise _closed() from None
            raise
        if kind is Kind.FAILED and unpack(reply)[1]:
            worker.end()  # nothing gives memory back as surely
        return kind, reply

    def _ready(self) -> WorkerProcess:
        with self._changing:
            if self._closed:
                raise _closed()
            if self._worker is None or not self._worker.alive:
                self._worker = WorkerProcess(self._packages)
            return self._worker

    @contextmanager
    def _my_turn(self, progress: Progress) -> Iterator[None]:
        if self._holder == get_ident():
            raise RuntimeError("a job's progress cannot start another job of the same engine")
        while not self._turn.acquire(timeout=TURN_EVERY):
            progress(0.0, "waiting for the job before")
        self._holder = get_ident()
        try:
            yield
        finally:
            self._holder = None
            self._turn.release()


def _closed() -> Cancelled:
    return Cancelled("the job was stopped: its engine is closed")
