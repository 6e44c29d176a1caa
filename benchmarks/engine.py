"""What the worker process costs: `python benchmarks/engine.py --rounds 5`. Prints a table: median and worst round.

The array is 300 MB; "pickled through a pipe" is the same array by `multiprocessing.Pipe`, to compare.
"""

from __future__ import annotations

import argparse
import statistics
import time
from multiprocessing import Pipe
from threading import Thread
from typing import TYPE_CHECKING

import engine_jobs
import numpy as np
import psutil

from napari_deferredseg.core.errors import WorkerDied
from napari_deferredseg.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 300_000_000


class Cancel(Exception):
    """How this caller cancels."""


def seconds(work: Callable[[], object]) -> float:
    """Time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def after_raising(engine: Engine, job: Callable[..., object]) -> float:
    """Time from the moment that the caller cancels until it has its exception."""
    at = 0.0

    def cancel(share: float, doing: str) -> None:
        nonlocal at
        time.sleep(0.3)
        at = time.perf_counter()
        raise Cancel

    try:
        engine.run(job, progress=cancel)
    except Cancel:
        return time.perf_counter() - at
    raise AssertionError("was not cancelled")


def after_kill(engine: Engine, pid: int) -> float:
    """Time from a kill until the caller has its error."""
    at = 0.0

    def kill(share: float, doing: str) -> None:
        nonlocal at
        at = time.perf_counter()
        psutil.Process(pid).kill()

    try:
        engine.run(engine_jobs.sleep, progress=kill)
    except WorkerDied:
        return time.perf_counter() - at
    raise AssertionError("was not killed")


def pickled(array: np.ndarray) -> float:
    """Time to send an array the plain way; the other end is a thread here, which spares it a process."""
    receiving, sending = Pipe(duplex=False)
    thread = Thread(target=sending.send, args=(array,))

    def both() -> None:
        thread.start()
        receiving.recv()
        thread.join()

    return seconds(both)


def one_round() -> dict[str, float]:
    """Measure everything once, with a worker of its own."""
    array = np.ones(SIZE, np.uint8)
    found = {}
    with Engine(packages=("engine_jobs",)) as engine:
        found["first job, nothing to import"] = seconds(lambda: engine.run(engine_jobs.nothing))
        found["importing torch"] = seconds(lambda: engine.run(engine_jobs.load_torch))
        found["warm call"] = statistics.median(seconds(lambda: engine.run(engine_jobs.nothing)) for _ in range(50))
        found["300 MB there"] = seconds(lambda: engine.run(engine_jobs.keep, array))
        found["300 MB back"] = seconds(lambda: engine.run(engine_jobs.give))
        found["300 MB pickled through a pipe"] = pickled(array)
        found["cancel, job listens"] = after_raising(engine, engine_jobs.convolve)
        found["kill noticed"] = after_kill(engine, engine.run(engine_jobs.load_torch))
        found["first job after a kill"] = seconds(lambda: engine.run(engine_jobs.nothing))
        found["cancel, job is deaf"] = after_raising(engine, engine_jobs.sleep)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = [one_round() for _ in range(parser.parse_args().rounds)]
    print("| what | median, ms | worst, ms |\n|---|---|---|")
    for name in rounds[0]:
        times = [1000 * found[name] for found in rounds]
        print(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} |")


if __name__ == "__main__":
    main()
