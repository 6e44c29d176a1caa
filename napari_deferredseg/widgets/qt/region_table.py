"""The list of regions in *My worklist*."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_deferredseg.core.names import visible
from napari_deferredseg.core.records import State
from napari_deferredseg.widgets.qt.plain import as_tip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.views import WorkRow

COLUMNS = ("", "Region", "About", "min", "")
WIDEST = ("▶", "9999", "", "99.9", "✓ done")
ABOUT = 2
STATES = {State.SKIPPED: "skipped", State.CLAIMED: "started", State.SUBMITTED: "✓ done", State.SETTLED: "✓ done"}
HERE = "▶"


class RegionTable(QTableWidget):
    """One row a region. Only what changed is written, since a reader waits for it after every submission."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self._ids: list[str] = []
        self._states: dict[str, State] = {}
        self._here: str | None = None
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().setVisible(False)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        # The viewer's keys must keep working after a click in the list.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = self.horizontalHeader()
        header.setSectionResizeMode(ABOUT, QHeaderView.ResizeMode.Stretch)
        for column, text in enumerate(WIDEST):
            wide = self.fontMetrics().horizontalAdvance(text) + 20
            self.setColumnWidth(column, max(header.sectionSizeHint(column), wide))
        self.setMinimumHeight(84)

    def sizeHint(self) -> QSize:
        """No higher than it must be; it takes what room is left."""
        return self.minimumSize().expandedTo(self.minimumSizeHint())

    def show_rows(self, rows: Sequence[WorkRow]) -> None:
        """List these, in this order."""
        wanted = {row.item.region.id for row in rows}
        for row in reversed(range(len(self._ids))):
            if self._ids[row] not in wanted:
                self._take_out(row)
        for row, shown in enumerate(rows):
            item = shown.item
            if self._ids[row + 1 : row + 2] == [item.region.id]:  # what stands before it comes later now
                self._take_out(row)
            if self._ids[row : row + 1] != [item.region.id]:
                self._put_in(row, shown)
            elif self._states[item.region.id] is not item.assignment.state:
                self._write_state(row, item)

    def mark(self, region_id: str | None) -> None:
        """Point at a region, or at none."""
        for identity, sign in ((self._here, ""), (region_id, HERE)) if region_id != self._here else ():
            if identity in self._ids:
                self._cell(self._ids.index(identity), 0).setText(sign)
        self._here = region_id
        if region_id not in self._ids:
            self.clearSelection()
        elif [index.row() for index in self.selectionModel().selectedRows()] != [self._ids.index(region_id)]:
            self.selectRow(self._ids.index(region_id))

    def _take_out(self, row: int) -> str:
        self.removeRow(row)
        return self._ids.pop(row)

    def _put_in(self, row: int, shown: WorkRow) -> None:
        item, identity = shown.item, shown.item.region.id
        if identity in self._ids:
            self._take_out(self._ids.index(identity))
        self._ids.insert(row, identity)
        self.insertRow(row)
        here = HERE if identity == self._here else ""
        for column, text in enumerate((here, str(item.region.number), shown.about, f"{item.region.minutes:.1f}", "")):
            self.setItem(row, column, QTableWidgetItem(visible(text)))
        self._write_state(row, item)

    def _write_state(self, row: int, item: WorkItem) -> None:
        self._states[item.region.id] = item.assignment.state
        self._cell(row, len(COLUMNS) - 1).setText(STATES.get(item.assignment.state, ""))
        tip = _tip(item)
        for column in range(len(COLUMNS)):
            self._cell(row, column).setToolTip(tip)

    def _cell(self, row: int, column: int) -> QTableWidgetItem:
        cell = self.item(row, column)
        assert cell is not None
        return cell


def _tip(item: WorkItem) -> str:
    what = "Click to open your submission again." if item.assignment.state.is_done else "Click to open."
    return as_tip(f"{item.case.key}, region {item.region.number}. {what} {item.note}".strip())
