"""What hands do by mistake never gets into a mask unseen.

Every step is by mouse and key, and the exported voxels are compared.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QDialogButtonBox, QLineEdit

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.records import State, Verdict
from napari_deferredseg.masks.overlap import with_margin
from napari_deferredseg.usecases.export import export_cases
from napari_deferredseg.widgets.panels.view_bar import ViewBar
from napari_deferredseg.widgets.qt.decline import DeclineDialog
from napari_deferredseg.widgets.viewer.orientation import Plane
from napari_deferredseg.widgets.viewer.volume_layers import in_place

Key, Mod = Qt.Key, Qt.KeyboardModifier
LIVER, SPLEEN = 1, 2
DRAWING_KEYS = {Key.Key_1: "erase", Key.Key_2: "paint", Key.Key_3: "polygon", Key.Key_4: "fill"}
CORNERS = ((-2, -2), (-2, 2), (2, 2), (2, -2))


@pytest.fixture
def reading(desk):
    """Ada has opened her first region."""
    desk.sit_down()
    desk.open_row(1)
    desk.settle()
    return desk


def exported(desk, folder) -> np.ndarray:
    """The case as it is exported now, in file order."""
    (case,) = export_cases(desk.session.need_project(), folder)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(case.files[0])))


def ai(desk) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(desk.scene.first)))


def submit(desk) -> None:
    desk.key(Key.Key_Return, Mod.ControlModifier)


def area(desk) -> np.ndarray:
    """The open region and its margin, in file order."""
    region = desk.session.reading.item.region
    allowed = np.zeros(desk.session.work.shape, bool)
    box, mask = with_margin(region, desk.session.case.record.geometry)
    allowed[slices(box)] = mask
    return allowed


def other(desk, place=None) -> int:
    """A label that a voxel does not have, the one in the middle of the region unless told."""
    return LIVER if desk.correction.data[place or desk.voxel()] == SPLEEN else SPLEEN


def across(desk) -> None:
    """As a person sets *n edit dim* in napari's controls."""
    desk.correction.n_edit_dimensions = 3


def test_the_transform_key_is_off_and_paint_lands_where_it_is_seen(reading, tmp_path):
    desk = reading
    expected = ai(desk)
    for layer in desk.seat.layers.all:
        desk.viewer.layers.selection.active = layer
        desk.seat.events.message.emit("")
        before = str(layer.mode)
        desk.key(Key.Key_7)
        layer.mode = "transform"
        assert str(layer.mode) == before
        assert ("Transform is off" in desk.notice) == (layer.editable and layer.visible)
        height, width = desk.viewer.canvas.size
        if layer is not desk.correction:
            desk.mouse.drag(desk.viewer, [(width / 2, height / 2), (width / 2 + 6, height / 2 + 4)])
        assert in_place(layer)
    desk.viewer.layers.selection.active = desk.correction
    desk.correction.brush_size = 1
    for place in (desk.voxel(), desk.voxel(1, 2)):
        desk.seat.tools.pick(other(desk, place))
        desk.key(Key.Key_7)
        desk.mouse.click(desk.viewer, desk.correction, place)
        expected[tuple(desk.seat.layers.frame.to_file(place))] = desk.correction.selected_label
    submit(desk)
    np.testing.assert_array_equal(exported(desk, tmp_path / "out"), expected)


MOVES = {
    "affine": np.array([[1, 0, 0, 6.7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    "scale": (1.0, 1.0, 1.0),
    "translate": (1.0, 2.0, 3.0),
    "rotate": 90,
    "shear": (0.2, 0.0, 0.0),
    "units": ("um", "um", "um"),
}


def test_whatever_moves_a_layer_of_ours_is_taken_back_and_said(reading):
    desk = reading
    mine = desk.viewer.add_image(np.zeros((4, 5, 6)), name="mine")
    for layer in desk.seat.layers.all:
        for name, value in MOVES.items():
            desk.seat.events.message.emit("")
            setattr(layer, name, value)
            assert in_place(layer), name
            assert {f"{unit}" for unit in layer.units} == {"millimeter"}
            assert f"{layer.name} was moved, turned or scaled" in desk.notice
    desk.seat.events.message.emit("")
    desk.key(Key.Key_T, Mod.ControlModifier | Mod.AltModifier)  # napari turns every layer by 90 degrees
    assert all(in_place(layer) for layer in desk.seat.layers.all)
    assert "was moved, turned or scaled" in desk.notice
    mine.affine = MOVES["affine"]
    np.testing.assert_array_equal(mine.affine.affine_matrix, MOVES["affine"])


def test_nothing_is_submitted_from_a_layer_that_was_displaced_without_a_sign(reading):
    desk = reading
    desk.paint(other(desk))
    for layer in desk.seat.layers.all:
        with layer.events.blocker_all():
            layer.translate = (0, 0, 0)
        submit(desk)
        assert (desk.number, desk.store.corrections()) == (1, [])
        assert f"{layer.name} was moved" in desk.notice
        assert in_place(layer)
    submit(desk)
    assert len(desk.store.corrections()) == 1


def test_another_array_cannot_take_the_place_of_the_cases_own(reading, tmp_path):
    desk = reading
    before = desk.session.work.copy()
    desk.correction.data = np.asarray(desk.correction.data).astype(np.uint16)  # as napari's menu converts a layer
    assert "keeps the case's own array" in desk.notice
    desk.correction.brush_size = 1
    desk.paint(other(desk))
    changed = desk.session.work != before
    assert changed.sum() == 1
    submit(desk)
    np.testing.assert_array_equal(exported(desk, tmp_path / "out") != before, changed)


def test_in_3d_a_drag_turns_the_picture_and_paints_nothing(reading):
    desk = reading
    (bar,) = desk.worklist.findChildren(ViewBar)
    before = desk.session.work.copy()
    camera = desk.viewer.scene.camera
    for key, mode in DRAWING_KEYS.items():
        desk.key(key)
        assert str(desk.correction.mode) == mode
        desk.click(bar.three)
        assert str(desk.correction.mode) == "pan_zoom"
        height, width = desk.viewer.canvas.size
        angles = camera.angles
        desk.mouse.drag(desk.viewer, [(width / 2 + n, height / 2 + n) for n in (0, 15, 30, 45)])
        assert camera.angles != angles
        for other in DRAWING_KEYS:
            desk.seat.events.message.emit("")
            desk.key(other)
            assert str(desk.correction.mode) == "pan_zoom"
            assert "Brushes rest in 3-D" in desk.notice
            desk.mouse.drag(desk.viewer, [(width / 2 + n, height / 2) for n in (0, 15, 30)])
        np.testing.assert_array_equal(desk.session.work, before)
        desk.key(Key.Key_Q)
        assert str(desk.correction.mode) == mode
    scale = np.abs(desk.seat.layers.frame.scale)
    for _ in Plane:  # the circle around the cursor is what will be painted
        desk.key(Key.Key_Q)
        assert desk.correction.cursor_size == 5 * min(scale[list(desk.viewer.dims.displayed)])


def test_a_region_opened_in_3d_has_its_brush_back_in_a_plane(reading):
    desk = reading
    desk.key(Key.Key_4)
    desk.key(Key.Key_Y, Mod.ControlModifier)  # napari's own way into 3-D
    desk.key(Key.Key_N)
    assert (desk.number, str(desk.correction.mode)) == (2, "pan_zoom")
    assert "Brushes rest" not in desk.notice
    bar = desk.worklist.region.paint_bar
    desk.click(bar.eraser)
    assert "Brushes rest in 3-D" in desk.notice
    assert bar.eraser.isChecked()
    desk.key(Key.Key_Q)
    assert (str(desk.correction.mode), desk.correction.selected_label) == ("paint", 0)


def test_a_hidden_layer_is_not_painted_on(reading):
    desk = reading
    before = desk.session.work.copy()
    desk.seat.tools.pick(other(desk))
    native = desk.mouse.native(desk.viewer)
    desk.qtbot.keyPress(native, Key.Key_H)
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    desk.qtbot.keyRelease(native, Key.Key_H)
    assert str(desk.correction.mode) == "paint"
    desk.correction.visible = False
    desk.key(Key.Key_2)
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    np.testing.assert_array_equal(desk.session.work, before)
    desk.correction.visible = True
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    assert (desk.session.work != before).any()


def test_a_brush_across_slices_is_a_ball_in_millimetres_that_ends_at_the_margin(reading, tmp_path):
    desk = reading
    expected, frame = ai(desk), desk.seat.layers.frame
    before, allowed = desk.session.work.copy(), area(desk)
    across(desk)
    desk.correction.selected_label = label = other(desk)
    desk.correction.brush_size = 15
    center = desk.voxel()
    desk.mouse.click(desk.viewer, desk.correction, center)
    scale = np.abs(frame.scale)
    radius = 7.5 * min(scale[list(desk.viewer.dims.displayed)])
    away = np.linalg.norm((np.indices(frame.shape).T - center) * scale, axis=-1).T
    painted = frame.file_order(away <= radius) & allowed
    assert 0 < painted.sum() < (away <= radius).sum()
    assert len(set(np.argwhere(painted)[:, 0])) > 1
    expected[painted] = label
    np.testing.assert_array_equal(desk.session.work, np.where(painted, label, before))
    assert "ball ends at the region" in desk.notice
    desk.key(Key.Key_Z, Mod.ControlModifier)
    np.testing.assert_array_equal(desk.session.work, before)
    desk.key(Key.Key_Z, Mod.ControlModifier | Mod.ShiftModifier)
    np.testing.assert_array_equal(desk.session.work, np.where(painted, label, before))
    far = desk.voxel(0, 9)
    ball = desk.session.work.copy()
    desk.mouse.stroke(desk.viewer, desk.correction, [far, desk.voxel(0, 12)])
    assert not (desk.session.work != before)[~allowed].any()
    if (desk.session.work != ball).any():
        desk.key(Key.Key_Z, Mod.ControlModifier)
    submit(desk)
    np.testing.assert_array_equal(exported(desk, tmp_path / "out"), expected)
    assert (desk.correction.n_edit_dimensions, desk.correction.brush_size) == (2, 5)
    across(desk)
    desk.correction.brush_size = 30
    desk.say_who("ben")
    desk.open_row(5)
    assert (desk.correction.n_edit_dimensions, desk.correction.brush_size) == (2, 5)


def test_fill_across_slices_ends_at_the_margin_and_a_leak_in_one_is_said(reading):
    desk = reading
    before, allowed = desk.session.work.copy(), area(desk)
    desk.correction.selected_label = other(desk)
    across(desk)
    desk.key(Key.Key_4)
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    changed = desk.session.work != before
    assert len(set(np.argwhere(changed)[:, 0])) > 1
    assert not changed[~allowed].any()
    assert "Fill across slices ends" in desk.notice
    desk.key(Key.Key_Z, Mod.ControlModifier)
    np.testing.assert_array_equal(desk.session.work, before)
    desk.correction.n_edit_dimensions = 2
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    outside = int((desk.session.work != before)[~allowed].sum())
    assert f"The fill changed {outside:,} voxels outside" in desk.notice


def test_what_it_changes_in_other_regions_is_said_before_submit(reading):
    desk = reading
    others = [x for x in desk.seat.items if x.region.number != 1]
    here = desk.session.reading.item.region
    other = min(others, key=lambda x: np.linalg.norm(np.subtract(x.region.center, here.center)))
    frame, geometry = desk.seat.layers.frame, desk.session.case.record.geometry
    desk.correction.brush_size = 3
    desk.correction.selected_label = 0
    center = tuple(int(i) for i in frame.to_view(np.round(geometry.index(other.region.center)).astype(int)))
    desk.viewer.dims.set_point(0, float(desk.correction.data_to_world(center)[0]))
    before = desk.session.work.copy()
    desk.mouse.click(desk.viewer, desk.correction, center)
    changed = (desk.session.work != before)[slices(other.region.box)] & other.region.mask
    assert changed.any()
    said = f"{changed.sum()} in region {other.region.number} ("
    desk.wait(lambda: said in desk.worklist.region.saved.text())
    desk.key(Key.Key_Z, Mod.ControlModifier)
    desk.wait(lambda: "Beware" not in desk.worklist.region.saved.text())


def test_background_goes_with_brush_fill_and_polygon(reading, tmp_path):
    desk = reading
    bar, frame = desk.worklist.region.paint_bar, desk.seat.layers.frame
    expected = ai(desk)

    def after(act) -> np.ndarray:
        before = desk.session.work.copy()
        act()
        changed = desk.session.work != before
        assert changed.any()
        return changed

    desk.click(bar.eraser)
    assert bar.eraser.isChecked()
    assert not any(button.isChecked() for button in bar.labels)
    desk.key(Key.Key_3)
    assert bar.eraser.isChecked()
    gone = after(lambda: draw_polygon(desk))
    desk.click(bar.labels[0])
    assert str(desk.correction.mode) == "polygon"
    assert bar.labels[0].isChecked()
    assert not bar.eraser.isChecked()
    desk.click(bar.labels[0])
    assert bar.labels[0].isChecked()
    desk.click(bar.eraser)
    expected[gone] = 0
    desk.key(Key.Key_4)
    gone = after(lambda: desk.mouse.click(desk.viewer, desk.correction, desk.voxel(4, 0)))
    expected[gone] = 0
    np.testing.assert_array_equal(desk.session.work, expected)
    submit(desk)
    np.testing.assert_array_equal(exported(desk, tmp_path / "out"), expected)
    assert {int(i) for i in frame.to_view(np.argwhere(gone))[:, 0]} == {int(frame.to_view(np.argwhere(gone))[0, 0])}


def draw_polygon(desk) -> None:
    for corner in CORNERS:
        desk.mouse.click(desk.viewer, desk.correction, desk.voxel(*corner))
    desk.key(Key.Key_Return)


def test_the_pressed_button_follows_naparis_own_keys(reading):
    desk = reading
    bar = desk.worklist.region.paint_bar

    def pressed() -> str:
        (button,) = [b for b in (*bar.labels, bar.eraser, bar.other) if b.isChecked()]
        return button.text()

    first = pressed()
    assert first == desk.session.case.prediction.table.name(desk.session.reading.item.region.labels[0])
    desk.key(Key.Key_1)
    assert pressed() == "background"
    desk.key(Key.Key_2)
    assert pressed() == first
    desk.key(Key.Key_X)
    assert pressed() == "background"
    desk.key(Key.Key_X)
    desk.key(Key.Key_M)
    assert pressed() == "3, no name"
    assert "Label 3 has no name in this case" in desk.notice
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel())
    desk.wait(lambda: "No name in this case has label 3" in desk.worklist.region.saved.text())
    desk.key(Key.Key_5)
    desk.mouse.click(desk.viewer, desk.correction, desk.voxel(0, 4))
    assert desk.correction.selected_label == desk.correction.data[desk.voxel(0, 4)]
    desk.key(Key.Key_B)
    assert "Preserve labels is on" in desk.notice


def test_a_polygon_begun_in_another_slice_paints_nothing(reading):
    desk = reading
    before = desk.session.work.copy()
    desk.key(Key.Key_3)
    for corner in CORNERS[:3]:
        desk.mouse.click(desk.viewer, desk.correction, desk.voxel(*corner))
    desk.mouse.wheel(desk.viewer, -1)
    desk.key(Key.Key_Return)
    np.testing.assert_array_equal(desk.session.work, before)
    assert "begun in another slice" in desk.notice


def begin_polygon(desk) -> None:
    desk.key(Key.Key_3)
    for corner in CORNERS[:3]:
        desk.mouse.click(desk.viewer, desk.correction, desk.voxel(*corner))


def begin_elsewhere(desk) -> None:
    """Go on with the next region, its polygon in the slice where one was begun before."""
    desk.key(Key.Key_N)
    assert desk.number == 2


def begin_for_another(desk) -> None:
    desk.say_who("ben")
    desk.settle()
    desk.key(Key.Key_N)
    assert desk.number is not None


@pytest.mark.parametrize("leave", [begin_elsewhere, begin_for_another])
def test_corners_of_one_region_are_not_painted_into_the_next(reading, leave):
    desk = reading
    begin_polygon(desk)
    leave(desk)
    desk.seat.tools.pick(other(desk), "polygon")
    before = desk.session.work.copy()
    desk.key(Key.Key_Return)
    np.testing.assert_array_equal(desk.session.work, before)
    assert "begun in another slice" not in desk.notice
    center = desk.voxel()
    draw_polygon(desk)
    changed = np.argwhere(desk.seat.layers.frame.view(desk.session.work != before))
    assert len(changed)
    assert (np.abs(changed - center) <= 4).all()


def test_nothing_is_submitted_while_a_polygon_is_not_closed(reading):
    desk = reading
    begin_polygon(desk)
    buttons = desk.worklist.region.buttons
    refusals = (
        lambda: desk.key(Key.Key_K),
        lambda: submit(desk),
        lambda: desk.click(buttons.submit),
        lambda: desk.seat.answers.give_verdict(Verdict.POINTLESS),
    )
    for refused in refusals:
        desk.seat.events.message.emit("")
        desk.key(Key.Key_2)  # another tool hides the polygon
        refused()
        assert (desk.number, desk.store.corrections()) == (1, [])
        assert "a polygon is not closed: double-click to close it, or press Escape" in desk.notice
        assert str(desk.correction.mode) == "polygon"
    desk.viewer.layers.selection.active = desk.seat.layers.regions
    submit(desk)
    assert desk.store.corrections() == []
    desk.key(Key.Key_Escape)
    desk.key(Key.Key_K)
    assert [c.verdict for c in desk.store.corrections()] == [Verdict.ACCEPTED]


def test_a_polygon_that_was_closed_is_submitted(reading):
    desk = reading
    desk.seat.tools.pick(other(desk), "polygon")
    for corner in (*CORNERS, CORNERS[0]):
        desk.mouse.click(desk.viewer, desk.correction, desk.voxel(*corner))
    desk.mouse.double_click(desk.viewer, desk.correction, desk.voxel(*CORNERS[0]))
    submit(desk)
    assert len(desk.store.corrections()) == 1


def test_an_empty_reason_keeps_the_decline_dialog_open(reading):
    desk, seen = reading, {}

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        seen["kind"] = type(dialog)
        field, ok = dialog.findChild(QLineEdit), dialog.findChild(QDialogButtonBox).buttons()[0]
        try:
            for text in ("", "   "):
                desk.qtbot.keyClicks(field, text)
                desk.qtbot.mouseClick(ok, Qt.MouseButton.LeftButton)
                seen["stays"] = dialog.isVisible()
                seen["hint"] = dialog.labelText()
            desk.qtbot.keyClicks(field, "not my knee: 1234567")
            seen["number"] = desk.number
            desk.qtbot.keyClick(field, Key.Key_Return)
            seen["closed"] = not dialog.isVisible()
        finally:
            if dialog.isVisible():
                dialog.reject()

    QTimer.singleShot(200, answer)
    desk.click(desk.worklist.region.buttons.decline)
    assert seen["kind"] is DeclineDialog
    assert seen["stays"]
    assert "few words" in seen["hint"]
    assert (seen["number"], seen["closed"]) == (1, True)
    declined = next(x for x in desk.store.items() if x.region.number == 1).assignment
    assert (declined.state, declined.reason) == (State.DECLINED, "not my knee: 1234567")
    assert str(desk.correction.mode) == "paint"
    assert not desk.store.corrections()


@pytest.mark.parametrize("painted", [True, False])
def test_a_decline_says_what_becomes_of_the_paint(reading, painted):
    desk = reading
    if painted:
        desk.paint(other(desk))
    work, region = desk.session.work.copy(), desk.session.reading.item.region
    desk.seat.answers.decline("motion")
    assert "Region 1 declined" in desk.notice
    assert ("stays on this computer as a draft" in desk.notice) == painted
    if painted:
        (draft,) = [x for x in desk.drafts() if x.region_id == region.id]
        np.testing.assert_array_equal(draft.after, work[slices(draft.box)])


def test_declining_can_be_thought_better_of(reading):
    desk = reading
    QTimer.singleShot(200, lambda: desk.key(Key.Key_Escape, widget=QApplication.activeModalWidget()))
    desk.click(desk.worklist.region.buttons.decline)
    assert desk.number == 1
    assert desk.session.reading is not None


def test_what_is_typed_in_a_field_is_for_the_field(reading):
    desk = reading
    kinds = (QLineEdit, QAbstractSpinBox)
    fields = [x for panel in desk.panels.values() for kind in kinds for x in panel.findChildren(kind)]
    assert len(fields) > 5
    before = desk.session.work.copy()
    desk.paint(other(desk))
    painted, mode, label = desk.session.work.copy(), str(desk.correction.mode), desk.correction.selected_label
    for field in fields:
        field.setFocus()
        desk.qtbot.keyClicks(field, "kKnNjJuUqQhH1234567mMxXbBlL")
        for key in (Key.Key_Return, Key.Key_Enter, Key.Key_Space):
            field.setFocus()
            desk.qtbot.keyClick(field, key)
        assert (desk.number, str(desk.correction.mode), desk.correction.selected_label) == (1, mode, label)
        assert all(layer.visible for layer in (desk.correction, desk.seat.layers.ai))
    assert (painted != before).any()
    np.testing.assert_array_equal(desk.session.work, painted)
    assert not desk.store.corrections()


def test_a_region_is_drawn_where_it_is_seen(reading):
    desk = reading
    defer = desk.panels["defer"]
    (bar,) = desk.worklist.findChildren(ViewBar)
    defer.draw.setChecked(True)
    drawn = desk.viewer.layers["New region"]
    drawn.mode = "paint"
    drawn.affine = MOVES["affine"]
    np.testing.assert_array_equal(drawn.affine.affine_matrix, np.eye(4))
    assert "New region was moved" in defer.notice.text()
    desk.click(bar.three)
    height, width = desk.viewer.canvas.size
    desk.mouse.drag(desk.viewer, [(width / 2 + n, height / 2) for n in (0, 15, 30)])
    assert not np.asarray(drawn.data).any()
    desk.key(Key.Key_Q)
    assert str(drawn.mode) == "paint"
    desk.mouse.click(desk.viewer, drawn, desk.voxel())
    assert np.asarray(drawn.data).any()
    items = len(desk.store.items())
    desk.key(Key.Key_3)
    desk.mouse.click(desk.viewer, drawn, desk.voxel(3, 3))
    defer.send.click()
    assert "a polygon is not closed" in defer.notice.text()
    assert len(desk.store.items()) == items
    desk.key(Key.Key_Escape)
    with drawn.events.blocker_all():
        drawn.scale = (1, 1, 1)
    defer.send.click()
    assert "was moved" in defer.notice.text()
    assert len(desk.store.items()) == items
