"""A wrong file in *Run deferral model* becomes a line in the panel: no dialog, no traceback, nothing written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from pathlib import Path

WAIT = 60_000


def tree(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith(("-wal", "-shm"))
    }


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def changed(path: Path, source: Path, change) -> Path:
    image = sitk.ReadImage(str(source))
    array = sitk.GetArrayFromImage(image)
    made = sitk.GetImageFromArray(change(array))
    if made.GetSize() == image.GetSize():
        made.CopyInformation(image)
    sitk.WriteImage(made, str(path))
    return path


@pytest.fixture
def press_run(open_seat, qtbot, capfd):
    """Open a viewer with our panels; returns the run panel and a way to fill it, press Run and read the answer."""
    _, panels = open_seat()
    panel = panels["run"]

    def press(volume=None, first=None, second=None, probabilities=None) -> str:
        form = panel.form
        fields = (form.volume, form.first, form.second, form.probabilities)
        for field, path in zip(fields, (volume, first, second, probabilities), strict=True):
            field.line_edit.value = "" if path is None else str(path)
        panel.notice.say("")
        panel.result.setText("")
        capfd.readouterr()
        told = len(notification_manager.records)
        windows = {w for w in QApplication.topLevelWidgets() if w.isVisible()}
        qtbot.mouseClick(panel.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: panel.run_button.isEnabled() and bool(panel.notice.text()), timeout=WAIT)
        assert notification_manager.records[told:] == []
        assert {w for w in QApplication.topLevelWidgets() if w.isVisible()} <= windows, "a window popped up"
        assert QApplication.activeModalWidget() is None
        assert "Traceback" not in capfd.readouterr().err
        assert not panel.progress.isVisible()
        assert panel.result.text() == ""
        return panel.notice.text()

    return panel, press


def test_wrong_files_are_a_line_in_the_panel(press_run, unread, qtbot):
    panel, press = press_run
    ct, first, second, root = unread.volume, unread.first, unread.second, unread.root
    assert press(ct, first, second) == "open a project first"
    panel.project_bar.open_folder(unread.folder)
    moved = sitk.ReadImage(str(second))
    moved.SetOrigin((0.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(root / "moved.nii.gz"))
    half = changed(root / "half.nrrd", second, lambda array: array * np.float32(0.5))
    small = changed(root / "small.nrrd", second, lambda array: array[1:])
    calls = [
        ({}, ("choose the volume",)),
        ({"volume": ct}, ("the AI's mask",)),
        ({"volume": ct, "first": first}, ("first.nii.gz", "second mask")),
        ({"volume": ct, "first": first, "second": second, "probabilities": second}, ("second.nii.gz", "leave one")),
        ({"volume": root / "gone.nii.gz", "first": first, "second": second}, ("gone.nii.gz", "no such file")),
        ({"volume": write(root / "e.nii.gz", b""), "first": first, "second": second}, ("e.nii.gz", "empty")),
        ({"volume": write(root / "w.nrrd", b"hello " * 99), "first": first, "second": second}, ("w.nrrd",)),
        ({"volume": write(root / "x.txt", b"hello"), "first": first, "second": second}, ("x.txt", "known format")),
        ({"volume": unread.folder, "first": first, "second": second}, ("project", "DICOM")),
        ({"volume": ct, "first": ct, "second": second}, ("ct.nii.gz", "no label")),
        ({"volume": ct, "first": first, "second": root / "moved.nii.gz"}, ("moved.nii.gz", "not on the grid")),
        ({"volume": ct, "first": first, "second": half}, ("half.nrrd", "no label")),
        ({"volume": ct, "first": first, "second": small}, ("small.nrrd", "not on the grid")),
        ({"volume": ct, "first": first, "probabilities": second}, ("second.nii.gz", "no probabilities")),
    ]
    before = tree(root)
    for files, parts in calls:
        line = press(**files)
        assert len(line.splitlines()) == 1
        assert all(part in line for part in parts), line
        assert "unexpected" not in line
        assert tree(root) == before
    assert panel.session.case is None


def test_a_wrong_budget_is_a_line_in_the_panel(press_run, unread):
    panel, press = press_run
    panel.project_bar.open_folder(unread.folder)
    before = tree(unread.root)
    panel.form.amount.value = 200
    assert "more than all of it" in press(unread.volume, unread.first, unread.second)
    panel.form.unit.value = "regions"
    panel.form.amount.value = 2.5
    assert "whole number" in press(unread.volume, unread.first, unread.second)
    assert tree(unread.root) == before


def test_a_run_while_somebody_reads_is_refused(press_run, scene):
    panel, press = press_run
    panel.project_bar.open_folder(scene.folder)
    item = panel.session.project.store.items()[0]
    panel.session.project.store.claim(item.region.id, item.assignment.reader)
    predictions = tree(scene.folder / "predictions")
    panel.form.amount.value = 3
    assert "reading" in press(scene.volume, scene.first, scene.second)
    assert tree(scene.folder / "predictions") == predictions


def test_no_project_and_damaged_projects_are_a_line_in_the_panel(press_run, unread):
    panel, _ = press_run
    for folder, part in ((unread.root / "none", "is no project"), (unread.volume, "is no project")):
        panel.project_bar.open_folder(folder)
        assert part in panel.notice.text()
    (unread.folder / "project.json").write_text("{", "utf-8")
    panel.project_bar.open_folder(unread.folder)
    assert "damaged" in panel.notice.text()
    panel.project_bar.make_folder(unread.folder)
    assert "not empty" in panel.notice.text()
    assert panel.session.project is None


def test_masks_that_agree_say_so(press_run, unread, qtbot):
    panel, _ = press_run
    panel.project_bar.open_folder(unread.folder)
    panel.form.volume.value, panel.form.first.value = unread.volume, unread.first
    panel.form.second.value = unread.first
    qtbot.mouseClick(panel.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.session.case is not None, timeout=WAIT)
    assert "Nothing speaks against the AI's mask" in panel.result.text()
