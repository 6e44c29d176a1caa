"""The bar that names the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.readers import first_admin
from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.panels.preferences import show_settings
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import RichLabel, as_tip, escaped
from napari_deferredseg.widgets.seat.settings import last_project, remember_project

if TYPE_CHECKING:
    from napari_deferredseg.widgets.seat.seat import Seat


class ProjectBar(QWidget):
    """Name of the open project, and buttons to open one or make one."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat
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
        self.settings_button.clicked.connect(lambda: show_settings(self, self._on_settings))
        listen(self, seat.session.events.project, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show which project is open."""
        project = self._seat.session.project
        self.name.setText("No project open" if project is None else f"Project <b>{escaped(project.info.name)}</b>")
        self.name.setToolTip("" if project is None else as_tip(str(project.folder)))

    def _on_settings(self, line: str) -> None:
        lost = self._seat.session.readers_changed()  # whose colours may be others now
        self._seat.events.message.emit(f"{line} {lost}".strip())

    def open_folder(self, folder: Path) -> None:
        """Open a project folder; a problem becomes a line in the panel."""
        if self._seat.attempt(lambda: self._seat.open_project(folder)):
            remember_project(folder)

    def make_folder(self, folder: Path) -> None:
        """Make a project in a new folder and open it."""
        admin = first_admin()
        if self._seat.attempt(lambda: init_project(folder, admin=admin.reader).close()):
            self.open_folder(folder)
            self._seat.attempt(lambda: self._seat.session.choose_reader(admin.reader.login))
            self._seat.events.message.emit(f"Made project {folder.name}. {admin}.")

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
