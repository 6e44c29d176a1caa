"""*Readers*, by hand: who is in it, who may change it, what the other panels show afterwards."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from qtpy.QtCore import QDate, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QDialogButtonBox

from napari_deferredseg.core.records import Role
from napari_deferredseg.usecases import readers
from napari_deferredseg.usecases.reading.defer import Target
from napari_deferredseg.widgets.panels.preferences import SettingsPage
from napari_deferredseg.widgets.panels.readers import ReadersPanel

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(desk):
    """The panel, opened by the button in *Defer to expert*, in the scene's project, which has no admin."""
    desk.open_project()
    button = next(
        x for x in desk.panels["defer"].findChildren(type(desk.panels["defer"].send)) if "Readers" in x.text()
    )
    desk.click(button)
    desk.click(button)  # once more only brings it to the front
    found = [x for x in desk.viewer.window.dock_widgets.values() if isinstance(x, ReadersPanel)]
    assert len(found) == 1
    return found[0]


def choose(desk, panel, login):
    row = [x.login for x in panel._shown].index(login)
    middle = panel.table.visualItemRect(panel.table.item(row, 0)).center()
    desk.qtbot.mouseClick(panel.table.viewport(), LEFT, pos=middle)


def retype(desk, field, text):
    field.clear()
    desk.qtbot.keyClicks(field, text)


def test_a_reader_comes_changes_goes_away_and_leaves(desk, panel):
    assert "no admin" in panel.rights.text()
    desk.click(panel.add_button)
    retype(desk, panel.profile.name, "Zoe <b>O")
    retype(desk, panel.profile.groups, "abdomen; night")
    panel.profile.capacity.setValue(15)
    desk.click(panel.profile.save)
    zoe = desk.store.reader("zoe.b.o")
    assert (zoe.name, zoe.capacity, zoe.groups, zoe.role) == ("Zoe <b>O", 15, ("abdomen", "night"), Role.READER)
    assert desk.worklist.who.findData("zoe.b.o") > 0
    assert panel.chosen == zoe
    assert not panel.profile.isVisible()
    desk.click(panel.edit_button)
    retype(desk, panel.profile.specialities, "liver; spleen")
    desk.key(Qt.Key.Key_Return, widget=panel.profile.specialities)
    assert desk.store.reader("zoe.b.o").specialities == ("liver", "spleen")
    desk.click(panel.absence_button)
    panel.absence.first.setDate(QDate(2031, 8, 2))
    assert panel.absence.last.date() == QDate(2031, 8, 2)
    panel.absence.last.setDate(QDate(2031, 8, 9))
    desk.click(panel.absence.save)
    assert desk.store.reader("zoe.b.o").absent_to == date(2031, 8, 9)
    assert panel.table.item(panel._shown.index(panel.chosen), 3).text() == "from 2031-08-02"
    desk.click(panel.absence_button)
    desk.click(panel.absence.none)
    assert desk.store.reader("zoe.b.o").absent_from is None
    desk.click(panel.stop_button)
    assert not desk.store.reader("zoe.b.o").active
    assert desk.worklist.who.findData("zoe.b.o") == -1
    assert panel.stop_button.text() == "Activate"
    desk.click(panel.stop_button)
    assert desk.worklist.who.findData("zoe.b.o") > 0
    assert desk.store.verify() == []


def swatches(desk):
    """Colours before the names that a region can be sent to."""
    to = desk.panels["defer"].to
    images = {to.itemText(i): to.itemIcon(i).pixmap(12, 12).toImage() for i in range(1, to.count())}
    return {name: image.pixelColor(5, 5).name() for name, image in images.items()}


def outlines(desk):
    """Colours around the regions, by the name of whom they wait for."""
    layer, names = desk.viewer.layers["Regions by reader"], {x.login: x.name for x in desk.session.readers()}
    found = {}
    for item in (x for x in desk.seat.items if x.assignment.reader):
        index = tuple(np.argwhere(item.region.mask)[0] + [lo for lo, _ in item.region.box])
        value = layer.data[tuple(desk.seat.layers.frame.to_view(np.array(index)).astype(int))]
        found[names[item.assignment.reader]] = QColor.fromRgbF(*map(float, layer.get_color(value)[:3])).name()
    return found


def test_outlines_and_swatches_are_of_one_colour_whoever_comes_and_whatever_is_set(desk, panel):
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    before = outlines(desk)
    assert len(before) > 1
    desk.click(panel.add_button)
    retype(desk, panel.profile.name, "Aaron")
    desk.click(panel.profile.save)
    assert outlines(desk) != before
    assert outlines(desk).items() <= swatches(desk).items()
    item = next(x for x in desk.seat.items if x.assignment.reader == "ben")
    desk.seat.session.send(item, Target(reader="aaron"))
    desk.seat.refresh_lists()
    assert outlines(desk)["Aaron"] == swatches(desk)["Aaron"] != "#ffffff"
    desk.click(desk.worklist.project_bar.settings_button)
    page = next(x for x in QApplication.topLevelWidgets() if isinstance(x, SettingsPage) and x.isVisible())
    page.outlines.choose(0, "#123456")
    desk.click(page.buttons.button(QDialogButtonBox.StandardButton.Save))
    assert outlines(desk)["Aaron"] == swatches(desk)["Aaron"] == "#123456"


def test_whoever_paints_here_and_is_deactivated_here_does_not_hide_what_waits_for_them(desk, panel):
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    desk.seat.navigation.step(1)
    desk.wait(lambda: desk.session.reading is not None)
    desk.paint()
    choose(desk, panel, "ada")
    desk.click(panel.stop_button)
    desk.settle()
    assert panel.notice.text().startswith("What was painted here is kept as a draft. Ada Moreau is deactivated;")
    assert "min of reading wait for them" in panel.notice.text()
    assert len(desk.drafts("ada")) == 1


def test_minutes_that_somebody_typed_stay_whatever_role_is_chosen_afterwards(desk, panel):
    form = panel.profile
    desk.click(panel.add_button)
    choose_role(form, Role.ADMIN)
    assert form.capacity.value() == 0
    choose_role(form, Role.LEAD)
    assert form.capacity.value() == 60
    form.capacity.selectAll()
    desk.qtbot.keyClicks(form.capacity, "0")
    choose_role(form, Role.READER)
    assert form.capacity.value() == 0
    desk.click(form.cancel)
    desk.click(panel.add_button)
    form.capacity.selectAll()
    desk.qtbot.keyClicks(form.capacity, "60")
    choose_role(form, Role.ADMIN)
    assert form.capacity.value() == 60


def choose_role(form, role):
    index = form.role.findData(role)
    form.role.setCurrentIndex(index)
    form.role.activated.emit(index)


def test_where_nobody_reads_any_more_it_is_said_who_and_why(desk, panel):
    project = desk.session.project
    desk.say_who("lea")
    for login in [x.login for x in desk.session.readers()][1:]:
        readers.deactivate(project, login)
    readers.edit(project, "ada", {"capacity": 0})
    desk.session.readers_changed()
    said = desk.worklist.summary.text()
    assert said.startswith("Nobody reads in this project now: Ada Moreau has 0 minutes a day, Ben")
    assert "was deactivated" in said
    assert desk.worklist.readers.isVisibleTo(desk.worklist)


def test_who_is_away_is_said_where_regions_are_sent_and_an_empty_list_invites_nobody(desk, panel):
    today = date.today()
    readers.set_absence(desk.session.project, "ada", today, today)
    desk.session.readers_changed()
    desk.say_who("ben")
    desk.wait(lambda: desk.session.case is not None)
    defer = desk.panels["defer"]
    index = defer.to.findText(f"Ada Moreau (away until {today})")
    assert index > 0
    defer.to.setCurrentIndex(index)
    desk.seat.picture.pick(next(x for x in desk.seat.items if x.assignment.reader == "ben"))
    desk.click(defer.send)
    assert defer.notice.text().endswith(f"now waits for Ada Moreau (away until {today}).")
    assert "to start" in desk.worklist.region.title.text()
    for item in desk.session.worklist():
        desk.session.send(item, Target(reader="ada"))
    desk.seat.refresh_lists()
    assert desk.worklist.table.rowCount() == 0
    assert desk.worklist.region.title.text() == ""
    desk.say_who(None)
    desk.click(desk.worklist.region.buttons.next)
    assert desk.worklist.notice.text() == "Say who you are first, in My worklist."


def test_no_line_in_a_panel_asks_for_a_command(desk, panel):
    readers.edit(desk.session.project, "lea", {"role": Role.ADMIN}, "lea")
    desk.session.readers_changed()
    choose(desk, panel, "ben")
    desk.click(panel.stop_button)
    assert panel.notice.text().startswith(
        "choose your name first: to add, edit, deactivate and activate readers is for"
    )
    desk.say_who("lea")
    choose(desk, panel, "lea")
    desk.click(panel.stop_button)
    assert panel.notice.text().endswith("is the only admin of this project: make another admin first")
    desk.click(panel.add_button)
    retype(desk, panel.profile.name, "Ada")
    desk.click(panel.profile.save)
    assert panel.notice.text().endswith("is taken by Ada Moreau: choose another, or change that one")


def test_what_cannot_be_stays_in_the_form_with_one_line(desk, panel):
    desk.click(panel.add_button)
    retype(desk, panel.profile.name, "Ada")
    desk.click(panel.profile.save)
    assert "taken by Ada Moreau" in panel.notice.text()
    assert panel.profile.name.text() == "Ada"
    assert panel.profile.isVisible()
    desk.click(panel.profile.cancel)
    assert len(desk.store.readers()) == 3


def test_who_may_not_is_refused_and_whoever_is_deactivated_leaves_their_region(desk, panel):
    readers.add(desk.session.project, readers.Profile("Root", role=Role.ADMIN))
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    desk.session.readers_changed()
    assert not panel.rights.isVisible()
    choose(desk, panel, "ben")
    desk.click(panel.stop_button)
    assert "for an admin: Root (login root)" in panel.notice.text()
    assert desk.store.reader("ben").active
    desk.seat.navigation.step(1)
    desk.wait(lambda: desk.session.reading is not None)
    readers.deactivate(desk.session.project, "ada", "root")
    desk.session.readers_changed()
    assert desk.session.reading is None
    assert desk.session.reader is None
    assert desk.worklist.who.currentIndex() == 0


def test_whoever_makes_a_project_is_its_admin_and_a_button_adds_the_first_reader(desk, tmp_path):
    desk.worklist.project_bar.make_folder(tmp_path / "new")
    (admin,) = desk.store.readers()
    assert (admin.role, admin.capacity) == (Role.ADMIN, 0)
    assert desk.session.reader == admin
    assert "is its admin" in desk.notice
    assert "no readers yet" in desk.worklist.summary.text()
    desk.click(desk.worklist.readers)
    panel = next(x for x in desk.viewer.window.dock_widgets.values() if isinstance(x, ReadersPanel))
    desk.click(panel.add_button)
    retype(desk, panel.profile.name, "Kim")
    desk.click(panel.profile.save)
    assert desk.store.reader("kim").capacity == 60
    assert not desk.worklist.readers.isVisibleTo(desk.worklist)
