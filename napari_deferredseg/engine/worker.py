"""The worker process: takes jobs from its standard input until that ends, as it does when the parent is gone."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

import psutil

from napari_deferredseg.engine.channel import Channel, Kind, pack, unpack
from napari_deferredseg.engine.failures import is_out_of_memory, portable
from napari_deferredseg.engine.jobs import find_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.progress import Warm
    from napari_deferredseg.engine.channel import Buffers

PROGRESS_EVERY = 0.02
"""Seconds between two reports of progress to the caller, so that a fast loop does not drown a window."""


class Stopped(BaseException):
    """The caller wants no more of this job. Not an Exception, so that no job takes it for a failure of its own."""


class Reporter:
    """Progress of one job: tells the caller, and ends the job when the caller asked for that."""

    def __init__(self, channel: Channel, stop: Event) -> None:
        self._channel = channel
        self._stop = stop
        self._reported = -PROGRESS_EVERY

    def __call__(self, share: float, doing: str) -> None:
        """Report a share of 0 to 1 and what is being done. Stopped is raised when the caller wants no more."""
        if self._stop.is_set():
            raise Stopped
        now = time.monotonic()
        if share >= 1 or now - self._reported >= PROGRESS_EVERY:
            self._reported = now
            self._channel.send(Kind.PROGRESS, pack((float(share), str(doing))))


def serve(packages: Sequence[str]) -> None:
    """Work until the parent is gone. Only functions of `packages` are run."""
    channel = _take_over_pipes()
    _step_back()
    faulthandler.enable()
    jobs: SimpleQueue[Buffers] = SimpleQueue()
    stop = Event()
    Thread(target=_listen, args=(channel, jobs, stop), daemon=True).start()
    warm: Warm = {}
    while True:
        _answer(channel, jobs.get(), packages, warm, Reporter(channel, stop))


def _answer(channel: Channel, job: Buffers, packages: Sequence[str], warm: Warm, progress: Reporter) -> None:
    try:
        name, args = unpack(job)
        kind, reply = Kind.RESULT, pack(find_job(name, packages)(warm, progress, *args))
    except Stopped:
        kind, reply = Kind.STOPPED, ()
    except BaseException as error:
        kind, reply = Kind.FAILED, pack((portable(error), is_out_of_memory(error)))
    channel.send(kind, reply)
    if kind is not Kind.RESULT:
        gc.collect()


def _listen(channel: Channel, jobs: SimpleQueue[Buffers], stop: Event) -> None:
    """Take messages while the main thread works. Whatever ends that, such as a parent that died, ends the process."""
    try:
        while True:
            kind, parts = channel.receive()
            if kind is Kind.STOP:
                stop.set()
            else:
                stop.clear()
                jobs.put(parts)
    finally:
        os._exit(0)


def _take_over_pipes() -> Channel:
    """Keep standard input and output for messages alone: what a job prints goes to standard error."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return Channel(open(incoming, "rb", buffering=0), open(outgoing, "wb", buffering=0))


def _step_back() -> None:
    """Let the window go first."""
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            psutil.Process().nice(10)
