"""What the docked widgets share: the seat, a line for messages, the bar that names the project, good manners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QVBoxLayout, QWidget

from napari_deferredseg.widgets.panels.notice import Notice
from napari_deferredseg.widgets.panels.project_bar import ProjectBar
from napari_deferredseg.widgets.qt.fields import is_field, leave_keys_to_viewer
from napari_deferredseg.widgets.qt.scroll import ScrollArea
from napari_deferredseg.widgets.qt.steady import Steady

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent

    from napari_deferredseg.widgets.seat.seat import Seat

COMMANDS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
"""Keys held with one of these are meant for the program, not for a field."""


class Panel(QWidget):
    """A docked widget of ours. Its parts listen to the session and hold no facts."""

    TITLE = ""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.seat = seat
        self.session = seat.session
        self._docked = False
        self._token = token = object()
        held = QWidget()
        self.body = QVBoxLayout(held)
        self.body.setSpacing(4)
        self.body.setContentsMargins(6, 6, 6, 6)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollArea(held))
        self.project_bar = ProjectBar(seat)
        self.notice = Notice(seat)
        self.body.addWidget(self.project_bar)
        seat.adopt(token)
        self.destroyed.connect(lambda: seat.lose(token))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keep what is typed in a field from the picture, where it would accept or skip a region.

        Fields pass on what they have no use for: a number a letter, a line of text the Enter key.
        """
        if is_field(self.window().focusWidget()) and not event.modifiers() & COMMANDS:
            event.accept()
        else:
            super().keyPressEvent(event)

    def finish_layout(self) -> None:
        """Put the line for messages at the bottom."""
        self.body.addWidget(Steady(self.notice))
        self.body.addStretch(1)
        leave_keys_to_viewer(self)

    def event(self, event: QEvent) -> bool:
        """The dock was closed when the widget loses the parent it had."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
                QTimer.singleShot(0, self._join_others)
            elif self._docked:
                self._docked = False
                self.seat.release(self._token)
                self.deleteLater()
        return bool(super().event(event))

    def _join_others(self) -> None:
        """Become a tab beside our other panels: one below the other they would be too small to use."""
        dock = self.parentWidget()
        window = dock.parentWidget() if dock is not None else None
        if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow):
            return
        dock.setWindowTitle(self.TITLE)  # napari's, with the plugin's name behind it, is cut off on a tab
        others = [x for x in window.findChildren(QDockWidget) if x is not dock and isinstance(x.widget(), Panel)]
        if others and dock not in window.tabifiedDockWidgets(others[-1]):
            window.tabifyDockWidget(others[-1], dock)
        # What was just opened is what is to be seen; a new tab can be raised once Qt has laid it out.
        soon = QTimer(dock)  # goes with the dock
        soon.setSingleShot(True)
        soon.timeout.connect(dock.raise_)
        soon.start(0)
