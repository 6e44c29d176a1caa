"""Work off the window's thread ends with one call on it, and an error of any kind is one line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from qtpy.QtGui import QDesktopServices

from napari_deferredseg.core.errors import NO_MEMORY, Cancelled, InputError
from napari_deferredseg.routing.budget import lowest_threshold
from napari_deferredseg.usecases.log import open_log
from napari_deferredseg.widgets.panels.view_bar import ViewBar
from napari_deferredseg.widgets.plugin.seats import seat_of
from napari_deferredseg.widgets.qt.background import in_background

SECRET = "Plantedname"


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
        (MemoryError(), NO_MEMORY),
    ],
)
def test_an_error_is_one_line_and_nothing_else(outcome, error, line):
    def work(progress):
        raise error

    assert outcome(work) == [("failed", line, True)]


def test_a_planted_defect_is_one_line_for_the_reader_and_a_traceback_in_the_log(
    outcome, tmp_path, monkeypatch, whole_records
):
    monkeypatch.setenv("DEFERREDSEG_LOG", str(tmp_path / "log"))
    file = open_log()

    assert outcome(lambda progress: lowest_threshold(SECRET, SECRET))[0][0] == "failed"  # type: ignore[arg-type]
    told = file.read_text("utf-8")
    assert "work in the background failed" in told
    assert "napari_deferredseg/widgets/qt/background.py" in told
    assert "napari_deferredseg/routing/budget.py" in told
    assert "AttributeError" in told
    assert SECRET not in told


def test_what_was_cancelled_is_no_failure(open_viewer, qtbot):
    open_viewer()
    calls: list[str] = []

    def work(progress):
        raise Cancelled("the run was cancelled")

    in_background(
        work,
        done=lambda value: calls.append("done"),
        failed=lambda line: calls.append("failed"),
        cancelled=calls.append,
        progressed=lambda share, doing: None,
    )
    qtbot.waitUntil(lambda: bool(calls), timeout=10_000)
    qtbot.wait(100)
    assert calls == ["the run was cancelled"]


def test_help_shows_the_log(open_viewer, monkeypatch, tmp_path):
    monkeypatch.setenv("DEFERREDSEG_LOG", str(tmp_path / "log"))
    shown: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()))
    viewer = open_viewer()
    bar = ViewBar(seat_of(viewer))
    viewer.window.add_dock_widget(bar)
    (action,) = (x for x in bar.help.menu().actions() if x.text() == "Show log")
    action.trigger()
    (file,) = map(Path, shown)
    assert file.parent == tmp_path / "log"
    assert "the log was shown" in file.read_text("utf-8")


def test_where_nothing_opens_the_log_a_line_names_its_folder(open_viewer, monkeypatch, tmp_path):
    viewer = open_viewer()
    seat = seat_of(viewer)
    told: list[str] = []
    seat.events.message.connect(told.append)
    bar = ViewBar(seat)
    viewer.window.add_dock_widget(bar)
    (action,) = (x for x in bar.help.menu().actions() if x.text() == "Show log")
    (tmp_path / "log").mkdir()
    for folder, is_opened in ((tmp_path / "log", False), (tmp_path / "none", True)):
        monkeypatch.setenv("DEFERREDSEG_LOG", str(folder))
        monkeypatch.setattr("napari_deferredseg.widgets.panels.show_log.log_file", lambda: None)
        monkeypatch.setattr(QDesktopServices, "openUrl", lambda url, is_opened=is_opened: is_opened)
        action.trigger()
        assert str(folder) in told[-1]
    assert len(told) == 2


def test_nothing_is_a_result_too(outcome):
    assert outcome(lambda progress: None) == [("done", None, True)]
