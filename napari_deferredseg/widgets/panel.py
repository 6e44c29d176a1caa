"""What the docked widgets share: the stage, a line for messages, the bar that names the project, good manners."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.plain import PlainLabel, RichLabel, as_tip, escaped
from napari_deferredseg.widgets.preferences import show_settings
from napari_deferredseg.widgets.settings import last_project, remember_project
from napari_deferredseg.widgets.steady import Steady

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QKeyEvent, QWheelEvent

    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.stage import Stage


LINK = "color: #8ab4f8"
"""Style of a link: Qt's own blue cannot be read on napari's dark ground."""


LEAST_WIDTH = 300
COMMANDS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
"""Keys held with one of these are meant for the program, not for a field."""


class Panel(QWidget):
    """A docked widget of ours. Its parts listen to the session and hold no facts."""

    TITLE = ""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.session = stage.session
        self._docked = False
        self._token = token = object()
        held = QWidget()
        self.body = QVBoxLayout(held)
        self.body.setSpacing(4)
        self.body.setContentsMargins(6, 6, 6, 6)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollArea(held))
        self.project_bar = ProjectBar(stage)
        self.notice = Notice(stage)
        self.body.addWidget(self.project_bar)
        read_settings(tell=self.notice.warn)
        stage.adopt(token)
        self.destroyed.connect(lambda: stage.lose(token))

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
                self.stage.release(self._token)
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


class WheelGuard(QObject):
    """Keeps the wheel from widgets that do not have the focus: it scrolls what they lie on."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's own change what is chosen when the wheel turns above them."""
        if event.type() != QEvent.Type.Wheel or (isinstance(watched, QWidget) and watched.hasFocus()):
            return False
        event.ignore()
        return True


def listen(widget: QWidget, emitter: Any, slot: Callable[..., Any]) -> None:
    """Connect a slot to a signal that outlives the widget; the connection ends with the widget."""
    emitter.connect(slot)
    widget.destroyed.connect(lambda: emitter.disconnect(slot))


def is_field(widget: QWidget | None) -> bool:
    """Whether a widget takes what is typed."""
    if isinstance(widget, QComboBox):
        return bool(widget.isEditable())
    return isinstance(widget, (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox))


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


def swatch(color: str) -> QIcon:
    """Small square of a colour (#rrggbb), to stand before a name."""
    square = QPixmap(12, 12)
    square.fill(QColor(color))
    return QIcon(square)


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


class Notice(PlainLabel):
    """The last message, on orange when something is wrong."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._doing = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setMinimumHeight(5 * self.fontMetrics().lineSpacing() // 2)
        listen(self, stage.events.message, self.say)
        listen(self, stage.events.problem, self.warn)
        listen(self, stage.events.busy, self.follow)
        listen(self, stage.session.events.project, self.settle)
        listen(self, stage.session.events.reading, lambda: self._go_on(stage.session))
        listen(self, stage.session.events.reader, lambda: self.say(""))

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


class ProjectBar(QWidget):
    """Name of the open project, and buttons to open one or make one."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.name = RichLabel()
        self.name.setWordWrap(False)
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open ...")
        self.open_button.setToolTip("Open a project folder")
        self.new_button = QPushButton("New ...")
        self.new_button.setToolTip("Make a project in a new, empty folder on a local disk")
        self.settings_button = QPushButton("\N{GEAR}")
        self.settings_button.setToolTip("Settings: budget, windows, colours, folders")
        self.settings_button.setAccessibleName("Settings")
        self.settings_button.setFixedWidth(30)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.name, 1)
        for button in (self.open_button, self.new_button, self.settings_button):
            row.addWidget(button)
        self.open_button.clicked.connect(self._ask_open)
        self.new_button.clicked.connect(self._ask_new)
        self.settings_button.clicked.connect(lambda: show_settings(self, stage.events.message.emit))
        listen(self, stage.session.events.project, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show which project is open."""
        project = self._stage.session.project
        self.name.setText("No project open" if project is None else f"Project <b>{escaped(project.info.name)}</b>")
        self.name.setToolTip("" if project is None else as_tip(str(project.folder)))

    def open_folder(self, folder: Path) -> None:
        """Open a project folder; a problem becomes a line in the panel."""
        if self._stage.attempt(lambda: self._stage.open_project(folder)):
            remember_project(folder)

    def make_folder(self, folder: Path) -> None:
        """Make a project in a new folder and open it."""
        if self._stage.attempt(lambda: init_project(folder).close()):
            self.open_folder(folder)

    def _ask_open(self) -> None:
        start = read_settings().folder_of_projects(last_project())
        chosen = QFileDialog.getExistingDirectory(self, "Open a project folder", start)
        if chosen:
            self.open_folder(Path(chosen))

    def _ask_new(self) -> None:
        start = read_settings().folder_of_projects(None)
        chosen = QFileDialog.getExistingDirectory(self, "Choose a new, empty folder for the project", start)
        if chosen:
            self.make_folder(Path(chosen))
