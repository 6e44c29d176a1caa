"""What the reader is told of what is on the screen, and what is kept from them while they read."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.widgets.viewer.cursor_line import under_cursor

PLUGIN = "napari-deferredseg"


def test_the_deferral_map_is_hidden_while_a_region_is_read(desk):
    desk.sit_down()
    layers = desk.seat.layers
    desk.open_row(1)
    assert not layers.defer.visible
    desk.session.leave()
    assert not layers.defer.visible
    layers.defer.visible = True
    desk.open_row(1)
    assert not layers.defer.visible
    desk.seat.navigation.step(1)
    assert not layers.defer.visible
    desk.session.leave()
    assert layers.defer.visible


def test_the_cursor_says_what_each_number_is(desk):
    desk.sit_down()
    layers = desk.seat.layers
    layers.defer.visible = True
    item = next(x for x in desk.seat.items if x.region.number == 1)
    place = tuple(np.argwhere(item.region.mask)[0] + [low for low, _ in item.region.box])
    case = desk.session.case
    said = under_cursor(desk.viewer, layers.frame.world(layers.frame.to_view(place)))
    name = case.prediction.table.name(int(case.labels[place]))
    assert said.texts == (
        f"deferral {float(case.defer[place]):.2f}",
        f"AI mask: {name}",
        f"{int(case.volume.array[place])}",
    )


def test_the_window_is_told_while_it_is_dragged(desk):
    desk.sit_down()
    pixels = [(200 + 10 * step, 200) for step in range(6)]
    desk.mouse.drag(desk.viewer, pixels, Qt.MouseButton.RightButton)
    low, high = desk.seat.layers.images[0].contrast_limits
    assert desk.seat.hands.cursor_line.text == f"W {high - low:g}  L {(low + high) / 2:g}"
    desk.mouse.hover(desk.viewer, desk.seat.layers.ai, desk.seat.layers.center(desk.seat.items[0]))
    assert "mm" in desk.seat.hands.cursor_line.text


def test_layers_of_ones_own_stay_and_that_is_said(desk):
    mine = desk.viewer.add_image(np.zeros((4, 5, 6)), name="mine", scale=(2, 2, 2))
    before = mine.as_layer_data_tuple()
    desk.sit_down()
    desk.wait(lambda: "Left as they are" in desk.notice)
    assert "mine" in desk.notice
    assert "scale bar counts without millimetres" in desk.notice
    after = mine.as_layer_data_tuple()
    assert after[0] is before[0]
    assert np.array_equal(after[1]["affine"], before[1]["affine"])
    assert mine.visible


def test_a_panel_from_the_menu_comes_to_the_front_with_a_short_name(open_viewer, qtbot):
    viewer = open_viewer()
    for name, title in (("My worklist", "My worklist"), ("Defer to expert", "Defer to expert")):
        dock, panel = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        qtbot.waitUntil(lambda panel=panel: not panel.visibleRegion().isEmpty())
        assert isinstance(dock, QDockWidget)
        assert dock.windowTitle() == title


def test_the_wheel_over_a_number_scrolls_the_panel_and_changes_nothing(desk):
    run = desk.panels["run"]
    run.parentWidget().raise_()
    desk.qtbot.wait(50)
    before = (run.form.amount.value, run.form.unit.value)
    for field in (run.form.amount, run.form.unit):
        desk.mouse.wheel_on(field.native, -1)
    assert (run.form.amount.value, run.form.unit.value) == before


def test_why_no_next_region_opens_stays_on_the_screen(desk, monkeypatch):
    desk.sit_down()
    desk.open_row(1)

    def locked(*given):
        raise InputError("the draft is locked")

    monkeypatch.setattr(desk.session.project.journal, "of_region", locked)
    desk.seat.answers.accept()
    desk.settle()
    assert "the draft is locked" in desk.notice
    assert desk.session.reading is None


def test_drawing_picks_no_region(desk):
    desk.sit_down()
    defer = desk.panels["defer"]
    item = next(x for x in desk.seat.items if x.region.number == 1)
    desk.seat.picture.look_at(item)
    desk.seat.picture.pick(None)
    defer.draw.click()
    layer = desk.viewer.layers["New region"]
    layer.mode = "paint"
    inside = np.argwhere(item.region.mask) + [low for low, _ in item.region.box]
    views = [tuple(int(i) for i in desk.seat.layers.frame.to_view(place)) for place in inside]
    shown = desk.seat.layers.center(item)[0]
    desk.mouse.click(desk.viewer, layer, next(view for view in views if view[0] == shown))
    assert layer.data.any()
    assert desk.seat.picked is None


def test_a_declined_region_needs_a_reason_and_says_so(desk):
    desk.sit_down()
    desk.open_row(1)
    desk.paint(7)
    desk.wait(lambda: "Saved" in desk.worklist.region.saved.text())
    desk.seat.answers.decline("  ")
    desk.qtbot.wait(300)
    assert "say in a few words why" in desk.notice
    assert desk.number == 1
