"""The panels of the engineer and the lead: run a model, send regions to experts, export."""

from __future__ import annotations

import numpy as np

from napari_deferredseg.core.records import Origin
from napari_deferredseg.io.images import read_labels


def test_running_a_model_and_exporting(open_seat, qtbot, unread, tmp_path):
    viewer, panels = open_seat(900, 720)
    run, export = panels["run"], panels["export"]
    layers = viewer.open(unread.volume, plugin="napari-deferredseg")
    masks = viewer.open([unread.first, unread.second], plugin="napari-deferredseg")
    mine = [(layer, layer.data, layer.affine.affine_matrix.copy()) for layer in (*layers, *masks)]
    run.run_button.click()
    assert run.notice.text() == "open a project first"
    run.project_bar.make_folder(tmp_path / "new")
    assert "reader add" in panels["worklist"].summary.text()
    run.run_button.click()
    assert "no readers yet" in run.notice.text()
    run.project_bar.make_folder(tmp_path / "new")
    assert "is not empty" in run.notice.text()
    run.project_bar.open_folder(unread.folder)
    run.form.volume.line_edit.value = ""
    run.run_button.click()
    assert "choose the volume" in run.notice.text()
    run.from_layers.click()
    assert run.form.files() == unread.files
    run.form.probabilities.value = unread.first
    run.run_button.click()
    qtbot.waitUntil(lambda: "leave one of both out" in run.notice.text(), timeout=20_000)
    assert run.run_button.isEnabled()
    assert not run.progress.isVisible()
    run.form.probabilities.line_edit.value = ""
    seen = []
    run.progress.valueChanged.connect(seen.append)
    run.run_button.click()
    assert not run.run_button.isEnabled()
    qtbot.waitUntil(lambda: run.session.case is not None, timeout=20_000)
    assert max(seen) == 100
    assert len(set(seen)) > 3
    count = len(run.session.project.store.items())
    assert run.result.text().startswith(f"{count} regions, ")
    for layer, data, affine in mine:
        assert layer.data is data
        np.testing.assert_array_equal(layer.affine.affine_matrix, affine)
    shown = []
    run.session.events.case.connect(lambda: shown.append(run.result.text()))
    run.run_button.click()
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    assert "in the project already" in shown[-1]
    assert len(run.session.project.store.items()) == count

    export.export_button.click()
    assert "choose the folder" in export.notice.text()
    export.folder.value = unread.first
    export.export_button.click()
    qtbot.waitUntil(lambda: "is a file" in export.notice.text(), timeout=20_000)
    export.folder.value = unread.root / "out"
    export.export_button.click()
    qtbot.waitUntil(lambda: bool(export.result.text()), timeout=20_000)
    assert f"{count} regions still wait" in export.result.text()
    (mask,) = (unread.root / "out").glob("*.nii.gz")
    np.testing.assert_array_equal(read_labels(mask).array, read_labels(unread.first).array)


def test_deferring_while_drawing_or_reading(desk):
    desk.sit_down()
    defer = desk.panels["defer"]
    desk.click(defer.send)
    assert "click a region in the picture first" in defer.notice.text()
    desk.open_row(1)
    assert "Regions by reader" in defer.what.text()
    desk.seat.picture.pick(next(x for x in desk.seat.items if x.region.number == 1))
    desk.click(defer.send)
    assert "Ada Moreau is reading region 1" in defer.notice.text()
    assert desk.number == 1
    defer.draw.click()
    assert desk.viewer.layers.selection.active.name == "New region"
    desk.click(defer.send)
    assert "nothing is drawn" in defer.notice.text()
    desk.viewer.layers.remove("New region")
    assert not defer.draw.isChecked()
    defer.draw.click()
    layer = desk.viewer.layers["New region"]
    for corner in ((-3, -3), (-3, 3), (3, 3), (3, -3)):
        desk.mouse.click(desk.viewer, layer, desk.voxel(*corner))
    desk.mouse.double_click(desk.viewer, layer, desk.voxel(-3, -3))
    defer.to.setCurrentIndex(defer.to.findText("group abdomen"))
    desk.click(defer.send)
    new = [x for x in desk.store.items() if x.region.origin is Origin.DRAWN]
    assert [x.assignment.group for x in new] == ["abdomen"]
    assert "New region" not in desk.viewer.layers
    assert desk.number == 1


def test_what_was_declined_is_found_and_sent_to_somebody_else(desk):
    desk.sit_down()
    defer = desk.panels["defer"]
    assert not defer.declined.isVisible()
    desk.open_row(2)
    desk.seat.answers.decline("no contrast phase")
    desk.settle()
    assert "region 2" in defer.declined.text()
    item = next(x for x in desk.seat.items if x.region.number == 2)
    desk.session.leave()
    defer.declined.linkActivated.emit(item.region.id)
    assert desk.seat.picked == item
    said = defer.what.text()
    assert "Region 2" in said
    assert "Declined by Ada" in said
    assert "no contrast phase" in said
    defer.to.setCurrentIndex(defer.to.findText("Ben Okafor"))
    desk.click(defer.send)
    desk.settle()
    assert "now waits for Ben Okafor" in defer.notice.text()
    assert "With Ben Okafor, not started yet" in defer.what.text()
    assert not defer.declined.text()
