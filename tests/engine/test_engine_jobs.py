"""What a job gets, gives and tells."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from pathlib import Path

import engine_jobs
import hypothesis.extra.numpy as arrays
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import MEMBERS, DeferredSegError, InputError, WorkerDied
from napari_deferredseg.core.log import PACKAGE, log_failure, start_log
from napari_deferredseg.engine import Engine
from napari_deferredseg.engine.channel import SMALL, pack
from napari_deferredseg.engine.jobs import find_job


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal; numpy turns the byte order of what is not contiguous into this machine's."""
    types = a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
    return types and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    """Arrays of any number type, empty ones and views too."""
    dtype = draw(st.one_of(arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.floating_dtypes()))
    array = draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    array = np.asfortranarray(array) if draw(st.booleans()) else array.T
    if array.ndim and draw(st.booleans()):
        array = array[:: draw(st.sampled_from((2, -1)))]
    return array


@settings(deadline=None, max_examples=60)
@given(st.lists(any_array(), max_size=3))
def test_arrays_come_back_as_they_went(kept: Engine, sent: list[np.ndarray]) -> None:
    back = kept.run(engine_jobs.echo, *sent)
    assert len(back) == len(sent)
    assert all(same(a, b) for a, b in zip(sent, back, strict=True))


@settings(deadline=None, max_examples=15)
@given(
    size=st.integers(SMALL - 2, 3 * SMALL),
    order=st.sampled_from("CF"),
    step=st.sampled_from((1, 2, -1)),
    dtype=st.sampled_from((np.uint8, np.float16, np.float32, np.int64)),
)
def test_large_arrays_come_back_as_they_went(kept: Engine, size: int, order: str, step: int, dtype: type) -> None:
    sent = np.array(np.random.default_rng(size).integers(0, 100, (3, size)), dtype, order=order)[:, ::step]  # type: ignore[call-overload]
    (back,) = kept.run(engine_jobs.echo, sent)
    assert same(sent, back)
    back[...] = 0  # one's own, to be written to


def test_a_job_may_write_to_its_arguments_and_ours_stay(kept: Engine) -> None:
    sent = np.zeros((5, SMALL), np.int32)
    assert kept.run(engine_jobs.shifted, sent).min() == 1
    assert sent.max() == 0


def test_a_large_array_is_not_pickled() -> None:
    array = np.zeros((64, 256, 256), np.float32)
    body, buffer = pack({"gain": array})
    assert len(body) < 1000
    assert np.shares_memory(np.frombuffer(buffer, np.float32), array)


def test_warm_things_stay_with_the_process(kept: Engine) -> None:
    first = kept.run(engine_jobs.count)
    assert [kept.run(engine_jobs.count) for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_progress_is_told_in_the_callers_thread_up_to_the_end(kept: Engine) -> None:
    told: list[tuple[float, str, int]] = []

    def progress(share: float, doing: str) -> None:
        told.append((share, doing, threading.get_ident()))

    assert kept.run(engine_jobs.steps, 20, 0.02, progress=progress) == "all"
    shares = [share for share, _, _ in told]
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert told[-1][:2] == (1.0, "done")
    assert {ident for _, _, ident in told} == {threading.get_ident()}


def test_a_slow_caller_of_progress_does_not_hold_the_job_up(kept: Engine) -> None:
    told: list[float] = []

    def progress(share: float, doing: str) -> None:
        told.append(share)
        time.sleep(0.2)

    began = time.monotonic()
    kept.run(engine_jobs.steps, 50, 0.02, progress=progress)
    assert time.monotonic() - began < 5  # 50 calls would take 10 seconds
    assert told[-1] == 1.0


def test_fast_progress_does_not_drown_the_caller(kept: Engine) -> None:
    told: list[float] = []
    began = time.monotonic()
    kept.run(engine_jobs.steps, 50_000, progress=lambda share, doing: told.append(share))
    assert 0 < len(told) < 60 * (time.monotonic() - began) + 5
    assert told[-1] == 1.0


def test_an_error_for_the_user_stays_one_line(kept: Engine) -> None:
    with pytest.raises(InputError) as caught:
        kept.run(engine_jobs.fails, "input")
    assert type(caught.value) is InputError
    assert str(caught.value) == "scan.nii.gz has two images: give one"


def test_a_defect_keeps_its_type_and_says_where_it_was(kept: Engine) -> None:
    with pytest.raises(KeyError) as caught:
        kept.run(engine_jobs.fails, "defect")
    note, kept_in_log = caught.value.__notes__
    assert "engine_jobs.py" in note
    assert 'return {}["nothing"]' in note
    assert "KeyError" in kept_in_log
    assert "nothing" not in kept_in_log


@pytest.mark.parametrize(("kind", "says"), [("odd", "OddError: lost at sea"), ("exit", "SystemExit: 3")])
def test_what_cannot_be_sent_as_an_error_is_told(kept: Engine, kind: str, says: str) -> None:
    before = kept.run(engine_jobs.pid)
    with pytest.raises(RuntimeError, match=says):
        kept.run(engine_jobs.fails, kind)
    assert kept.run(engine_jobs.pid) == before


def test_an_unsendable_result_is_an_error_and_the_worker_stays(kept: Engine) -> None:
    before = kept.run(engine_jobs.pid)
    with pytest.raises(Exception, match="pickle"):
        kept.run(engine_jobs.fails, "unsendable")
    with pytest.raises(Exception, match="pickle"):
        kept.run(engine_jobs.echo, lambda: None)
    assert kept.run(engine_jobs.pid) == before


def nested() -> object:
    def inner(warm: object, progress: object) -> None: ...

    return inner


@pytest.mark.parametrize(
    "job",
    [
        os.system,
        time.sleep,
        engine_jobs.OddError,
        nested(),
        lambda warm, progress: None,
        functools.wraps(engine_jobs.pid)(lambda warm, progress: None),
    ],
)
def test_what_is_no_job_of_ours_is_refused(kept: Engine, job: object) -> None:
    with pytest.raises(ValueError, match="job"):
        kept.run(job, "true")  # type: ignore[arg-type, call-overload]


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "engine_jobs:system",
        "engine_jobs:os.getpid",
        "engine_jobs:OddError",
        "engine_jobs:nothing",
        "engine_jobs",
        "engine_jobs_evil:run",
    ],
)
def test_a_worker_runs_no_name_that_is_no_job(name: str) -> None:
    assert find_job("engine_jobs:pid", ("engine_jobs",)) is engine_jobs.pid
    with pytest.raises(ValueError, match="job"):
        find_job(name, ("engine_jobs",))


def test_only_our_own_package_by_default() -> None:
    with Engine() as engine, pytest.raises(ValueError, match="not in napari_deferredseg"):
        engine.run(engine_jobs.pid)


def test_a_worker_lets_the_window_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 2)
    with Engine(packages=("engine_jobs",)) as engine:
        found = engine.run(engine_jobs.surroundings)
    assert found["threads"] == 1
    assert found["nice"] != psutil.Process().nice()
    assert found["stdin"] == ""


@pytest.mark.parametrize("member", MEMBERS)
def test_what_is_written_for_the_user_keeps_its_class_and_line(kept: Engine, member: type[DeferredSegError]) -> None:
    with pytest.raises(member) as caught:
        kept.run(engine_jobs.refuses, member.__name__, "a.nii: try again")
    assert (type(caught.value), str(caught.value)) == (member, "a.nii: try again")


def test_the_log_has_the_workers_traceback_and_nobodys_data(kept: Engine, tmp_path: Path, whole_records: None) -> None:
    logger = logging.getLogger(PACKAGE)
    before, logger.handlers = logger.handlers, []
    file = start_log(tmp_path)
    assert file is not None
    try:
        with pytest.raises(ValueError, match="Plantedname") as caught:
            kept.run(engine_jobs.meets_a_defect, "/data/Plantedname.nii")
        log_failure(logger, caught.value, "a run")
        with pytest.raises(WorkerDied) as died:
            kept.run(engine_jobs.fails, "gone")
        log_failure(logger, died.value, "a run")
    finally:
        (handler,), logger.handlers = logger.handlers, before
        handler.close()
    told = file.read_text("utf-8")
    after = told.partition("in the worker process:")[2]
    assert "napari_deferredseg/core/names.py:" in after
    assert "ValueError" in after
    assert "WorkerDied" in after
    assert "exit status 7" in told
    assert "Plantedname" not in told
