"""Make the pictures of the docs: `python docs/make_screenshots.py [FOLDER]` (xvfb-run without a screen)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_deferredseg.io.images import read_labels
from napari_deferredseg.masks.prompts import boxes_of
from napari_deferredseg.usecases.demo import make_demo
from napari_deferredseg.usecases.project import Project, init_project, open_project
from napari_deferredseg.usecases.running.models import add_model, list_models
from napari_deferredseg.widgets.plugin import contributions
from napari_deferredseg.widgets.viewer.orientation import Plane, show_3d, show_plane

IMAGES = Path(__file__).parent / "images"
TITLES = {"export": "Export", "run": "Run", "defer": "Defer", "worklist": "My worklist"}
SLICE = 30
"""In which boxes are drawn."""


def settle(seconds: float = 0.6) -> None:
    """Let the window draw what it has to."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(seconds * 1000))


def wait_for(condition) -> None:
    for _ in range(200):
        settle(0.1)
        if condition():
            return
    raise RuntimeError("the window did not get there in 20 s")


def describe_prompted(folder: Path) -> Path:
    """Write what a model that needs boxes says of itself, without weights: its panel asks for no more."""
    said = json.loads((list_models()[0].folder / "model.json").read_text(encoding="utf-8"))
    said["name"] = folder.name
    said["config"]["segmentor"] = {"kind": "sam"}
    said["config"]["data"] |= {"spacing_mm": None, "spatial_dims": 2, "patch": [64, 64]}
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def boxes(folder: Path, images: Path) -> None:
    """Draw boxes around what the first mask of the demo shows in one slice."""
    project, mask = open_project(folder), read_labels(folder / "ai_first.mha")
    model = add_model(project, describe_prompted(folder.parent / "sam-deferral"))
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 950)
    panel = contributions.RunDock(viewer)
    viewer.window.add_dock_widget(panel, name="Run", area="right")
    viewer.open(str(folder / "phantom.mha"), plugin="napari-deferredseg")
    panel.seat.session.set_project(project)
    panel.take_layers()
    panel.form.model.value = model
    settle()
    panel.draw_button.click()
    layer = viewer.layers["Boxes"]
    here = [box for box in boxes_of(mask.array) if box.z == SLICE]
    for box in here:
        panel.form.about.value = mask.table.name(box.label)
        (top, bottom), (left, right) = box.rows, box.columns
        corners = ((top, left), (top, right - 1), (bottom - 1, right - 1), (bottom - 1, left))
        layer.add_rectangles([[[SLICE, *corner] for corner in corners]])
    layer.selected_data = set()
    viewer.dims.set_current_step(0, SLICE)
    settle()
    viewer.window.screenshot(str(images / "boxes.png"), canvas_only=False, flash=False)
    viewer.close()


def main(images: Path) -> None:
    """Save the pictures of the docs."""
    images.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp()) / "demo"
    make_demo(folder)
    first_loop(folder, images)
    boxes(folder, images)
    QApplication.processEvents()


def unread(folder: Path) -> Project:
    """Make a project with the demo's readers, in which nothing has run yet."""
    with open_project(folder) as demo, init_project(folder.parent / "abdomen") as project:
        for reader in demo.store.readers():
            project.store.add_reader(reader)
    return open_project(folder.parent / "abdomen")


def first_loop(folder: Path, images: Path) -> None:
    """Walk through the demo and save what is on the screen."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 950)
    panels = {}
    for name, title in TITLES.items():
        panels[name] = getattr(contributions, f"{name.capitalize()}Dock")(viewer)
        viewer.window.add_dock_widget(panels[name], name=title, area="right", tabify=name != "export")
    seat = panels["worklist"].seat

    def shoot(name: str, panel: str) -> None:
        dock = panels[panel].parentWidget()
        dock.show()
        dock.raise_()
        settle()
        viewer.window.screenshot(str(images / f"{name}.png"), canvas_only=False, flash=False)

    seat.session.set_project(unread(folder))
    run = panels["run"]
    run.form.volume.value = folder / "phantom.mha"
    run.form.first.value = folder / "ai_first.mha"
    run.form.second.value = folder / "ai_second.mha"
    run.run()
    wait_for(lambda: seat.session.case is not None)
    show_plane(viewer, Plane.AXIAL)
    shoot("run", "run")

    seat.picture.look_at(seat.items[0])
    shoot("defer", "defer")

    seat.session.choose_reader("ben")
    seat.navigation.step(1)
    wait_for(lambda: seat.session.reading is not None)
    shoot("demo", "worklist")
    reading, layers = seat.session.reading, seat.layers
    center = layers.frame.to_view(np.round(reading.item.case.geometry.index(reading.item.region.center)).astype(int))
    layers.correction.brush_size = 17
    layers.correction.paint(tuple(int(i) for i in center), 0)
    shoot("worklist", "worklist")
    show_plane(viewer, Plane.CORONAL)
    shoot("coronal", "worklist")
    seat.answers.submit()
    settle()
    panels["export"].folder.value = folder / "corrected"
    panels["export"].export()
    wait_for(lambda: bool(panels["export"].result.text()))
    show_3d(viewer)
    shoot("export", "export")
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
