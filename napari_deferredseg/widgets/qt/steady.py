"""A place in a panel that does not move when another text is shown in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent


class Steady(QWidget):
    """Holds one widget, in a height that only grows as long as the width stays.

    A new text in a label makes Qt lay out everything around it, up to the window, and draw the window once more for
    each level, while a reader waits for the next region. The window itself never grows for a text.
    """

    def __init__(self, held: QWidget) -> None:
        super().__init__()
        self._held = held
        self._height = 0
        held.setParent(self)
        policy = QSizePolicy(held.sizePolicy().horizontalPolicy(), QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def sizeHint(self) -> QSize:
        """As wide as the widget would like, as high as it had to be since the width changed."""
        return QSize(self._held.sizeHint().width(), self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """What the widget itself asks for, so that a long text takes room from the list and not from the screen."""
        least = self._held.minimumSizeHint()
        height = least.height() if self._held.hasHeightForWidth() else self._held.sizeHint().height()
        return QSize(least.width(), max(height, self._held.minimumHeight()))

    def hasHeightForWidth(self) -> bool:
        """A narrow text is a high one."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height for a width, in pixels."""
        return max(self._wanted(width), self._height if width == self.width() else 0)

    def event(self, event: QEvent) -> bool:
        """Ask for more room when the widget has become too high for its place."""
        if event.type() == QEvent.Type.LayoutRequest:
            wanted = self._wanted(self.width())
            if wanted > self._height:
                self._height = wanted
                self.updateGeometry()
        return bool(super().event(event))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill this place; another width may need another height."""
        self._held.setGeometry(self.rect())
        if event.size().width() != event.oldSize().width():
            self._height = self._wanted(event.size().width())

    def _wanted(self, width: int) -> int:
        held = self._held
        height = held.heightForWidth(width) if held.hasHeightForWidth() else held.sizeHint().height()
        return max(height, held.minimumHeight())
