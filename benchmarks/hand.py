"""A hand on the mouse and keys of a napari window: the events that Qt sends for a person's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_deferredseg.core.geometry import Shape

    Pixel = tuple[float, float]

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
BETWEEN_MOVES_MS = 8
"""napari takes at most one move in 5 ms."""


class Hand:
    """Presses, moves and releases over voxels of a layer that are on the screen."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas

    @property
    def native(self) -> QWidget:
        """Qt widget of the canvas."""
        return self._canvas.native

    def begin(self, layer: Labels, voxels: Sequence[Shape]) -> Pixel:
        """Press at the first voxel and move over the others; the pixel where the hand is now."""
        pixels = [self._pixel(layer, voxel) for voxel in voxels]
        self._send(QEvent.Type.MouseMove, pixels[0], NONE, NONE)
        self._send(QEvent.Type.MouseButtonPress, pixels[0], LEFT, LEFT)
        for pixel in pixels[1:]:
            self._send(QEvent.Type.MouseMove, pixel, NONE, LEFT)
        return pixels[-1]

    def release(self, pixel: Pixel) -> None:
        """Let the button go; returns as soon as the window has taken it."""
        self._event(QEvent.Type.MouseButtonRelease, pixel, LEFT, NONE)

    def press_key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self.native, key, modifier)

    def _pixel(self, layer: Labels, voxel: Shape) -> Pixel:
        world = np.asarray(layer.data_to_world(voxel), float)
        place = world[list(self._viewer.dims.displayed)][::-1]
        transform = self._canvas.view.transform * self._canvas.view.scene.transform
        x, y = (float(v) for v in transform.map(list(place))[:2])
        return x, y

    def _send(self, kind: QEvent.Type, pixel: Pixel, button: Qt.MouseButton, buttons: Qt.MouseButton) -> None:
        self._event(kind, pixel, button, buttons)
        QTest.qWait(BETWEEN_MOVES_MS)

    def _event(self, kind: QEvent.Type, pixel: Pixel, button: Qt.MouseButton, buttons: Qt.MouseButton) -> None:
        where = QPointF(*pixel)
        place = QPointF(self.native.mapToGlobal(where.toPoint()))
        modifiers = Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(self.native, QMouseEvent(kind, where, place, button, buttons, modifiers))
