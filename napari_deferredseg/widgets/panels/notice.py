"""The line for messages that every panel has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QSizePolicy

from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import PlainLabel

if TYPE_CHECKING:
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.seat import Seat


class Notice(PlainLabel):
    """The last message, on orange when something is wrong."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._doing = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setMinimumHeight(5 * self.fontMetrics().lineSpacing() // 2)
        listen(self, seat.events.message, self.say)
        listen(self, seat.events.problem, self.warn)
        listen(self, seat.events.busy, self.follow)
        listen(self, seat.session.events.project, self.settle)
        listen(self, seat.session.events.reading, lambda: self._go_on(seat.session))
        listen(self, seat.session.events.reader, lambda: self.say(""))

    def minimumSizeHint(self) -> QSize:
        """A long line wraps instead of widening the dock."""
        return QSize(120, super().minimumSizeHint().height())

    def say(self, text: str) -> None:
        """Show something good or neutral."""
        self._show(text, "")

    def warn(self, text: str) -> None:
        """Show what is wrong."""
        self._show(text, "background: #ffb454; color: #1b1b1b; border-radius: 3px; padding: 3px;")

    def follow(self, doing: str) -> None:
        """Show what is going on; when that ends, leave what else was said since."""
        if doing:
            self.say(doing)
        elif self.text() == self._doing:
            self.say("")
        self._doing = doing

    def _go_on(self, session: Session) -> None:
        if session.reading is not None:  # else the warning may say why there is none
            self.settle()

    def settle(self) -> None:
        """Take back a warning once the work goes on."""
        if self.styleSheet():
            self.say("")

    def _show(self, text: str, style: str) -> None:
        if style != self.styleSheet():
            self.setStyleSheet(style)
        self.setText(text)
