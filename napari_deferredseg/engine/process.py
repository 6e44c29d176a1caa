"""The worker process as its parent sees it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, cast

import psutil

from napari_deferredseg.core.errors import WorkerDied
from napari_deferredseg.engine.channel import Channel, Kind, unpack
from napari_deferredseg.engine.failures import ended_unexpectedly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import RawIOBase

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.engine.channel import Buffers

    Message = tuple[Kind, Buffers]
    Inbox = SimpleQueue[Message | None]

log = logging.getLogger(__name__)

# A fresh interpreter that never looks at our __main__: a script without a main guard, napari's own and a notebook
# would all be run again by multiprocessing. -P keeps modules of the current folder out.
START = """\
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
given = json.loads(sys.argv.pop())
sys.path[:] = given["path"]
from napari_deferredseg.engine.worker import serve
serve(given["packages"])
"""
LOOK_EVERY = 0.1
"""Seconds between two looks whether the worker lives; its pipe tells sooner unless a child of it holds that open."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


class WorkerProcess:
    """A running worker. It ends with `end`, with this object, with this process, or by itself.

    Parameters
    ----------
    packages : sequence of str
        Packages whose functions it may run.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        given = {"path": [str(path) for path in sys.path], "packages": list(packages)}
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-c", START, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _has_standard_error() else subprocess.DEVNULL,
            bufsize=0,
            env=_environment(),
        )
        self._channel = Channel(cast("RawIOBase", self._popen.stdout), cast("RawIOBase", self._popen.stdin))
        self._inbox: Inbox = SimpleQueue()
        self._busy = False
        Thread(target=_collect, args=(self._channel, self._inbox), daemon=True).start()
        self.end = weakref.finalize(self, _end, self._popen)
        log.info("the worker process %d was started", self._popen.pid)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def begin(self, job: Buffers) -> None:
        """Hand over a job. WorkerDied when the worker is gone."""
        self._busy = True
        try:
            self._channel.send(Kind.JOB, job)
        except (OSError, ValueError) as error:
            raise self._gone() from error
        except BaseException:
            self.end()  # half a message cannot be taken back
            raise

    def outcome(self, progress: Progress) -> Message:
        """Wait for the end of the job. WorkerDied when the worker died.

        `progress` is called meanwhile, in this thread; what it was too slow for is left out.
        """
        newest: Buffers | None = None
        while True:
            kind, parts = self._next()
            if kind is Kind.PROGRESS:
                newest = parts
                if not self._inbox.empty():
                    continue
            if newest is not None:
                progress(*unpack(newest))
                newest = None
            if kind is not Kind.PROGRESS:
                return kind, parts

    def stop(self, grace: float) -> None:
        """Ask the job to stop, if it still runs; the process ends when it has not within `grace` seconds."""
        until = time.monotonic() + grace
        try:
            if self._busy:
                self._channel.send(Kind.STOP)
            while self._busy:
                self._next(until)
        except (OSError, ValueError, WorkerDied):
            pass
        finally:
            if self._busy:
                self.end()

    def _next(self, until: float | None = None) -> Message:
        """Next message. WorkerDied when the worker is gone, TimeoutError when it is past `until`, monotonic seconds."""
        while True:
            alive = self.alive
            try:
                message = self._inbox.get(timeout=LOOK_EVERY)
            except Empty:
                if not alive:
                    raise self._gone() from None
                if until is not None and time.monotonic() > until:
                    raise TimeoutError from None
                continue
            if message is None:
                raise self._gone()
            self._busy = message[0] is Kind.PROGRESS
            return message

    def _gone(self) -> Exception:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(1)
        self.end()
        log.info("the worker process %d is gone, exit status %d", self._popen.pid, self._popen.returncode)
        return ended_unexpectedly(self._popen.returncode)


def worker_threads() -> int:
    """Threads for the worker: one core less than there are, for the window, and at least one."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, cores - 1)


def _environment() -> dict[str, str]:
    return dict.fromkeys(THREADS, str(worker_threads())) | os.environ


def _has_standard_error() -> bool:
    """Whether there is one to share: a program without a console has none."""
    try:
        os.fstat(2)
    except OSError:
        return False
    return True


def _collect(channel: Channel, inbox: Inbox) -> None:
    """Bring in the worker's messages, then None. Holds neither the process nor its owner, which may go any time."""
    with suppress(EOFError, OSError, MemoryError):
        while True:
            inbox.put(channel.receive())
    channel.close_incoming()
    inbox.put(None)


def _end(popen: subprocess.Popen[bytes]) -> None:
    """Kill the worker and what it started. Its children get a request: among them is Python's resource tracker."""
    children = []
    with suppress(psutil.Error):
        children = psutil.Process(popen.pid).children(recursive=True) if popen.poll() is None else []
    popen.kill()
    for child in children:
        with suppress(psutil.Error):
            child.terminate()
    popen.wait()
    if popen.stdin is not None:
        with suppress(OSError):
            popen.stdin.close()
