"""What becomes of an unfinished edit when layers, panels, windows, readers, projects and other people come and go."""

from __future__ import annotations

import gc
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from qtpy.QtWidgets import QApplication

from napari_deferredseg.usecases.reading.open_case import load_case, load_images
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.run import run_external
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.plugin.contributions import ExportDock, WorklistDock
from napari_deferredseg.widgets.seat import opening


def listed(desk):
    desk.settle()
    table = desk.worklist.table
    return [(int(table.item(row, 1).text()), table.item(row, 4).text()) for row in range(table.rowCount())]


def close_by_x(desk, panel):
    dock = panel.parent()
    dock.title.close_button.click()
    desk.qtbot.wait(20)


def ours_alive():
    """Our widgets that are still there, deleted or not yet."""
    QApplication.sendPostedEvents(None, 52)  # deferred deletions
    gc.collect()
    return [w for w in QApplication.allWidgets() if type(w).__module__.startswith("napari_deferredseg")]


def autosaving():
    return [t for t in threading.enumerate() if t.name == "deferredseg-autosave"]


def a_layer_deleted_by_hand_closes_the_case_and_keeps_the_paint(desk):
    desk.viewer.add_image(np.zeros((3, 4, 5)), name="mine")
    desk.open_row(1)
    desk.paint(7)
    painted = desk.session.work.copy()
    desk.viewer.layers.remove(desk.seat.layers.ai)
    desk.wait(lambda: len(desk.viewer.layers) == 1)
    assert desk.viewer.layers[0].name == "mine"
    assert desk.session.case is None
    assert "What you painted is kept" in desk.notice
    desk.viewer.layers.remove("mine")
    desk.open_row(1)
    desk.wait(lambda: desk.session.reading is not None)
    assert "Your earlier work on this region is back" in desk.notice
    np.testing.assert_array_equal(desk.session.work, painted)


def test_closing_layers_and_panels(desk):
    viewer = desk.viewer
    fresh = (list(viewer.mouse_drag_callbacks), viewer.scene.camera.mouse_zoom, set(viewer.canvas.overlays))
    desk.sit_down()
    a_layer_deleted_by_hand_closes_the_case_and_keeps_the_paint(desk)
    for name in ("run", "defer", "export"):
        close_by_x(desk, desk.panels.pop(name))
    assert [w for w in ours_alive() if isinstance(w, Panel)] == [desk.worklist]
    assert desk.number == 1
    desk.paint(8, down=2)
    desk.click(desk.worklist.region.buttons.next)
    assert desk.number == 2
    again = ExportDock(viewer)
    assert again.seat is desk.seat
    viewer.window.add_dock_widget(again, name="export")
    desk.open_row(1)
    desk.paint(9, down=-2)
    close_by_x(desk, desk.worklist)
    assert desk.session.project is not None
    assert desk.session.reading is not None
    close_by_x(desk, again)
    assert desk.session.project is None
    assert autosaving() == []
    assert len(viewer.layers) == 0
    assert viewer.keymap == {}
    assert set(viewer.canvas.overlays) < fresh[2]
    assert not any("deferredseg" in name for name in viewer.canvas.overlays)
    assert len(viewer.mouse_drag_callbacks) < len(fresh[0])
    assert viewer.scene.camera.mouse_zoom
    assert "dims_scroll" in {f.__name__ for f in viewer.mouse_wheel_callbacks}
    (draft,) = desk.drafts()
    assert {7, 8, 9} <= set(np.unique(draft.after))
    del desk.worklist, again
    assert ours_alive() == []

    desk.worklist = WorklistDock(viewer)
    viewer.window.add_dock_widget(desk.worklist, name="again")
    desk.seat, desk.session = desk.worklist.seat, desk.worklist.session
    desk.sit_down()
    desk.open_row(1)
    assert {7, 8, 9} <= set(np.unique(desk.session.work))


def test_a_window_closed_in_the_middle_leaves_the_draft_and_nothing_else(desk):
    desk.sit_down()
    desk.open_row(1)
    desk.paint(7)
    desk.panels["export"].folder.value = desk.scene.root / "out"
    desk.click(desk.panels["export"].export_button)
    desk.seat.navigation.open_case(desk.session.case.record.key)
    desk.viewer.close()
    desk.qtbot.wait(300)
    assert desk.session.project is None
    assert autosaving() == []
    (draft,) = desk.drafts()
    assert 7 in draft.after
    desk.worklist = desk.seat = None
    desk.panels.clear()
    assert ours_alive() == []


def test_another_project_and_another_reader_and_back(desk, tmp_path):
    other = type(desk.scene)(Path(shutil.copytree(desk.scene.root, tmp_path / "other")))
    desk.sit_down()
    desk.open_row(1)
    desk.paint(7)
    desk.open_project(other.folder)
    assert desk.worklist.project_bar.name.toolTip() == str(other.folder)
    assert desk.session.reading is None
    assert len(desk.viewer.layers) == 0
    assert len(desk.drafts()) == 1
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    desk.open_row(1)
    assert 7 not in desk.session.work
    desk.worklist.region.buttons.accept.click()
    desk.sit_down()
    assert desk.store.corrections() == []
    desk.open_row(1)
    assert 7 in desk.session.work
    another_reader_sees_nothing(desk)


def another_reader_sees_nothing(desk):
    desk.open_row(4)
    found = desk.session.case.composed.copy()
    desk.paint(7)
    painted = desk.session.work.copy()
    desk.say_who("ben")
    assert desk.session.reading is None
    np.testing.assert_array_equal(desk.session.work, found)
    np.testing.assert_array_equal(desk.seat.layers.frame.file_order(np.asarray(desk.correction.data)), found)
    assert not desk.worklist.region.buttons.amend.isEnabled()
    theirs = [x.region.number for x in desk.store.items() if x.assignment.reader == "ben"]
    assert [number for number, _ in listed(desk)] == theirs
    assert len(desk.drafts("ada")) == 2
    assert desk.drafts("ben") == []
    desk.say_who("ada")
    desk.open_row(4)
    np.testing.assert_array_equal(desk.session.work, painted)


def an_image_that_is_gone_is_one_line(desk):
    desk.scene.volume.rename(desk.scene.root / "elsewhere.nii.gz")
    desk.open_project()
    desk.say_who("ada")
    desk.wait(lambda: "is gone" in desk.notice)
    assert str(desk.scene.volume) in desk.notice
    assert "\n" not in desk.notice
    assert len(desk.viewer.layers) == 0
    (desk.scene.root / "elsewhere.nii.gz").rename(desk.scene.volume)
    desk.open_row(3)
    desk.wait(lambda: desk.session.reading is not None)
    assert desk.number == 3


def test_an_image_that_is_gone_and_a_region_that_somebody_else_took(desk):
    an_image_that_is_gone_is_one_line(desk)
    assert (4, "") in listed(desk)
    other = Session()
    other.set_project(desk.scene.open())
    other.choose_reader("ben")
    item = next(x for x in other.worklist() if x.region.number == 4)
    other.set_case(load_case(other.project, item.case.key))
    assert other.begin(item)
    desk.open_row(4)
    assert desk.session.reading is None
    assert "Region 4 is being read by somebody else" in desk.notice
    assert 4 not in [number for number, _ in listed(desk)]
    other.close()
    desk.say_who("lea")
    desk.say_who("ada")
    desk.open_row(4)
    assert desk.number == 4


def test_the_next_case_is_read_while_the_last_regions_are(desk, monkeypatch):
    later = a_later_case(desk.scene)
    read = []

    def reads(*given):
        images = load_images(*given)
        read.append(images.record.key)
        return images

    monkeypatch.setattr(opening, "load_images", reads)
    desk.sit_down()
    desk.open_row(1)
    desk.settle()
    assert read == []
    desk.seat.navigation.step(1)
    desk.wait(lambda: read == [later])
    (desk.scene.root / "later.nii.gz").unlink()
    for _ in range(3):
        desk.seat.navigation.step(1)
    desk.wait(lambda: desk.session.reading is not None and desk.session.case.record.key == later)
    assert np.asarray(desk.viewer.layers[0].data).max() == 999
    assert read == [later]


def a_later_case(scene) -> str:
    """Another image with the same masks, all of it Ada's."""
    image = sitk.ReadImage(str(scene.volume))
    image[5, 6, 7] = 999
    sitk.WriteImage(image, str(scene.root / "later.nii.gz"))
    with scene.open() as project:
        report = run_external(project, replace(scene.files, volume=scene.root / "later.nii.gz"))
        for item in project.store.items(case_key=report.case.key):
            project.store.assign(item.region.id, reader="ada", group=None, by="test")
        return report.case.key


def test_two_viewers_share_nothing(desk, make_napari_viewer_proxy):
    desk.sit_down()
    desk.open_row(1)
    proxy = make_napari_viewer_proxy(show=True)
    panel = WorklistDock(proxy)
    proxy.window.add_dock_widget(panel, name="second")
    assert panel.session is not desk.session
    assert panel.session.project is None
    panel.project_bar.open_folder(desk.scene.folder)
    assert panel.session.reading is None
    assert len(proxy.layers) == 0
    desk.paint(7)
    assert desk.session.reading.changed_voxels
    proxy.window.remove_dock_widget(panel)
    assert desk.number == 1
    assert desk.session.project is not None
