"""Buttons for planes and windows, and a reminder of what the hands can do."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_deferredseg.widgets.hands import image_to_window
from napari_deferredseg.widgets.orientation import Plane, plane_shown, show_3d, show_plane
from napari_deferredseg.widgets.panel import Choice, listen
from napari_deferredseg.widgets.windows import PRESETS, apply_window

if TYPE_CHECKING:
    from napari_deferredseg.widgets.stage import Stage

HELP = (
    "<small>Wheel: slice. Ctrl+wheel: zoom. Right drag: window. "
    "Hold H: bare image. Q: next plane. Ctrl+Z: undo.</small>"
)
WINDOW = "Window ..."


class ViewBar(QWidget):
    """Planes, 3-D and window presets."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._viewer = stage.viewer
        self.planes = {plane: QPushButton(plane.name.capitalize()) for plane in Plane}
        self.three = QPushButton("3-D")
        self.window_presets = Choice()
        self.window_presets.addItems([WINDOW, *PRESETS])
        help_line = QLabel(HELP)
        help_line.setWordWrap(True)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, button in enumerate((*self.planes.values(), self.three)):
            button.setCheckable(True)
            button.setMinimumWidth(40)
            grid.addWidget(button, 0, column)
        grid.addWidget(self.window_presets, 1, 0, 1, 4)
        grid.addWidget(help_line, 2, 0, 1, 4)
        for plane, button in self.planes.items():
            button.clicked.connect(partial(self._show, plane))
        self.three.clicked.connect(lambda: self._show(None))
        self.window_presets.textActivated.connect(self._apply)
        for emitter in (self._viewer.dims.events.order, self._viewer.dims.events.ndisplay):
            listen(self, emitter, self.refresh)
        listen(self, self._viewer.scene.camera.events.orientation, self.refresh)
        self.refresh()

    def refresh(self, event: object = None) -> None:
        """Mark what is on the screen."""
        shown = plane_shown(self._viewer)
        for plane, button in self.planes.items():
            button.setChecked(plane is shown)
        self.three.setChecked(self._viewer.dims.ndisplay == 3)

    def _show(self, plane: Plane | None, checked: bool = True) -> None:
        if plane is None:
            with warnings.catch_warnings():
                # napari would tell the reader that outlines are filled in 3-D, in a box over the picture
                warnings.simplefilter("ignore", UserWarning)
                show_3d(self._viewer)
        else:
            show_plane(self._viewer, plane)
        self.refresh()

    def _apply(self, preset: str) -> None:
        image = image_to_window(self._viewer)
        if preset != WINDOW and image is not None:
            apply_window(image, preset)
        self.window_presets.setCurrentIndex(0)
