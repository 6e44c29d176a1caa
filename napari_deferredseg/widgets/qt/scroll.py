"""Room for a panel on a low screen."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

LEAST_WIDTH = 300


class ScrollArea(QScrollArea):
    """Room for a panel on a low screen, which would squeeze its buttons otherwise; as wide as the panel must be."""

    def __init__(self, held: QWidget) -> None:
        super().__init__()
        self._held = held
        self._width = 0
        self.setWidget(held)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def sizeHint(self) -> QSize:
        """No wider than it must be: the picture needs the room."""
        return QSize(self.minimumSizeHint().width(), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Wide enough for the panel beside the scroll bar."""
        wide = self._held.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(max(LEAST_WIDTH, wide), super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The panel may have become wider."""
        if event.type() == QEvent.Type.LayoutRequest and self.minimumSizeHint().width() != self._width:
            self._width = self.minimumSizeHint().width()
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
