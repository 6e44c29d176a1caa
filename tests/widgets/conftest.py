"""A real viewer on a real canvas, and a hand on the mouse.

`open_viewer` makes a shown napari viewer; `mouse` moves, clicks, strokes, drags and scrolls on its canvas with the
events that Qt sends for a person's hand. `make_volume` and `any_volume` give volumes for it::

    def test_a_stroke(open_viewer, mouse):
        viewer = open_viewer()
        add_volume(viewer, volume)
        show_plane(viewer, Plane.AXIAL)
        layer = viewer.add_labels(...)
        layer.mode = "paint"
        mouse.stroke(viewer, layer, [(3, 10, 10), (3, 10, 20)])

Voxels are indices of the layer's data; they must lie in the slice on the screen and on the canvas, otherwise the
mouse raises, since a person could not have reached them.

`desk` is a reader's place: the small scene of tests/conftest.py as a project, our panels docked, and hands that choose
names, open regions, paint, press and hold keys.
"""

from __future__ import annotations

import gc
from importlib import import_module

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.widgets.seat.seat import LATER_MS

DIRECTIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "flipped": np.diag([-1, -1, 1]),
    "mirrored": np.diag([-1, 1, 1]),
    "oblique 5": Rotation.from_euler("xy", (5, 5), degrees=True).as_matrix(),
    "oblique 15": Rotation.from_euler("xz", (15, -15), degrees=True).as_matrix(),
}


def _volume(kind: str = "axial", *, known: bool = True, modality: str = "CT") -> Volume:
    """Volume of noise, acquired in one of `DIRECTIONS`, with a different size and spacing along every axis."""
    shape = (24, 30, 36)
    geometry = Geometry(
        shape=shape,
        spacing=(1.1, 1.4, 2.5),
        origin=(-60.0, 35.0, 120.0),
        direction=tuple(tuple(float(v) for v in row) for row in DIRECTIONS[kind]),
        orientation_known=known,
    )
    array = np.random.default_rng(7).integers(-1000, 1500, shape, dtype=np.int16)
    return Volume(array, geometry, f"{kind}.nii.gz", modality=modality)


LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.MouseButton.NoButton
NO_KEY = Qt.KeyboardModifier.NoModifier
BETWEEN_MOVES_MS = 8  # napari takes at most one move in 5 ms


class Mouse:
    """Sends mouse events to the canvas of a shown viewer."""

    def __init__(self, qtbot) -> None:
        self._qtbot = qtbot

    def native(self, viewer):
        """Qt widget of the canvas."""
        return viewer.window._qt_viewer.canvas.native

    def pixel(self, viewer, layer, voxel) -> tuple[float, float]:
        """Canvas pixel (x, y) in the middle of a voxel of the layer's data that is on the screen."""
        QApplication.processEvents()
        canvas = viewer.window._qt_viewer.canvas
        world = np.asarray(layer.data_to_world(voxel), float)
        for axis in viewer.dims.not_displayed:
            shown = layer.world_to_data(viewer.dims.point)[axis]
            assert round(float(shown)) == voxel[axis], f"slice {shown} of axis {axis} is shown, not {voxel[axis]}"
        place = world[list(viewer.dims.displayed)][::-1]
        transform = canvas.view.transform * canvas.view.scene.transform
        x, y = (float(v) for v in transform.map(list(place))[:2])
        height, width = canvas.size
        assert 0 <= x < width, f"voxel {voxel} is off the canvas"
        assert 0 <= y < height, f"voxel {voxel} is off the canvas"
        return x, y

    def rest(self) -> None:
        """Do nothing while the window draws and lays itself out."""
        self._qtbot.wait(20)

    def move_to(self, viewer, pixel) -> None:
        """Move without a button."""
        self._send(viewer, QEvent.Type.MouseMove, pixel, NONE, NONE)

    def hover(self, viewer, layer, voxel) -> None:
        """Move to a voxel without a button."""
        self.move_to(viewer, self.pixel(viewer, layer, voxel))

    def drag(self, viewer, pixels, button=LEFT, modifiers=NO_KEY, pause_ms=0) -> None:
        """Press at the first pixel, move over the others, release at the last; pause after each for slow layers."""
        self.move_to(viewer, pixels[0])
        self._qtbot.wait(pause_ms)
        self._send(viewer, QEvent.Type.MouseButtonPress, pixels[0], button, button, modifiers)
        self._qtbot.wait(pause_ms)
        for pixel in pixels[1:]:
            self._send(viewer, QEvent.Type.MouseMove, pixel, NONE, button, modifiers)
            self._qtbot.wait(pause_ms)
        self._send(viewer, QEvent.Type.MouseButtonRelease, pixels[-1], button, NONE, modifiers)

    def stroke(self, viewer, layer, voxels, button=LEFT) -> None:
        """Press at the first voxel, move over the others, release at the last."""
        self.drag(viewer, [self.pixel(viewer, layer, v) for v in voxels], button)

    def click(self, viewer, layer, voxel, button=LEFT) -> None:
        """Press and release at a voxel."""
        self.stroke(viewer, layer, [voxel], button)

    def double_click(self, viewer, layer, voxel) -> None:
        """Double click at a voxel, as Qt reports it: press, release, double click, release."""
        pixel = self.pixel(viewer, layer, voxel)
        self.drag(viewer, [pixel])
        self._send(viewer, QEvent.Type.MouseButtonDblClick, pixel, LEFT, LEFT)
        self._send(viewer, QEvent.Type.MouseButtonRelease, pixel, LEFT, NONE)

    def wheel(self, viewer, notches: float, pixel=None, modifiers=NO_KEY) -> None:
        """Turn the wheel; positive is away from the hand. At the middle of the canvas unless a pixel is given."""
        self.wheel_on(self.native(viewer), notches, pixel, modifiers)

    def wheel_on(self, native, notches: float, pixel=None, modifiers=NO_KEY) -> None:
        """Turn the wheel above any Qt widget."""
        where = QPointF(*(pixel or (native.width() / 2, native.height() / 2)))
        event = QWheelEvent(
            where,
            QPointF(native.mapToGlobal(where.toPoint())),
            QPoint(0, 0),
            QPoint(0, round(120 * notches)),
            NONE,
            modifiers,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(native, event)
        self._qtbot.wait(BETWEEN_MOVES_MS)

    def _send(self, viewer, kind, pixel, button, buttons, modifiers=NO_KEY) -> None:
        native = self.native(viewer)
        where = QPointF(*pixel)
        event = QMouseEvent(kind, where, QPointF(native.mapToGlobal(where.toPoint())), button, buttons, modifiers)
        QApplication.sendEvent(native, event)
        self._qtbot.wait(BETWEEN_MOVES_MS)


@pytest.fixture(scope="session", autouse=True)
def quick_collections(qapp):
    """napari collects garbage for every layer that goes: let it look at the viewer only, not at every module."""
    import_module("napari.window")
    import_module("napari_deferredseg.widgets.plugin.contributions")
    gc.collect()
    gc.freeze()


@pytest.fixture
def mouse(qtbot) -> Mouse:
    """A hand on the mouse."""
    return Mouse(qtbot)


@pytest.fixture
def open_viewer(make_napari_viewer, qtbot):
    """Make a napari viewer that is shown on the screen."""

    def opened(width: int = 800, height: int = 650):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(width, height)
        qtbot.wait(50)
        return viewer

    return opened


@pytest.fixture
def open_seat(make_napari_viewer_proxy, qtbot):
    """Make a shown viewer with our panels, which see it as napari shows it to a plugin: its public side only.

    Returns the viewer itself, for the mouse, and a dictionary of the panels by name.
    """

    def opened(width: int = 1100, height: int = 800):
        from napari_deferredseg.widgets.plugin import contributions

        proxy = make_napari_viewer_proxy(show=True)
        viewer = proxy.__wrapped__
        viewer.window.resize(width, height)
        makers = {
            "export": contributions.ExportDock,
            "defer": contributions.DeferDock,
            "run": contributions.RunDock,
            "worklist": contributions.WorklistDock,
        }
        panels = {}
        for name, make in makers.items():
            panels[name] = make(proxy)
            viewer.window.add_dock_widget(panels[name], name=name, area="right", tabify=True)
        qtbot.wait(50)
        return viewer, panels

    return opened


class Desk:
    """A reader at the screen. Regions 1 to 3 are Ada's, 4 is for Ada's and Ben's group, 5 is Ben's."""

    def __init__(self, viewer, panels, mouse, qtbot, scene) -> None:
        self.viewer, self.panels, self.mouse, self.qtbot, self.scene = viewer, panels, mouse, qtbot, scene
        self.worklist = panels["worklist"]
        self.seat, self.session = self.worklist.seat, self.worklist.session

    @property
    def store(self):
        """Store of the open project."""
        return self.session.project.store

    @property
    def notice(self) -> str:
        """Last line that the worklist shows."""
        return self.worklist.notice.text()

    @property
    def number(self) -> int | None:
        """Number of the open region."""
        return self.session.reading.item.region.number if self.session.reading else None

    @property
    def correction(self):
        """The layer to paint on."""
        return self.seat.layers.correction

    def wait(self, condition) -> None:
        """Wait until something is so."""
        self.qtbot.waitUntil(condition, timeout=20_000)

    def settle(self) -> None:
        """Let the lists catch up, which they do a moment after a region was opened."""
        self.qtbot.wait(LATER_MS + 20)

    def open_project(self, folder=None) -> None:
        """Open the scene's project, or another one."""
        self.worklist.project_bar.open_folder(folder or self.scene.folder)

    def say_who(self, login: str) -> None:
        """Choose a name, as a person does; the first case of the worklist opens."""
        index = self.worklist.who.findData(login)
        self.worklist.who.setCurrentIndex(index)
        self.worklist.who.activated.emit(index)

    def sit_down(self, login: str = "ada"):
        """Open the project, choose a name, wait for the case."""
        self.open_project()
        self.say_who(login)
        self.wait(lambda: self.session.case is not None)
        return self

    def open_row(self, number: int) -> None:
        """Click a region in the list, once it is up to date."""
        self.settle()
        cells = [self.worklist.table.item(row, 1).text() for row in range(self.worklist.table.rowCount())]
        row = cells.index(str(number))
        table = self.worklist.table
        middle = table.visualItemRect(table.item(row, 2)).center()
        self.qtbot.mouseClick(table.viewport(), LEFT, pos=middle)

    def click(self, button) -> None:
        """Click a button."""
        assert button.isEnabled()
        self.qtbot.mouseClick(button, LEFT)

    def key(self, key, modifiers=NO_KEY, widget=None) -> None:
        """Press and release a key on a widget; on the canvas unless told."""
        self.qtbot.keyClick(widget or self.mouse.native(self.viewer), key, modifiers)

    def voxel(self, down: int = 0, right: int = 0) -> tuple[int, int, int]:
        """View index beside the middle of the open region, in the slice on the screen."""
        region, frame = self.session.reading.item.region, self.seat.layers.frame
        center = np.round(self.session.case.record.geometry.index(region.center)).astype(int)
        place = [int(i) for i in frame.to_view(center)]
        for axis, step in zip(self.viewer.dims.displayed[-2:], (down, right), strict=True):
            place[axis] += step
        return tuple(place)

    def paint(self, label: int = 7, down: int = 0, right: int = 0) -> None:
        """Click with the brush, beside the middle of the open region."""
        self.seat.tools.pick(label)
        self.mouse.click(self.viewer, self.correction, self.voxel(down, right))

    def drafts(self, login: str = "ada") -> list:
        """Everything of a reader's in the journal, read by another process, as it were."""
        with self.scene.open() as project:
            return project.journal.drafts(login)


@pytest.fixture
def desk(open_seat, mouse, qtbot, scene) -> Desk:
    """A place to read at; nobody has sat down yet."""
    with scene.open() as project:
        for item in project.store.items():
            number = item.region.number
            reader, group = (None, "abdomen") if number == 4 else ("ada" if number < 4 else "ben", None)
            project.store.assign(item.region.id, reader=reader, group=group, by="test")
    viewer, panels = open_seat(900, 720)
    return Desk(viewer, panels, mouse, qtbot, scene)


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory, monkeypatch):
    """Preferences of this test alone: those of whoever runs it stay as they are."""
    monkeypatch.setattr("napari.settings._CFG_PATH", str(tmp_path_factory.mktemp("preferences") / "settings.yaml"))
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})


@pytest.fixture(params=DIRECTIONS)
def any_volume(request) -> Volume:
    """A volume of every kind of acquisition, one after the other."""
    return _volume(request.param)


@pytest.fixture
def make_volume():
    """Make a volume of noise: ``make_volume("oblique 15", known=False, modality="MR")``."""
    return _volume


@pytest.fixture
def make_viewer_model():
    """Make a viewer without a window, for what needs no canvas."""
    return ViewerModel
