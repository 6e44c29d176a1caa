"""The page of settings: what `usecases/settings.py` keeps for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.settings import Settings, check_settings, read_settings, save_settings, settings_file
from napari_deferredseg.widgets.qt.plain import PlainLabel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PROBLEM = "background: #ffb454; color: #1b1b1b; border-radius: 3px; padding: 3px;"
WHEN = "Windows show in the panels that are opened next."


class SettingsPage(QDialog):
    """Budget, window presets, colours of outlines, folders. What cannot be used is said, and the page stays open.

    Parameters
    ----------
    parent : QWidget
        Over which it opens.
    kept : function
        Called with one line when the settings were kept.
    """

    def __init__(self, parent: QWidget, kept: Callable[[str], object]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings of DeferredSeg")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._kept = kept
        self.budget = QLineEdit()
        self.budget.setToolTip("Such as 10%, 2% of voxels, 30 minutes or 20 regions")
        self.windows = WindowTable()
        self.outlines = ColorRow()
        self.projects, self.models = FolderField(), FolderField()
        self.problem = PlainLabel()
        self.problem.setWordWrap(True)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Save | kinds.Cancel | kinds.RestoreDefaults)
        self.buttons.button(kinds.Save).clicked.connect(self.save)
        self.buttons.button(kinds.RestoreDefaults).clicked.connect(lambda: self.show_values(Settings()))
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow("Budget", self.budget)
        form.addRow("Windows", self.windows)
        form.addRow("Outlines", self.outlines)
        form.addRow("Projects in", self.projects)
        form.addRow("Models in", self.models)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(PlainLabel(f"Kept in {settings_file()}. {WHEN}"))
        column.addWidget(self.problem)
        column.addWidget(self.buttons)
        self.resize(520, 460)
        self.show_values(read_settings(tell=self.warn))

    def show_values(self, settings: Settings) -> None:
        """Put settings into the fields."""
        self.budget.setText(settings.budget)
        self.windows.show_presets(settings.windows)
        self.outlines.show_colors(settings.outlines)
        self.projects.line.setText(str(settings.projects or ""))
        self.models.line.setText(str(settings.models or ""))

    def save(self) -> None:
        """Keep what the fields say and close; a line says what cannot be used."""
        folders = {"projects": self.projects.line.text().strip(), "models": self.models.line.text().strip()}
        try:
            values = {
                "budget": self.budget.text().strip(),
                "windows": self.windows.presets(),
                "outlines": self.outlines.colors,
                **{name: folder for name, folder in folders.items() if folder},
            }
            settings = check_settings(values)
            _check_folders({"Projects in": settings.projects, "Models in": settings.models})
            save_settings(settings)
        except InputError as error:
            self.warn(str(error))
            return
        self._kept(f"Settings kept. {WHEN}")
        self.accept()

    def warn(self, text: str) -> None:
        """Show what is wrong."""
        self.problem.setStyleSheet(PROBLEM)
        self.problem.setText(text)


def _check_folders(folders: Mapping[str, Path | None]) -> None:
    for name, folder in folders.items():
        if folder is not None and not folder.is_dir():
            raise InputError(f"{name}: there is no folder {folder}; choose another, or make it first")


def _number(value: float) -> str:
    """Text that gives the very number back."""
    return repr(int(value) if value == int(value) else value)


class WindowTable(QWidget):
    """Presets by name, level and width."""

    def __init__(self) -> None:
        super().__init__()
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Name", "Level", "Width"])
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.verticalHeader().hide()
        self.add_button, self.remove_button = QPushButton("Add"), QPushButton("Remove")
        self.add_button.clicked.connect(lambda: self.add())
        self.remove_button.clicked.connect(lambda: self.table.removeRow(self.table.currentRow()))
        row = QHBoxLayout()
        row.addWidget(self.add_button)
        row.addWidget(self.remove_button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addLayout(row)

    def show_presets(self, presets: Mapping[str, tuple[float, float]]) -> None:
        """List these presets in place of what is there."""
        self.table.setRowCount(0)
        for name, (level, width) in presets.items():
            self.add(name, _number(level), _number(width))
        self.table.resizeColumnsToContents()

    def add(self, name: str = "", level: str = "", width: str = "") -> None:
        """Add a row at the end."""
        number = self.table.rowCount()
        self.table.insertRow(number)
        for column, text in enumerate((name, level, width)):
            self.table.setItem(number, column, QTableWidgetItem(text))
        self.table.setCurrentCell(number, 0)

    def presets(self) -> dict[str, tuple[str, str]]:
        """Level and width of each preset, as typed; rows without any text are left out.

        Raises
        ------
        InputError
            Two have one name.
        """
        found: dict[str, tuple[str, str]] = {}
        for number in range(self.table.rowCount()):
            name, level, width = (self._text(number, column) for column in range(3))
            if name in found:
                raise InputError(f"two windows are called {name!r}; give one another name")
            if name or level or width:
                found[name] = (level, width)
        return found

    def _text(self, row: int, column: int) -> str:
        item = self.table.item(row, column)
        return "" if item is None else str(item.text()).strip()


class ColorRow(QWidget):
    """Colours as buttons; a click chooses another."""

    def __init__(self) -> None:
        super().__init__()
        self.colors: list[str] = []
        self.buttons: list[QPushButton] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)

    def show_colors(self, colors: Sequence[str]) -> None:
        """Show these colours (#rrggbb) in place of what is there."""
        for button in self.buttons:
            self._row.removeWidget(button)
            button.deleteLater()
        self.colors, self.buttons = list(colors), []
        for number in range(len(colors)):
            button = QPushButton()
            button.setAccessibleName(f"Colour {number + 1}")
            button.clicked.connect(lambda _=False, number=number: self._ask(number))
            self.buttons.append(button)
            self._row.addWidget(button)
            self.choose(number, colors[number])

    def choose(self, number: int, color: str) -> None:
        """Change one colour."""
        self.colors[number] = color
        self.buttons[number].setStyleSheet(f"background: {color};")
        self.buttons[number].setToolTip(color)

    def _ask(self, number: int) -> None:
        chosen = QColorDialog.getColor(QColor(self.colors[number]), self, "Colour of an outline")
        if chosen.isValid():
            self.choose(number, chosen.name())


class FolderField(QWidget):
    """A folder, typed or chosen; none where it is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText("none")
        browse = QPushButton("Browse ...")
        browse.clicked.connect(self._ask)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        row.addWidget(browse)

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", self.line.text())
        if chosen:
            self.line.setText(chosen)


def show_settings(parent: QWidget, kept: Callable[[str], object]) -> SettingsPage:
    """Open the page of settings over a widget."""
    page = SettingsPage(parent, kept)
    page.open()
    return page
