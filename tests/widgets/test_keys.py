"""Every shortcut, whichever layer is active and wherever the focus is, does its work or says why not."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QGuiApplication, QKeyEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_deferredseg.core.records import State, Verdict
from napari_deferredseg.widgets.plugin.contributions import WorklistDock
from napari_deferredseg.widgets.seat.keys import SHORTCUTS
from napari_deferredseg.widgets.viewer.orientation import Plane, plane_shown

Key, Mod = Qt.Key, Qt.KeyboardModifier
KEYS = {
    "next": (Key.Key_N, Mod.NoModifier),
    "previous": (Key.Key_N, Mod.ShiftModifier),
    "accept": (Key.Key_K, Mod.NoModifier),
    "submit": (Key.Key_Return, Mod.ControlModifier),
    "skip": (Key.Key_J, Mod.NoModifier),
    "amend": (Key.Key_U, Mod.NoModifier),
    "hide": (Key.Key_H, Mod.NoModifier),
    "undo": (Key.Key_Z, Mod.ControlModifier),
    "redo": (Key.Key_Z, Mod.ControlModifier | Mod.ShiftModifier),
    "plane": (Key.Key_Q, Mod.NoModifier),
}
SOMEWHERE = np.array([[10.0, 10.0, 10.0], [12.0, 12.0, 12.0], [10.0, 14.0, 12.0]])
LAYERS = {
    "none": lambda viewer: None,
    "image": lambda viewer: viewer.add_image(np.zeros((5, 6, 7)), name="mine"),
    "labels": lambda viewer: viewer.add_labels(np.zeros((5, 6, 7), np.uint8), name="mine"),
    "shapes": lambda viewer: viewer.add_shapes(SOMEWHERE, shape_type="polygon", name="mine"),
    "points": lambda viewer: viewer.add_points(SOMEWHERE, name="mine"),
    "surface": lambda viewer: viewer.add_surface((SOMEWHERE, np.array([[0, 1, 2]])), name="mine"),
    "vectors": lambda viewer: viewer.add_vectors(np.stack([SOMEWHERE, SOMEWHERE], axis=1), name="mine"),
    "tracks": lambda viewer: viewer.add_tracks(np.insert(SOMEWHERE, 0, 1, axis=1), name="mine"),
    "ours: image": lambda viewer: viewer.layers[0],
    "ours: AI": lambda viewer: viewer.layers["AI mask"],
    "ours: correction": lambda viewer: viewer.layers["My correction"],
    "ours: regions": lambda viewer: viewer.layers["Regions by reader"],
}


GROUPS = (list(LAYERS)[::2], list(LAYERS)[1::2])


def test_the_keys_are_the_ones_listed():
    assert set(KEYS) == set(SHORTCUTS)


class Hand:
    """Makes one layer active and presses a shortcut on the canvas."""

    def __init__(self, desk, kind) -> None:
        self.desk, self.layer = desk, LAYERS[kind](desk.viewer)

    def activate(self) -> None:
        self.desk.viewer.layers.selection.active = self.layer

    def press(self, name) -> None:
        self.activate()
        self.desk.seat.events.message.emit("")
        self.desk.key(*KEYS[name])


@pytest.mark.parametrize("kinds", GROUPS, ids=", ".join)
def test_every_key_works_whatever_is_active(desk, kinds):
    desk.sit_down()
    for kind in kinds:
        hand = Hand(desk, kind)
        desk.open_row(1)
        undoes_and_redoes(desk, hand, theirs=kind == "labels")
        submits(desk, hand)
        moves(desk, hand)
        puts_off(desk, hand)
        takes_back_and_accepts(desk, hand)
        hides(desk, hand)
        if not kind.startswith("ours") and hand.layer is not None:
            desk.viewer.layers.remove(hand.layer)


def undoes_and_redoes(desk, hand, theirs):
    desk.paint(7)
    once = desk.session.work.copy()
    desk.paint(8, down=1)
    twice = desk.session.work.copy()
    assert (once != twice).any()
    hand.press("undo")
    if theirs:
        assert "'mine'" in desk.notice
        np.testing.assert_array_equal(desk.session.work, twice)
        hand.press("redo")
        assert "'mine'" in desk.notice
        desk.viewer.layers.selection.active = None
        desk.key(*KEYS["undo"])
    np.testing.assert_array_equal(desk.session.work, once)
    if not theirs:
        hand.press("redo")
        np.testing.assert_array_equal(desk.session.work, twice)


def submits(desk, hand):
    hand.press("accept")
    assert "press Submit" in desk.notice
    assert desk.number == 1
    hand.press("submit")
    assert newest(desk).verdict is Verdict.EDITED
    assert desk.number != 1
    hand.press("submit")
    assert "press Accept" in desk.notice


def newest(desk):
    (correction,) = desk.store.corrections()
    assert correction.region_id == next(x.region.id for x in desk.seat.items if x.region.number == 1)
    return correction


def moves(desk, hand):
    for name, steps in (("next", 1), ("previous", -1)):
        numbers = [item.region.number for item in desk.session.worklist()]
        expected = numbers[(numbers.index(desk.number) + steps) % len(numbers)]
        hand.press(name)
        assert desk.number == expected
    planes = list(Plane)
    shown = planes.index(plane_shown(desk.viewer))
    hand.press("plane")
    assert plane_shown(desk.viewer) is planes[(shown + 1) % 3]


def puts_off(desk, hand):
    number = desk.number
    hand.press("skip")
    assert f"Region {number} skipped" in desk.notice
    assert desk.session.worklist()[-1].assignment.state is State.SKIPPED


def takes_back_and_accepts(desk, hand):
    hand.press("amend")
    assert desk.number == 1
    hand.press("skip")
    assert "that stands" in desk.notice
    desk.click(desk.worklist.region.buttons.reset)
    hand.press("accept")
    assert newest(desk).verdict is Verdict.ACCEPTED
    assert desk.number != 1


def hides(desk, hand):
    hand.activate()
    shown = [layer.visible for layer in desk.viewer.layers]
    native = desk.mouse.native(desk.viewer)
    desk.qtbot.keyPress(native, *KEYS["hide"])
    assert not any(layer.visible for layer in desk.seat.layers.overlays)
    assert desk.seat.layers.images[0].visible
    desk.qtbot.keyRelease(native, *KEYS["hide"])
    assert [layer.visible for layer in desk.viewer.layers] == shown


def press_all(desk) -> dict[str, str]:
    """What the worklist shows after each key."""
    lines = {}
    for name in KEYS:
        desk.seat.events.message.emit("")
        desk.key(*KEYS[name])
        lines[name] = desk.notice
    return lines


def test_a_key_that_cannot_work_says_why_not(desk):
    lines = press_all(desk)
    for name in ("next", "previous", "accept", "submit", "skip", "amend", "undo", "redo"):
        assert lines[name] == f"{SHORTCUTS[name].key}: open a project first."
    for name in ("hide", "plane"):
        assert "there is no picture yet" in lines[name]

    desk.open_project()
    lines = press_all(desk)
    for name in ("next", "previous", "accept", "submit", "skip", "amend", "undo", "redo"):
        assert "say who you are first" in lines[name]

    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    for name in ("accept", "submit", "skip", "undo", "redo"):
        desk.key(*KEYS[name])
        assert "open a region of your worklist first" in desk.notice
    desk.viewer.layers.selection.active = desk.correction
    desk.key(*KEYS["undo"])
    assert "open a region of your worklist first" in desk.notice
    desk.key(*KEYS["amend"])
    assert "not submitted anything" in desk.notice

    desk.key(*KEYS["next"])
    for name in ("undo", "redo"):
        desk.key(*KEYS[name])
        assert desk.notice == f"There is nothing to {name} in this region."
    for _ in range(6):
        desk.key(*KEYS["accept"])
    assert desk.session.worklist() == []
    desk.key(*KEYS["next"])
    assert "nothing is left to do" in desk.notice


def overlays_come_back_when_the_release_is_lost(desk):
    layers = desk.seat.layers
    layers.ai.visible = False
    before = [layer.visible for layer in layers.overlays]
    native = desk.mouse.native(desk.viewer)
    desk.qtbot.keyPress(native, Key.Key_H)
    repeat = QKeyEvent(QEvent.Type.KeyPress, Key.Key_H, Mod.NoModifier, "h", True)
    QApplication.sendEvent(native, repeat)
    assert not any(layer.visible for layer in layers.overlays)
    QGuiApplication.instance().focusWindowChanged.emit(None)
    assert [layer.visible for layer in layers.overlays] == before
    desk.qtbot.keyRelease(native, Key.Key_H)
    assert [layer.visible for layer in layers.overlays] == before
    desk.qtbot.keyPress(native, Key.Key_H)
    desk.key(*KEYS["accept"])
    assert layers.correction.visible
    desk.qtbot.keyRelease(native, Key.Key_H)
    assert [layer.visible for layer in layers.overlays] == before
    desk.qtbot.keyPress(native, Key.Key_H)
    desk.session.leave()
    desk.qtbot.keyRelease(native, Key.Key_H)
    assert not layers.correction.visible
    assert layers.regions.visible


def test_enter_finishes_a_polygon_and_ctrl_enter_submits_and_h_comes_back(desk):
    desk.sit_down()
    desk.open_row(1)
    layer, native = desk.correction, desk.mouse.native(desk.viewer)
    for finish in (Key.Key_Return, Key.Key_Escape):
        desk.seat.tools.pick(9, "polygon")
        for corner in ((-3, -3), (-3, 3), (3, 3)):
            desk.mouse.click(desk.viewer, layer, desk.voxel(*corner))
        desk.qtbot.keyClick(native, finish)
        assert desk.number == 1
        assert desk.session.reading.changed_voxels > 0
        assert not desk.store.corrections()
    drawn = desk.session.work.copy()
    desk.key(*KEYS["undo"])
    assert desk.session.reading.changed_voxels == 0
    desk.key(*KEYS["redo"])
    np.testing.assert_array_equal(desk.session.work, drawn)
    desk.seat.tools.pick(9, "polygon")
    desk.key(Key.Key_Return, Mod.ControlModifier)
    assert (len(desk.store.corrections()), desk.number) == (1, 2)
    desk.paint(7)
    desk.key(Key.Key_Enter, Mod.ControlModifier | Mod.KeypadModifier)
    assert (len(desk.store.corrections()), desk.number) == (2, 3)
    overlays_come_back_when_the_release_is_lost(desk)


def focused(desk):
    """Widget that a real key would reach."""
    window = desk.worklist.window()
    return window.focusWidget() or window


def letters_in_the_note_are_letters(desk):
    desk.open_row(1)
    assert not desk.correction.preserve_labels
    desk.paint(7)
    note = desk.worklist.region.note
    note.setFocus()
    desk.seat.events.message.emit("")
    desk.qtbot.keyClicks(note, "kNjuhq")
    desk.key(Key.Key_Z, Mod.ControlModifier, widget=note)
    assert note.text() != "kNjuhq"
    desk.key(Key.Key_Z, Mod.ControlModifier | Mod.ShiftModifier, widget=note)
    assert (note.text(), desk.number, desk.notice) == ("kNjuhq", 1, "")
    assert desk.session.reading.changed_voxels > 0
    assert all(layer.visible for layer in (desk.correction, desk.seat.layers.ai))
    desk.key(Key.Key_Return, widget=note)
    assert focused(desk) is not note
    assert desk.number == 1
    note.setFocus()
    desk.key(Key.Key_Return, Mod.ControlModifier, widget=note)
    (correction,) = desk.store.corrections()
    assert (correction.note, correction.verdict) == ("kNjuhq", Verdict.EDITED)
    assert focused(desk) is not note
    assert note.text() == ""


def test_keys_reach_the_picture_from_anywhere_but_the_note(desk):
    desk.sit_down()
    desk.open_row(1)
    panel = desk.worklist
    buttons = [b for b in panel.findChildren(QPushButton) if b.isVisible() and b.isEnabled()]
    assert len(buttons) > 10
    for widget in (*buttons, panel.who, panel.table, panel.table.viewport()):
        assert not widget.focusPolicy() & Qt.FocusPolicy.ClickFocus
    desk.click(panel.region.buttons.next)
    desk.key(Key.Key_N, widget=focused(desk))
    assert desk.number == 3
    desk.open_row(1)
    desk.key(Key.Key_N, widget=focused(desk))
    desk.key(Key.Key_Space, widget=focused(desk))
    assert (desk.number, desk.store.corrections()) == (2, [])

    for widget in (panel.region.buttons.accept, panel.who):
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        assert focused(desk) is widget
        number = desk.number
        desk.key(Key.Key_N, widget=widget)
        assert desk.number == number + 1
    desk.qtbot.keyPress(panel.region.buttons.accept, Key.Key_H)
    assert not desk.correction.visible
    desk.qtbot.keyRelease(panel.region.buttons.accept, Key.Key_H)
    assert desk.correction.visible
    desk.key(Key.Key_B, widget=panel.who)
    assert desk.correction.preserve_labels
    desk.mouse.wheel_on(panel.who, -1)
    assert (desk.session.reader.login, panel.who.currentData()) == ("ada", "ada")
    letters_in_the_note_are_letters(desk)


def test_the_viewer_gets_its_own_keys_back(open_seat, mouse, qtbot):
    pressed = []
    viewer, panels = open_seat()
    for panel in panels.values():
        viewer.window.remove_dock_widget(panel)
    viewer.bind_key("K", lambda viewer: pressed.append("K"), overwrite=True)
    panel = WorklistDock(viewer)
    viewer.window.add_dock_widget(panel, name="again")
    qtbot.keyClick(mouse.native(viewer), Key.Key_K)
    assert pressed == []
    labels = viewer.add_labels(np.zeros((4, 5, 6), np.uint8))
    viewer.window.remove_dock_widget(panel)
    qtbot.keyClick(mouse.native(viewer), Key.Key_K)
    assert pressed == ["K"]
    assert labels.keymap == {}
    assert {str(key) for key in viewer.keymap} == {"K"}
