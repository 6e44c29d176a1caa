"""What the docked widgets share: the stage, a line for messages, the bar that names the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.widgets.settings import last_project, remember_project

if TYPE_CHECKING:
    from napari_deferredseg.widgets.stage import Stage


class Panel(QWidget):
    """A docked widget of ours. Its parts listen to the session and hold no facts."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.session = stage.session
        self._docked = False
        self._token = token = object()
        self.body = QVBoxLayout(self)
        self.body.setSpacing(6)
        self.project_bar = ProjectBar(stage)
        self.notice = Notice(stage)
        self.body.addWidget(self.project_bar)
        self.setMinimumWidth(300)
        stage.adopt(token)
        self.destroyed.connect(lambda: stage.lose(token))

    def finish_layout(self) -> None:
        """Put the line for messages at the bottom."""
        self.body.addWidget(self.notice)
        self.body.addStretch(1)

    def event(self, event: QEvent) -> bool:
        """The dock was closed when the widget loses the parent it had."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._docked = False
                self.stage.release(self._token)
        return bool(super().event(event))


class Notice(QLabel):
    """The last message, orange when something is wrong. It takes room only while it says something."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        stage.events.message.connect(self.say)
        stage.events.problem.connect(self.warn)
        stage.events.busy.connect(self.say)

    def minimumSizeHint(self) -> QSize:
        """A long line wraps instead of widening the dock."""
        return QSize(120, super().minimumSizeHint().height())

    def say(self, text: str) -> None:
        """Show something good or neutral."""
        self._show(text, "")

    def warn(self, text: str) -> None:
        """Show what is wrong."""
        self._show(text, "color: #ffb454;")

    def _show(self, text: str, style: str) -> None:
        self.setStyleSheet(style)
        self.setText(text)


class ProjectBar(QWidget):
    """Name of the open project, and buttons to open one or make one."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.name = QLabel()
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open ...")
        self.open_button.setToolTip("Open a project folder")
        self.new_button = QPushButton("New ...")
        self.new_button.setToolTip("Make a project in a new, empty folder on a local disk")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.name, 1)
        row.addWidget(self.open_button)
        row.addWidget(self.new_button)
        self.open_button.clicked.connect(self._ask_open)
        self.new_button.clicked.connect(self._ask_new)
        stage.session.events.project.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show which project is open."""
        project = self._stage.session.project
        self.name.setText("No project open" if project is None else f"Project <b>{project.info.name}</b>")
        self.name.setToolTip("" if project is None else str(project.folder))

    def open_folder(self, folder: Path) -> None:
        """Open a project folder; a problem becomes a line in the panel."""
        if self._stage.attempt(lambda: self._stage.open_project(folder)):
            remember_project(folder)

    def make_folder(self, folder: Path) -> None:
        """Make a project in a new folder and open it."""
        if self._stage.attempt(lambda: init_project(folder).close()):
            self.open_folder(folder)

    def _ask_open(self) -> None:
        start = last_project()
        chosen = QFileDialog.getExistingDirectory(self, "Open a project folder", str(start.parent if start else ""))
        if chosen:
            self.open_folder(Path(chosen))

    def _ask_new(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose a new, empty folder for the project")
        if chosen:
            self.make_folder(Path(chosen))
