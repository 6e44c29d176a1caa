"""My worklist as a radiologist meets it: names, buttons, lines, mistakes that are taken back."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog, QLineEdit, QPushButton

from napari_deferredseg.core.records import State, Verdict
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.io.writing import write_volume
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external
from napari_deferredseg.widgets.panels.view_bar import ViewBar
from napari_deferredseg.widgets.qt.scroll import ScrollArea
from napari_deferredseg.widgets.seat.keys import SHORTCUTS
from napari_deferredseg.widgets.seat.settings import last_reader
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane


def correction_of(desk, number):
    region = next(x.region.id for x in desk.store.items() if x.region.number == number)
    return next(c for c in desk.store.corrections() if c.region_id == region)


def listed(desk):
    desk.settle()
    table = desk.worklist.table
    return [(int(table.item(row, 1).text()), table.item(row, 4).text()) for row in range(table.rowCount())]


def test_a_low_screen_squeezes_nothing(desk):
    desk.viewer.window.resize(1000, 600)
    desk.sit_down()
    desk.open_row(1)
    desk.settle()
    assert desk.viewer.window.geometry()[3] <= 620
    buttons = [x for x in desk.worklist.findChildren(QPushButton) if x.isVisible()]
    assert len(buttons) > 12
    for button in buttons:
        assert button.height() >= button.sizeHint().height(), button.text()
    for panel in desk.panels.values():
        area = panel.findChild(ScrollArea)
        assert area.widget().width() <= area.viewport().width()
    told = desk.worklist.findChild(ViewBar).help.toolTip()
    assert "not a medical device" in told
    for shortcut in SHORTCUTS.values():
        assert f"<b>{shortcut.key}</b>" in told


def stands_out(button: QPushButton) -> bool:
    color = button.grab().toImage().pixelColor(6, button.height() // 2)
    return color.blue() > 2 * color.red()


def test_from_the_first_look_to_a_name(desk):
    assert "Open ..." in desk.worklist.summary.text()
    assert not desk.worklist.region.buttons.accept.isEnabled()
    desk.open_project(desk.scene.root)
    assert "is no project" in desk.notice
    desk.open_project()
    assert "Choose your name" in desk.worklist.summary.text()
    assert [desk.worklist.who.itemText(i) for i in range(1, 4)] == ["Ada Moreau", "Ben Okafor", "Lea Brandt"]
    desk.say_who("lea")
    assert desk.worklist.summary.text() == "Nothing waits for you."
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    assert "<b>4</b> regions" in desk.worklist.summary.text()
    assert "press N" in desk.worklist.region.title.text()
    desk.open_row(2)
    card = desk.worklist.region
    assert "Region 2" in card.title.text()
    assert desk.session.reading.question() in card.title.text()
    assert stands_out(card.buttons.accept)
    assert not stands_out(card.buttons.submit)
    desk.paint(7)
    desk.wait(lambda: stands_out(card.buttons.submit))
    assert not stands_out(card.buttons.accept)
    assert "Saved on this computer" in card.saved.text()
    the_view_bar_follows_and_leads(desk)
    assert last_reader() == "ada"
    desk.open_project(desk.scene.folder)
    assert desk.session.reader.login == "ada"
    assert "Reading as Ada Moreau. Not you?" in desk.notice
    for button in desk.worklist.region.buttons.findChildren(QPushButton):
        assert button.text()
        assert button.toolTip()


def the_view_bar_follows_and_leads(desk):
    bar = desk.worklist.findChild(ViewBar)
    viewer = desk.viewer

    def pressed():
        return [plane for plane, button in bar.planes.items() if button.isChecked()]

    assert pressed() == [Plane.AXIAL]
    desk.click(bar.planes[Plane.CORONAL])
    assert pressed() == [Plane.CORONAL]
    desk.click(bar.planes[Plane.CORONAL])
    assert pressed() == [Plane.CORONAL]
    show_plane(viewer, Plane.SAGITTAL)
    assert pressed() == [Plane.SAGITTAL]
    viewer.dims.ndisplay = 3
    assert bar.three.isChecked()
    assert pressed() == []
    desk.click(bar.three)
    assert bar.three.isChecked()
    viewer.dims.ndisplay = 2
    assert not bar.three.isChecked()
    image = desk.seat.layers.images[0]
    bar.window_presets.textActivated.emit("CT bone")
    assert image.contrast_limits == [-500, 1300]
    assert bar.window_presets.currentIndex() == 0


def answer(text, press, otherwise=None):
    """Write into the dialog that is about to open and press a button, as a person would; another where it stays."""

    def act():
        (dialog,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QInputDialog) and w.isVisible()]
        dialog.findChild(QLineEdit).setText(text)
        dialog.findChild(QDialogButtonBox).button(press).click()
        if dialog.isVisible() and otherwise is not None:
            dialog.findChild(QDialogButtonBox).button(otherwise).click()

    QTimer.singleShot(50, act)


def test_everything_that_can_be_said(desk):
    desk.sit_down()
    buttons = desk.worklist.region.buttons
    desk.open_row(1)
    desk.click(buttons.submit)
    assert "nothing is changed: press Accept" in desk.notice
    desk.paint(7)
    desk.wait(lambda: not desk.notice)
    cannot_decide, pointless = buttons.more.menu().actions()
    for refused in (buttons.accept.click, cannot_decide.trigger):
        refused()
        assert "press Submit" in desk.notice
        assert desk.number == 1
    desk.qtbot.keyClicks(desk.worklist.region.note, "vessel")
    desk.click(buttons.submit)
    assert "Region 1 submitted. U opens it again." in desk.notice
    kept = correction_of(desk, 1)
    assert (kept.verdict, kept.note, kept.reader) == (Verdict.EDITED, "vessel", "ada")
    assert desk.worklist.region.note.text() == ""

    assert desk.number == 2
    cannot_decide.trigger()
    assert correction_of(desk, 2).verdict is Verdict.INDETERMINATE
    assert desk.number == 3
    desk.click(buttons.skip)
    assert "Region 3 skipped" in desk.notice
    assert listed(desk) == [(4, "started"), (3, "skipped"), (1, "✓ done"), (2, "✓ done")]
    answer("not my field", QDialogButtonBox.StandardButton.Cancel)
    desk.click(buttons.decline)
    assert desk.number == 4
    answer("  ", QDialogButtonBox.StandardButton.Ok, otherwise=QDialogButtonBox.StandardButton.Cancel)
    desk.click(buttons.decline)
    assert desk.number == 4
    answer("not my field", QDialogButtonBox.StandardButton.Ok)
    desk.click(buttons.decline)
    held = next(x.assignment for x in desk.store.items() if x.region.number == 4)
    assert (held.state, held.reason) == (State.DECLINED, "not my field")
    assert desk.number == 3
    pointless.trigger()
    assert correction_of(desk, 3).verdict is Verdict.POINTLESS
    assert desk.worklist.summary.text() == "Nothing waits for you."
    assert not buttons.accept.isEnabled()
    assert buttons.amend.isEnabled()
    assert not desk.store.verify()


def test_taking_back_within_and_after_other_work(desk):
    desk.sit_down()
    buttons = desk.worklist.region.buttons
    assert not buttons.amend.isEnabled()
    desk.open_row(1)
    resets_as_one_step(desk)
    desk.click(buttons.accept)
    desk.paint(8)
    painted = desk.session.work.copy()
    desk.click(buttons.amend)
    assert desk.number == 1
    assert "It stands until you submit anew" in desk.notice
    assert not (desk.session.work == 8).any()
    desk.click(buttons.next)
    assert correction_of(desk, 1).verdict is Verdict.ACCEPTED
    desk.open_row(2)
    np.testing.assert_array_equal(desk.session.work, painted)
    desk.click(buttons.submit)
    desk.open_row(1)
    desk.paint(9)
    desk.click(buttons.submit)
    assert correction_of(desk, 1).verdict is Verdict.EDITED
    assert len(desk.store.history(correction_of(desk, 1).region_id)) == 2
    assert [number for number, state in listed(desk) if "done" in state] == [1, 2]
    desk.open_row(2)
    assert desk.session.reading.supersedes
    np.testing.assert_array_equal(desk.session.work == 8, painted == 8)


def resets_as_one_step(desk):
    found = desk.session.work.copy()
    reset = desk.worklist.region.buttons.reset
    desk.click(reset)
    assert "as the AI left it" in desk.notice
    desk.paint(7)
    desk.paint(8, down=2)
    painted = desk.session.work.copy()
    desk.click(reset)
    np.testing.assert_array_equal(desk.session.work, found)
    desk.seat.tools.undo()
    np.testing.assert_array_equal(desk.session.work, painted)
    desk.seat.tools.redo()
    np.testing.assert_array_equal(desk.session.work, found)


def test_taking_back_reaches_into_the_case_before(desk):
    root = desk.scene.root
    volume = read_volume(desk.scene.volume)
    write_volume(root / "other.nii.gz", Volume(volume.array + np.int16(1), volume.geometry, "other"))
    with desk.scene.open() as project:
        files = ExternalInput(root / "other.nii.gz", (desk.scene.first, desk.scene.second))
        run_external(project, files)
        for item in project.store.items():
            project.store.assign(item.region.id, reader="ada", group=None, by="test")
    desk.sit_down()
    first = desk.session.case.record.key
    (last,) = [x for x in desk.session.worklist() if x.case.key == first][-1:]
    desk.seat.navigation.open_item(last)
    other = next(x for x in desk.session.worklist() if x.case.key != first)
    desk.click(desk.worklist.region.buttons.accept)
    desk.seat.navigation.open_item(other)
    desk.wait(lambda: desk.session.case.record.key == other.case.key and desk.session.reading is not None)
    assert {x.case.key for x in desk.session.worklist()} == {first, other.case.key}
    desk.click(desk.worklist.region.buttons.amend)
    desk.wait(lambda: desk.session.reading is not None and desk.session.reading.item.region.id == last.region.id)
    assert desk.session.reading.supersedes
