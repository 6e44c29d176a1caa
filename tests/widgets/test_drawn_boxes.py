"""Boxes drawn by hand on a volume of any orientation become boxes of its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.usecases.running.models import InstalledModel
from napari_deferredseg.widgets.viewer.drawn_boxes import add_boxes, drawn_boxes
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane
from napari_deferredseg.widgets.viewer.volume_layers import add_volume, info_of

MODEL = InstalledModel("sam", Path("sam"), ("liver", "spleen"), ("Ada",), 1, False, (), (1, 4), True)
ONE = InstalledModel("sam", Path("sam"), ("liver",), ("Ada",), 1, False, (), (3,), True)
PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)


def test_a_rectangle_drawn_with_the_mouse_is_a_box_of_the_file(open_viewer, mouse, any_volume):
    viewer = open_viewer()
    (image,) = add_volume(viewer, any_volume)
    frame = info_of(image).frame
    show_plane(viewer, PLANES[frame.axes.index(0)])
    start, stop = (frame.to_view((9, *where)) for where in ((6, 8), (20, 25)))
    viewer.dims.point = tuple(frame.world(start))
    layer = add_boxes(viewer, info_of(image), "liver")
    path = (start, start + (stop - start) / 2, stop)
    pixels = [mouse.pixel(viewer, image, tuple(int(i) for i in voxel)) for voxel in path]
    mouse.drag(viewer, pixels, pause_ms=100)  # napari hears of moves a little later
    assert len(layer.data) == 1
    assert drawn_boxes(layer, info_of(image), MODEL) == (SliceBox(1, 9, (6, 21), (8, 26)),)


@pytest.fixture
def shown(open_viewer, any_volume):
    """A volume that is shown, and where the corners of a box in it lie in the world."""
    viewer = open_viewer()
    (image,) = add_volume(viewer, any_volume)
    info = info_of(image)

    def rectangle(z, rows, columns, leave=0):
        corners = [(z, rows[0], columns[0]), (z, rows[0], columns[1]), (z + leave, rows[1], columns[1])]
        corners.append((z + leave, rows[1], columns[0]))
        return info.frame.world(info.frame.to_view(np.array(corners, float)))

    return info, rectangle


def test_what_a_box_is_about_stands_in_its_features(shown):
    info, rectangle = shown
    shapes = [rectangle(3, (2, 8), (4, 9)), rectangle(5, (-40, 900), (4, 9))]
    said = Shapes(shapes, shape_type="rectangle", features={"label": ["Spleen", "1"]})
    found = drawn_boxes(said, info, MODEL)
    assert found == (SliceBox(4, 3, (2, 9), (4, 10)), SliceBox(1, 5, (0, info.geometry.shape[1]), (4, 10)))
    for features in ({}, {"label": ["liver", "aorta"]}):
        with pytest.raises(InputError, match="write one of liver, spleen"):
            drawn_boxes(Shapes(shapes, shape_type="rectangle", features=features), info, MODEL)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ({"z": 3, "rows": (2, 8), "columns": (4, 9), "leave": 4}, "goes through several slices"),
        ({"z": -5, "rows": (2, 8), "columns": (4, 9)}, "outside the volume"),
        ({"z": 3, "rows": (-20, -10), "columns": (4, 9)}, "outside the volume"),
    ],
)
def test_boxes_that_are_none_are_a_line(shown, box, says):
    info, rectangle = shown
    layer = Shapes([rectangle(**box)], shape_type="polygon", name="mine")
    with pytest.raises(InputError, match=says) as refused:
        drawn_boxes(layer, info, ONE)
    assert "box 1 of mine" in str(refused.value)
    with pytest.raises(InputError, match="holds no boxes"):
        drawn_boxes(Shapes(ndim=3), info, ONE)
    with pytest.raises(InputError, match="is flat"):
        drawn_boxes(Shapes([[[0, 0], [3, 3]]], shape_type="rectangle"), info, ONE)


def test_a_model_that_must_be_told_asks_for_it(open_seat, unread, tiny_model, tmp_path, qtbot, monkeypatch):
    viewer, panels = open_seat()
    panel = panels["run"]
    folder = tmp_path / "prompted"
    folder.mkdir()
    content = json.loads((tiny_model / "model.json").read_text("utf-8"))
    content["config"]["segmentor"] = {"kind": "sam"}
    (folder / "model.json").write_text(json.dumps(content), "utf-8")
    panel.project_bar.open_folder(unread.folder)
    form = panel.form
    assert not form.prompt.visible
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    form.model.value = "browse"
    qtbot.wait(50)
    panel.parent().raise_()
    qtbot.wait(50)
    assert form.prompt.native.isVisible()
    assert form.boxes.native.isVisible()
    form.volume.value = unread.volume

    def said() -> str:
        panel.notice.say("")
        qtbot.mouseClick(panel.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: panel.run_button.isEnabled() and bool(panel.notice.text()), timeout=60_000)
        return panel.notice.text()

    assert "must be told where to look" in said()
    qtbot.mouseClick(panel.draw_button, Qt.MouseButton.LeftButton)
    assert "is not shown: open it" in panel.notice.text()
    viewer.open(str(unread.volume), plugin="napari-deferredseg")
    qtbot.mouseClick(panel.draw_button, Qt.MouseButton.LeftButton)
    layer = viewer.layers[form.boxes.value]
    assert "holds no boxes" in said()
    form.about.value = "spleen"
    layer.add_rectangles([[[3, 2, 2], [3, 2, 9], [3, 9, 9], [3, 9, 2]]])
    assert list(layer.features["label"]) == ["spleen"]
    assert drawn_boxes(layer, info_of(viewer.layers[0]), panel.form.chosen)
    viewer.layers[0].translate = (0, 10, 0)
    assert "was moved" in said()
    viewer.layers.remove(layer)
    assert form.boxes.value == "none"
