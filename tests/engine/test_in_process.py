"""Jobs in this process do what they do in a worker."""

from __future__ import annotations

import os

import engine_jobs
import numpy as np
import pytest

from napari_deferredseg.core.errors import WorkerDied
from napari_deferredseg.engine import InProcess

OURS = ("engine_jobs",)


def no_memory(warm, progress) -> None:
    raise MemoryError("Unable to allocate 12 TiB")


def broken(warm, progress) -> None:
    raise RuntimeError("a defect")


def test_a_job_runs_here_and_what_it_leaves_stays():
    runner = InProcess(OURS)
    assert runner.run(engine_jobs.pid) == os.getpid()
    assert [runner.run(engine_jobs.count) for _ in range(3)] == [1, 2, 3]
    assert InProcess(OURS).run(engine_jobs.count) == 1
    array = np.zeros(3)
    assert runner.run(engine_jobs.echo, array)[0] is array, "nothing is copied"


def test_only_jobs_of_its_packages_run():
    with pytest.raises(ValueError, match="is not in napari_deferredseg"):
        InProcess().run(engine_jobs.pid)


def test_memory_that_ran_out_is_said_and_a_defect_is_not_hidden():
    runner = InProcess((__name__,))
    with pytest.raises(WorkerDied, match=r"not enough memory .*12 TiB.*smaller patch"):
        runner.run(no_memory)
    with pytest.raises(RuntimeError, match="a defect"):
        runner.run(broken)
