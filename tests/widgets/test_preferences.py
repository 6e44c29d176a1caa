"""The page of settings, reached from a panel, and what panels make of what it keeps."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox

from napari_deferredseg.core.budget import Budget
from napari_deferredseg.usecases.settings import check_settings, read_settings, save_settings, settings_file
from napari_deferredseg.widgets.panels.preferences import SettingsPage
from napari_deferredseg.widgets.panels.view_bar import ViewBar
from napari_deferredseg.widgets.plugin.contributions import RunDock
from napari_deferredseg.widgets.qt.colors import reader_colors

SAVE = QDialogButtonBox.StandardButton.Save
DEFAULTS = QDialogButtonBox.StandardButton.RestoreDefaults


@pytest.fixture(autouse=True)
def _mine(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "mine"))


@pytest.fixture
def dock(open_viewer):
    """A run panel in a window, which takes it along when it closes."""
    viewer = open_viewer()

    def opened():
        panel = RunDock(viewer)
        viewer.window.add_dock_widget(panel)
        return panel

    return opened


@pytest.fixture
def panel(dock):
    return dock()


def _opened(qtbot, panel) -> SettingsPage:
    qtbot.mouseClick(panel.project_bar.settings_button, Qt.MouseButton.LeftButton)
    (page,) = panel.findChildren(SettingsPage)
    return page


def _press(qtbot, page, kind) -> None:
    qtbot.mouseClick(page.buttons.button(kind), Qt.MouseButton.LeftButton)


def test_what_is_typed_is_kept_and_used(qtbot, panel, dock):
    page = _opened(qtbot, panel)
    page.budget.clear()
    qtbot.keyClicks(page.budget, "30 minutes")
    page.windows.add("CT angio", "300", "600")
    page.outlines.choose(0, "#123456")
    _press(qtbot, page, SAVE)
    assert not page.isVisible()
    kept = read_settings(pytest.fail)
    assert (kept.budget, kept.windows["CT angio"], kept.outlines[0]) == ("30 minutes", (300, 600), "#123456")
    assert "Settings kept" in panel.notice.text()

    later = dock()
    assert later.form.budget() == Budget(amount=30, unit="minutes")
    bar = ViewBar(panel.seat)
    panel.seat.viewer.window.add_dock_widget(bar)
    assert "CT angio" in [bar.window_presets.itemText(i) for i in range(bar.window_presets.count())]


def test_what_cannot_be_used_stays_on_the_page(qtbot, panel):
    page = _opened(qtbot, panel)
    page.budget.setText("130%")
    _press(qtbot, page, SAVE)
    assert page.isVisible()
    assert "130" in page.problem.text()
    assert not settings_file().exists()
    page.budget.setText("5%")
    page.windows.add("CT lung", "1", "2")
    _press(qtbot, page, SAVE)
    assert "two windows" in page.problem.text()
    _press(qtbot, page, DEFAULTS)
    _press(qtbot, page, SAVE)
    assert not page.isVisible()


def test_numbers_that_nobody_touched_stay_as_they_are_and_folders_must_be_there(qtbot, panel, tmp_path):
    exact = {"fine": (0.123456789, 1234567.0 / 2), "whole": (-600.0, 1500.0)}
    save_settings(check_settings({"windows": exact}))
    page = _opened(qtbot, panel)
    page.projects.line.setText(str(tmp_path / "gone"))
    _press(qtbot, page, SAVE)
    assert page.isVisible()
    assert "there is no folder" in page.problem.text()
    (tmp_path / "gone").mkdir()
    _press(qtbot, page, SAVE)
    assert not page.isVisible()
    assert read_settings(pytest.fail).windows == exact


def test_a_window_that_the_settings_have_no_more_is_a_line_in_the_panel(dock, make_volume):
    save_settings(check_settings({"windows": {"Mine": [40, 400]}}))
    panel = dock()
    panel.seat.viewer.add_image(make_volume().array)
    bar = ViewBar(panel.seat)
    panel.seat.viewer.window.add_dock_widget(bar)
    save_settings(check_settings({}))
    bar.window_presets.setCurrentText("Mine")
    bar.window_presets.textActivated.emit("Mine")
    assert "no window is called 'Mine'" in panel.notice.text()
    assert bar.window_presets.currentText() == "Window ..."
    panel.form.volume.line_edit.value = ""
    panel.from_layers.click()
    assert panel.notice.text() == "these layers come from no file: save them first"


def test_a_damaged_file_is_told_in_the_panel_and_on_the_page(qtbot, dock):
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("{", encoding="utf-8")
    panel = dock()
    assert "are not used" in panel.notice.text()
    assert panel.form.budget() == Budget(amount=0.1)
    page = _opened(qtbot, panel)
    assert "are not used" in page.problem.text()
    page.reject()


def test_readers_have_the_colours_of_the_settings(scene):
    with scene.open() as project:
        readers = project.store.readers()
    save_settings(check_settings({"outlines": ["#000001", "#000002"]}))
    assert [reader_colors(readers, read_settings().outlines)[name] for name in ("ada", "ben", "lea")] == [
        "#000001",
        "#000002",
        "#000001",
    ]
