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
"""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume

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

    def drag(self, viewer, pixels, button=LEFT, modifiers=NO_KEY) -> None:
        """Press at the first pixel, move over the others, release at the last."""
        self.move_to(viewer, pixels[0])
        self._send(viewer, QEvent.Type.MouseButtonPress, pixels[0], button, button, modifiers)
        for pixel in pixels[1:]:
            self._send(viewer, QEvent.Type.MouseMove, pixel, NONE, button, modifiers)
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
        native = self.native(viewer)
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
def open_stage(make_napari_viewer_proxy, qtbot):
    """Make a shown viewer with our panels, which see it as napari shows it to a plugin: its public side only.

    Returns the viewer itself, for the mouse, and a dictionary of the panels by name.
    """

    def opened(width: int = 1100, height: int = 800):
        from napari_deferredseg.widgets import contributions

        proxy = make_napari_viewer_proxy(show=True)
        viewer = proxy.__wrapped__
        viewer.window.resize(width, height)
        makers = {
            "export": contributions.make_export,
            "defer": contributions.make_defer,
            "run": contributions.make_run,
            "worklist": contributions.make_worklist,
        }
        panels = {}
        for name, make in makers.items():
            panels[name] = make(proxy)
            viewer.window.add_dock_widget(panels[name], name=name, area="right", tabify=True)
        qtbot.wait(50)
        return viewer, panels

    return opened


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
