"""Work off the window's thread ends with one call on it, and an error of any kind is one line."""

from __future__ import annotations

import threading

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.widgets.qt.background import in_background


@pytest.fixture
def outcome(open_viewer, qtbot):
    """Run work under a viewer's window and return what was called, with the thread it was called on."""
    open_viewer()

    def run(work) -> list[tuple[str, object, bool]]:
        calls: list[tuple[str, object, bool]] = []

        def note(kind: str, what: object) -> None:
            calls.append((kind, what, threading.current_thread() is threading.main_thread()))

        in_background(
            work,
            done=lambda value: note("done", value),
            failed=lambda line: note("failed", line),
            progressed=lambda share, doing: note("progressed", (share, doing)),
        )
        qtbot.waitUntil(lambda: any(kind != "progressed" for kind, *_ in calls), timeout=10_000)
        qtbot.wait(100)
        return calls

    return run


def test_progress_and_result_arrive_on_the_windows_thread(outcome):
    def work(progress):
        assert threading.current_thread() is not threading.main_thread()
        progress(0.5, "half")
        return {"a": 1}

    assert outcome(work) == [("progressed", (0.5, "half"), True), ("done", {"a": 1}, True)]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("ct.nii: is empty"), "ct.nii: is empty"),
        (ValueError("first\nsecond"), "unexpected: ValueError: first"),
        (MemoryError(), "unexpected: MemoryError: "),
    ],
)
def test_an_error_is_one_line_and_nothing_else(outcome, error, line):
    def work(progress):
        raise error

    assert outcome(work) == [("failed", line, True)]


def test_nothing_is_a_result_too(outcome):
    assert outcome(lambda progress: None) == [("done", None, True)]
