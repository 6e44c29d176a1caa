"""Fields and choices that leave the wheel and the letters to the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent, QWheelEvent


def is_field(widget: QWidget | None) -> bool:
    """Whether a widget takes what is typed."""
    if isinstance(widget, QComboBox):
        return bool(widget.isEditable())
    return isinstance(widget, (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox))


class WheelGuard(QObject):
    """Keeps the wheel from widgets that do not have the focus: it scrolls what they lie on."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's own change what is chosen when the wheel turns above them."""
        if event.type() != QEvent.Type.Wheel or (isinstance(watched, QWidget) and watched.hasFocus()):
            return False
        event.ignore()
        return True


def leave_keys_to_viewer(panel: QWidget) -> None:
    """Let a click on a button or list leave the keys with the picture; Tab still reaches them.

    A button that a click gives the focus is pressed again by the next space bar. A number or choice that nobody is
    typing in leaves the wheel to the panel.
    """
    wheel = WheelGuard(panel)
    counts: tuple[type[QWidget], ...] = (QAbstractSpinBox, QComboBox, QAbstractSlider)
    for counted in (child for kind in counts for child in panel.findChildren(kind)):
        counted.installEventFilter(wheel)
        counted.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # Qt gives some the focus for a turn of the wheel
    for kind in (QAbstractButton, QComboBox):
        for widget in panel.findChildren(kind):
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)


class Choice(QComboBox):
    """A list to choose from that leaves the wheel and the letters to the picture.

    Qt's own changes what is chosen when the wheel turns above it or a letter is typed.
    """

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Nothing is chosen by the wheel."""
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Letters are the viewer's."""
        if event.text().strip():
            event.ignore()
        else:
            super().keyPressEvent(event)


class NoteField(QLineEdit):
    """A line to write in. Enter and Escape give the keys back to the picture."""

    def __init__(self, hint: str) -> None:
        super().__init__()
        self.setPlaceholderText(hint)
        self.setMaxLength(500)
        self.returnPressed.connect(self.clearFocus)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Stop writing with Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.clearFocus()
        else:
            super().keyPressEvent(event)
