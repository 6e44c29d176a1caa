"""Buttons for planes and windows, and a reminder of what the hands can do."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QGridLayout, QMenu, QPushButton, QWhatsThis, QWidget

from napari_deferredseg.core.version import __version__
from napari_deferredseg.usecases.settings import CHOOSE, read_settings
from napari_deferredseg.widgets.panels.show_log import show_log
from napari_deferredseg.widgets.qt.fields import QuietComboBox
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.seat.keys import SHORTCUTS
from napari_deferredseg.widgets.viewer.hands import image_to_window
from napari_deferredseg.widgets.viewer.orientation import Plane, plane_shown, show_3d, show_plane
from napari_deferredseg.widgets.viewer.window_level import OTHERS, apply_window

if TYPE_CHECKING:
    from napari_deferredseg.widgets.seat.seat import Seat

ABOUT = f"DeferredSeg {__version__}: research software, not a medical device."
HANDS = {"wheel": "slice", "Ctrl+wheel": "zoom", "right drag": "window and level"}


class ViewBar(QWidget):
    """Planes, 3-D and window presets."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat, self._viewer = seat, seat.viewer
        self.planes = {plane: QPushButton(plane.name.capitalize()) for plane in Plane}
        self.three = QPushButton("3-D")
        self.window_presets = QuietComboBox()
        self.window_presets.addItems([CHOOSE, *read_settings().windows, *OTHERS])
        self.help = QPushButton("Help ?")
        self.help.setToolTip(what_hands_do())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, button in enumerate((*self.planes.values(), self.three)):
            button.setCheckable(True)
            button.setMinimumWidth(40)
            grid.addWidget(button, 0, column)
        grid.addWidget(self.window_presets, 1, 0, 1, 3)
        grid.addWidget(self.help, 1, 3)
        for plane, button in self.planes.items():
            button.clicked.connect(partial(self._show, plane))
        self.three.clicked.connect(lambda: self._show(None))
        self.window_presets.textActivated.connect(self._apply)
        menu = QMenu(self.help)
        menu.addAction("Mouse and keys", self._explain)
        menu.addAction("Show log", lambda: show_log(seat.events.message.emit))
        self.help.setMenu(menu)
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

    def _explain(self) -> None:
        QWhatsThis.showText(self.help.mapToGlobal(QPoint(0, 0)), what_hands_do(), self.help)

    def _apply(self, preset: str) -> None:
        image = image_to_window(self._viewer)
        if preset != CHOOSE and image is not None:
            self._seat.attempt(lambda: apply_window(image, preset))  # the settings may have it no more
        self.window_presets.setCurrentIndex(0)


def what_hands_do() -> str:
    """List what mouse and keys do, as a table in HTML, and what this program is."""
    does = HANDS | {shortcut.key: shortcut.does for shortcut in SHORTCUTS.values()}
    rows = [f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>" for key, what in does.items()]
    return f"<table>{''.join(rows)}</table><p>{ABOUT}</p>"
