"""The list of a project's readers."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_deferredseg.core.names import visible
from napari_deferredseg.usecases.readers import standing_of
from napari_deferredseg.widgets.qt.plain import as_tip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader

COLUMNS = ("Name", "min/day", "Role", "Away")
FADED = QColor("#8c8f96")
"""Can be read on napari's dark and on its light ground."""


class ReaderTable(QTableWidget):
    """One row a reader."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().setVisible(False)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setMinimumHeight(140)

    def show_readers(self, shown: Sequence[Reader], login: str | None) -> None:
        """List these, with one of them selected; deactivated ones are faded."""
        self.setRowCount(len(shown))
        for row, reader in enumerate(shown):
            texts = (reader.name, f"{reader.capacity:g}", str(reader.role), _away(reader, date.today()))
            for column, text in enumerate(texts):
                cell = QTableWidgetItem(visible(text))
                cell.setToolTip(_tip(reader))
                if not reader.active:
                    cell.setForeground(FADED)
                self.setItem(row, column, cell)
        self.select(next((i for i, x in enumerate(shown) if x.login == login), -1))

    def select(self, row: int) -> None:
        """Select a row; a negative one selects none."""
        if row < 0:
            self.clearSelection()
        else:
            self.selectRow(row)


def _away(reader: Reader, today: date) -> str:
    """What matters of `standing_of` today, short enough for a narrow column; the tip says all of it."""
    if not reader.active or reader.absent_from is None or reader.absent_to is None:
        return standing_of(reader)
    if reader.absent_to < today:
        return ""
    return f"until {reader.absent_to}" if reader.absent_from <= today else f"from {reader.absent_from}"


def _tip(reader: Reader) -> str:
    lines = [f"Login {reader.login}"]
    lines += [f"Knows best: {'; '.join(reader.specialities)}"] if reader.specialities else ["No speciality"]
    lines += [f"Groups: {'; '.join(reader.groups)}"] if reader.groups else []
    lines += [f"Away: {standing_of(reader)}"] if standing_of(reader) else []
    return as_tip("\n".join(lines))
