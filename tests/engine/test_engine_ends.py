"""Cancelling, dying, closing: real processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import engine_jobs
import psutil
import pytest

from napari_deferredseg.core.errors import Cancelled, WorkerDied
from napari_deferredseg.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable


class Enough(Exception):
    """How a caller cancels."""


def enough(share: float, doing: str) -> None:
    raise Enough


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether a process ends in that time; a zombie has ended."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def kill_soon(pid: int) -> Callable[[float, str], None]:
    """Progress that has the worker killed by somebody else."""

    def progress(share: float, doing: str) -> None:
        psutil.Process(pid).kill()

    return progress


def test_a_cancelled_job_tidies_up_and_the_worker_stays_warm(engine: Engine, tmp_path: Path) -> None:
    engine.run(engine_jobs.count)
    before = engine.run(engine_jobs.pid)
    began = time.monotonic()
    with pytest.raises(Enough):
        engine.run(engine_jobs.tidy, tmp_path, progress=enough)
    assert time.monotonic() - began < 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["tidied"]
    assert engine.run(engine_jobs.pid) == before
    assert engine.run(engine_jobs.count) == 2


def test_a_deaf_job_is_killed_after_the_grace_time(engine: Engine) -> None:
    before = engine.run(engine_jobs.pid)
    began = time.monotonic()
    with pytest.raises(Enough):
        engine.run(engine_jobs.deaf, progress=enough)
    assert 0.9 < time.monotonic() - began < 3
    assert gone(before)
    assert engine.run(engine_jobs.count) == 1


def test_cancelling_at_the_very_end_leaves_the_worker_usable(engine: Engine) -> None:
    def progress(share: float, doing: str) -> None:
        if share == 1:
            time.sleep(0.3)
            raise Enough

    before = engine.run(engine_jobs.pid)
    for _ in range(3):
        with pytest.raises(Enough):
            engine.run(engine_jobs.steps, 2, progress=progress)
        assert engine.run(engine_jobs.echo, 7) == (7,)
    assert engine.run(engine_jobs.pid) == before


def test_a_killed_worker_is_one_line_at_once_and_the_next_run_works(engine: Engine) -> None:
    before = engine.run(engine_jobs.pid)
    began = time.monotonic()
    with pytest.raises(WorkerDied, match="ended unexpectedly") as caught:
        engine.run(engine_jobs.deaf, progress=kill_soon(before))
    assert time.monotonic() - began < 1
    assert "\n" not in str(caught.value)
    if os.name == "posix":
        assert "signal 9, often too little memory" in str(caught.value)
    assert engine.run(engine_jobs.pid) != before


@pytest.mark.parametrize("kind", ["segfault", "gone"])
def test_a_worker_that_dies_of_itself_is_one_line(engine: Engine, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        engine.run(engine_jobs.fails, kind)
    assert engine.run(engine_jobs.echo, 1) == (1,)


def test_a_worker_killed_between_jobs_is_replaced(engine: Engine) -> None:
    before = engine.run(engine_jobs.pid)
    psutil.Process(before).kill()
    assert gone(before)
    time.sleep(0.2)  # its threads too
    assert engine.run(engine_jobs.pid) != before


@pytest.mark.parametrize("kind", ["numpy memory", "torch memory", "cuda memory"])
def test_no_memory_says_what_to_do(engine: Engine, kind: str) -> None:
    before = engine.run(engine_jobs.pid)
    with pytest.raises(WorkerDied, match="not enough memory") as caught:
        engine.run(engine_jobs.fails, kind)
    assert "smaller patch" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine.run(engine_jobs.pid) != before


def test_a_second_thread_waits_its_turn_and_may_give_up(engine: Engine) -> None:
    started, told = threading.Event(), []

    def running(share: float, doing: str) -> None:
        started.set()

    def waiting(share: float, doing: str) -> None:
        told.append(doing)
        raise Enough

    thread = threading.Thread(target=engine.run, args=(engine_jobs.steps, 40, 0.02), kwargs={"progress": running})
    thread.start()
    assert started.wait(10)
    with pytest.raises(Enough):
        engine.run(engine_jobs.pid, progress=waiting)
    assert engine.run(engine_jobs.echo, "mine") == ("mine",)
    assert not thread.is_alive() or thread.join(1) is None  # type: ignore[func-returns-value]
    assert told == ["waiting for the job before"]


def test_progress_cannot_start_a_job(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="another job"):
        engine.run(engine_jobs.steps, 3, progress=lambda share, doing: engine.run(engine_jobs.pid))


def test_two_engines_do_not_meet(engine: Engine) -> None:
    with Engine(packages=("engine_jobs",)) as other:
        assert engine.run(engine_jobs.pid) != other.run(engine_jobs.pid)
        with pytest.raises(WorkerDied, match="ended unexpectedly"):
            other.run(engine_jobs.fails, "gone")
        assert [engine.run(engine_jobs.count), other.run(engine_jobs.count)] == [1, 1]


def test_closing_ends_a_running_job_and_its_children(engine: Engine) -> None:
    children: list[int] = []
    caught: list[Exception] = []

    def work() -> None:
        try:
            engine.run(engine_jobs.parent_of, 60.0, progress=lambda share, doing: children.append(int(doing)))
        except Exception as error:
            caught.append(error)

    worker = engine.run(engine_jobs.pid)
    thread = threading.Thread(target=work)
    thread.start()
    while not children:
        time.sleep(0.01)
    engine.close()
    thread.join(5)
    assert "engine is closed" in str(caught[0])
    assert gone(worker)
    assert gone(children[0])
    with pytest.raises(Cancelled, match="closed"):
        engine.run(engine_jobs.pid)


def test_a_forgotten_engine_ends_its_worker() -> None:
    engine = Engine(packages=("engine_jobs",))
    worker = engine.run(engine_jobs.pid)
    del engine
    gc.collect()
    assert gone(worker)


PROGRAM = """
import sys
sys.path.append({here!r})
import engine_jobs
from napari_deferredseg.engine import Engine
engine = Engine(packages=("engine_jobs",))
def told(share, doing):
    print("working", flush=True)
print(engine.run(engine_jobs.pid), flush=True)
"""
SLEEP = "engine.run(engine_jobs.deaf, progress=told)\n"
HERE = str(Path(__file__).parent)


def started(program: str) -> tuple[subprocess.Popen[str], int]:
    """A program of that text, and the pid of its worker."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(here=HERE) + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_a_parent_killed_in_mid_job_takes_its_worker_along() -> None:
    parent, worker = started(SLEEP)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        assert psutil.pid_exists(worker)
        parent.kill()
    assert gone(worker)


def test_a_parent_that_ends_takes_its_worker_along() -> None:
    parent, worker = started("")
    out, err = parent.communicate(timeout=20)
    assert (parent.returncode, out, err) == (0, "", "")
    assert gone(worker)


@pytest.mark.skipif(os.name != "posix", reason="a signal to one process alone")
def test_ctrl_c_ends_the_parent_and_its_worker() -> None:
    here = signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts in the background ignores it
    parent, worker = started(SLEEP)
    signal.signal(signal.SIGINT, here)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "working\n"
    os.kill(worker, signal.SIGINT)  # a terminal sends it to both
    os.kill(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert gone(worker)


def test_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(here=HERE) + "print('once')\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[1:] == ["once"]


def test_modules_in_the_current_folder_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "psutil.py").write_text("open('taken', 'w')")
    script = tmp_path / "program" / "script.py"
    script.parent.mkdir()
    script.write_text(PROGRAM.format(here=HERE))
    subprocess.run([sys.executable, script], cwd=tmp_path, timeout=30, check=True)
    assert not (tmp_path / "taken").exists()


def test_what_a_job_prints_does_not_mix_with_our_output() -> None:
    parent, _ = started("engine.run(engine_jobs.talks)\nprint('{}')\n")
    with parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert parent.stdout.read() == "{}\n"
        err = parent.stderr.read()
    assert sorted(err.splitlines()) == ["c says hello", "python says hello", "the old one says hello"]
