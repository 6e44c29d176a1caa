"""*My worklist*: who am I, what waits for me, and what I say about it."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QWidget,
)

from napari_deferredseg.core.records import State, Verdict, WorkItem
from napari_deferredseg.widgets.keys import SHORTCUTS
from napari_deferredseg.widgets.panel import Panel
from napari_deferredseg.widgets.settings import last_reader, remember_reader
from napari_deferredseg.widgets.view_bar import ViewBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.volume import Label
    from napari_deferredseg.usecases.session import Session
    from napari_deferredseg.widgets.stage import Stage

NOBODY = "choose your name"
COLUMNS = ("", "Region", "About", "min", "")
STATES = {State.SKIPPED: "skipped", State.CLAIMED: "started"}


class WorklistPanel(Panel):
    """The reader's panel."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.who = QComboBox()
        self.who.setToolTip("Who is reading? Corrections are kept under this name.")
        self.summary = QLabel()
        self.table = _region_table()
        self.region = RegionCard(stage)
        row = QHBoxLayout()
        row.addWidget(QLabel("I am"))
        row.addWidget(self.who, 1)
        self.body.addLayout(row)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.table, 3)
        self.body.addWidget(self.region)
        self.body.addWidget(ViewBar(stage))
        self.finish_layout()
        self.who.activated.connect(self._choose)
        self.table.cellClicked.connect(self._open_row)
        events = stage.session.events
        events.project.connect(self._list_readers)
        events.reader.connect(self._show_reader)
        events.worklist.connect(self.refresh)
        events.reading.connect(self._mark)
        self._items: list[WorkItem] = []
        self._list_readers()

    def refresh(self) -> None:
        """Read the worklist again."""
        session = self.session
        self._items = session.worklist()
        names = _label_names(self._items, session)
        self.table.setRowCount(len(self._items))
        for row, item in enumerate(self._items):
            cells = ("", str(item.region.number), names[item.region.id], f"{item.region.minutes:.1f}")
            for column, text in enumerate((*cells, STATES.get(item.assignment.state, ""))):
                cell = QTableWidgetItem(text)
                cell.setToolTip(f"{item.case.key}, region {item.region.number}. {item.region.note}".strip())
                self.table.setItem(row, column, cell)
        self.summary.setText(self._summary())
        self._mark()

    def _summary(self) -> str:
        if self.session.project is None:
            return "Open a project to see what waits for you."
        if self.session.reader is None:
            return "Say who you are." if self.who.count() > 1 else "This project has no readers yet: see the README."
        if not self._items:
            return "Nothing waits for you. Well done."
        minutes = sum(item.region.minutes for item in self._items)
        cases = len({item.case.key for item in self._items})
        where = "" if cases == 1 else f" in {cases} cases"
        return f"<b>{len(self._items)}</b> regions{where}, about <b>{minutes:.0f}</b> min"

    def _list_readers(self) -> None:
        self.who.clear()
        self.who.addItem(NOBODY, None)
        project = self.session.project
        for reader in project.store.readers() if project is not None else ():
            self.who.addItem(reader.name, reader.login)
        known = self.who.findData(last_reader())
        if project is not None and self.session.reader is None and known > 0:
            self.stage.attempt(lambda: self.session.choose_reader(last_reader()))
        self._show_reader()
        self.refresh()

    def _choose(self, index: int) -> None:
        login = self.who.itemData(index)
        if self.stage.attempt(lambda: self.session.choose_reader(login)) and login:
            remember_reader(login)
            if self.session.case is None and self._items:
                self.stage.open_case(self._items[0].case.key)

    def _show_reader(self) -> None:
        reader = self.session.reader
        self.who.setCurrentIndex(0 if reader is None else self.who.findData(reader.login))

    def _open_row(self, row: int, column: int) -> None:
        self.stage.open_item(self._items[row])

    def _mark(self) -> None:
        """Point at the open region."""
        here = self.session.reading.item.region.id if self.session.reading else None
        self.table.clearSelection()
        for row, item in enumerate(self._items):
            cell = self.table.item(row, 0)
            if cell is not None:
                cell.setText("▶" if item.region.id == here else "")
            if item.region.id == here:
                self.table.selectRow(row)


class RegionCard(QWidget):
    """The open region: what it is about, the tools to repaint it, and what the reader can say."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.paint_bar = QHBoxLayout()
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note for whoever sees this correction (no patient names)")
        self.saved = QLabel()
        self.buttons = _Buttons(stage)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.title, 0, 0)
        grid.addLayout(self.paint_bar, 1, 0)
        grid.addWidget(self.note, 2, 0)
        grid.addWidget(self.buttons, 3, 0)
        grid.addWidget(self.saved, 4, 0)
        self.note.textEdited.connect(self._note_edited)
        stage.session.events.reading.connect(self.refresh)
        stage.saved.connect(self._on_saved)
        self.refresh()

    def refresh(self) -> None:
        """Show the open region."""
        reading = self._stage.session.reading
        self.note.setVisible(reading is not None)
        self.buttons.set_open(reading is not None)
        self.saved.setText("")
        _clear(self.paint_bar)
        if reading is None:
            self.title.setText("Click a region above, or press N, to start.")
            return
        region, table = reading.item.region, reading.case.prediction.table
        names = ", ".join(table.name(value) for value in region.labels) or "no label"
        again = " — your submission, opened again" if reading.supersedes else ""
        lines = [f"<b>Region {region.number}</b>: {names}, {region.volume / 1000:.1f} ml{again}", reading.question()]
        self.title.setText("<br>".join([*lines, f"<i>{html.escape(region.note)}</i>"] if region.note else lines))
        self.note.setText(reading.note)
        self.paint_bar.addWidget(QLabel("Paint"))
        for label in (table.get(value) for value in region.labels[:4]):
            self.paint_bar.addWidget(self._paint_button(label))
        eraser = QToolButton()
        eraser.setText("erase")
        eraser.setToolTip("Paint background")
        eraser.clicked.connect(lambda: self._stage.pick_tool(region.labels[0] if region.labels else 1, "erase"))
        self.paint_bar.addWidget(eraser)
        self.paint_bar.addStretch(1)

    def _paint_button(self, label: Label) -> QToolButton:
        swatch = QPixmap(12, 12)
        swatch.fill(QColor(*label.color))
        button = QToolButton()
        button.setIcon(QIcon(swatch))
        button.setText(label.name)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setToolTip(f"Paint {label.name}")
        button.clicked.connect(lambda: self._stage.pick_tool(label.value))
        return button

    def _note_edited(self, text: str) -> None:
        reading = self._stage.session.reading
        if reading is not None:
            reading.note = text
            self._stage.session.save()

    def _on_saved(self) -> None:
        if self._stage.session.reading is not None:
            self.saved.setText("✓ saved on this computer, not submitted yet")


class _Buttons(QWidget):
    """What the reader can say. The names are followed by the keys."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.accept = _button("Accept", "accept", stage.accept)
        self.submit = _button("Submit", "submit", stage.submit)
        self.previous = _button("Previous", "previous", lambda: stage.step(-1))
        self.next = _button("Next", "next", lambda: stage.step(1))
        self.skip = _button("Skip", "skip", stage.skip)
        self.decline = QPushButton("Decline ...")
        self.decline.setToolTip("Refuse the region, with a reason; somebody else gets it")
        self.decline.clicked.connect(self._ask_decline)
        self.reset = QPushButton("Reset to AI")
        self.reset.setToolTip("Show the AI's mask again in this region; can be undone")
        self.reset.clicked.connect(stage.reset_to_ai)
        self.amend = _button("Take back", "amend", stage.amend)
        self.more = QPushButton("Cannot tell")
        self.more.setToolTip("The image does not decide it, or there is nothing to decide")
        self.more.setMenu(self._verdicts())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        rows = ((self.previous, self.next), (self.accept, self.submit), (self.skip, self.decline))
        for row, pair in enumerate((*rows, (self.reset, self.more), (self.amend,))):
            for column, widget in enumerate(pair):
                grid.addWidget(widget, row, column)

    def set_open(self, is_open: bool) -> None:
        """Offer what needs an open region only where there is one."""
        for widget in (self.accept, self.submit, self.skip, self.decline, self.reset, self.more):
            widget.setEnabled(is_open)
        self.amend.setEnabled(self._stage.session.last is not None)

    def _verdicts(self) -> QMenu:
        menu = QMenu(self)
        for verdict, text in (
            (Verdict.INDETERMINATE, "Cannot be decided on this image"),
            (Verdict.POINTLESS, "Pointless: nothing here to decide"),
        ):
            menu.addAction(text, partial(self._stage.give_verdict, verdict))
        return menu

    def _ask_decline(self) -> None:
        reason, given = QInputDialog.getText(self, "Decline", "Why do you decline this region?")
        if given:
            self._stage.decline(reason)


def _button(text: str, name: str, action: Callable[[], Any]) -> QPushButton:
    shortcut = SHORTCUTS[name]
    button = QPushButton(f"{text}  ({shortcut.key})")
    button.setToolTip(f"{shortcut.does[0].upper()}{shortcut.does[1:]}")
    button.clicked.connect(lambda: action())
    return button


def _region_table() -> QTableWidget:
    table = QTableWidget(0, len(COLUMNS))
    table.setHorizontalHeaderLabels(COLUMNS)
    table.verticalHeader().setVisible(False)
    table.setShowGrid(False)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    # The viewer's keys must keep working after a click in the list.
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
    table.setMinimumHeight(140)
    return table


def _label_names(items: list[WorkItem], session: Session) -> dict[str, str]:
    project = session.project
    if project is None:
        return {}
    tables = {key: project.store.prediction(key).table for key in {item.case.key for item in items}}
    return {
        item.region.id: ", ".join(tables[item.case.key].name(v) for v in item.region.labels[:2]) or "new"
        for item in items
    }


def _clear(layout: QHBoxLayout) -> None:
    while layout.count():
        item = layout.takeAt(0)
        widget = None if item is None else item.widget()
        if widget is not None:
            widget.deleteLater()
