"""*My worklist*: who am I, what waits for me, and what I say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel

from napari_deferredseg.widgets.case_layers import reader_colors
from napari_deferredseg.widgets.panel import Choice, Panel, leave_keys_to_viewer, listen, swatch
from napari_deferredseg.widgets.region_card import RegionCard
from napari_deferredseg.widgets.region_table import RegionTable
from napari_deferredseg.widgets.settings import last_reader, remember_reader
from napari_deferredseg.widgets.view_bar import ViewBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.session import Session
    from napari_deferredseg.widgets.stage import Stage

NOBODY = "choose your name"
NO_READERS = 'This project has no readers yet: deferredseg reader add "NAME" --project FOLDER adds one.'


class WorklistPanel(Panel):
    """The reader's panel."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.who = Choice()
        self.who.setToolTip("Who is reading? Corrections are kept under this name.")
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.table = RegionTable()
        self.region = RegionCard(stage, self.notice)
        row = QHBoxLayout()
        row.addWidget(QLabel("I am"))
        row.addWidget(self.who, 1)
        self.body.addLayout(row)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.region)
        self.body.addWidget(ViewBar(stage))
        leave_keys_to_viewer(self)
        self.who.activated.connect(self._choose)
        self.table.cellClicked.connect(self._open_row)
        events = stage.session.events
        listen(self, events.project, self._list_readers)
        listen(self, events.reader, self._show_reader)
        listen(self, stage.events.lists, self.refresh)
        listen(self, events.reading, self._mark)
        self._items: list[WorkItem] = []
        self._done: list[WorkItem] = []
        self._list_readers()

    def refresh(self) -> None:
        """Read the worklist again."""
        session = self.session
        self._items = session.worklist()
        self._done = self._submitted_here()
        self.table.show_items(self._rows, lambda items: _label_names(items, session))
        self.summary.setText(self._summary())
        if self._items:
            self.region.invite()
        self._mark()

    @property
    def _rows(self) -> list[WorkItem]:
        return [*self._items, *self._done]

    def _submitted_here(self) -> list[WorkItem]:
        """What this reader has submitted in the open case; the stage has just read it from the store."""
        case, reader = self.session.case, self.session.reader
        if case is None or reader is None:
            return []
        mine = {c.region_id for c in case.corrections if c.reader == reader.login}
        mine -= {item.region.id for item in self._items}
        return [item for item in self.stage.items if item.region.id in mine]

    def _summary(self) -> str:
        if self.session.project is None:
            return "Press <b>Open ...</b> and choose your project's folder."
        if self.session.reader is None:
            return "Choose your name: corrections are kept under it." if self.who.count() > 1 else NO_READERS
        if not self._items:
            return "Nothing waits for you."
        minutes = sum(item.region.minutes for item in self._items)
        cases = len({item.case.key for item in self._items})
        where = "" if cases == 1 else f" in {cases} cases"
        count = "<b>1</b> region" if len(self._items) == 1 else f"<b>{len(self._items)}</b> regions"
        return f"{count}{where}, about <b>{max(1, round(minutes))}</b> min"

    def _list_readers(self) -> None:
        self.who.clear()
        self.who.addItem(NOBODY, None)
        project = self.session.project
        readers = project.store.readers() if project is not None else []
        colors = reader_colors(readers)
        for reader in readers:
            self.who.addItem(swatch(colors[reader.login]), reader.name, reader.login)
        known = self.who.findData(last_reader())
        if project is not None and self.session.reader is None and known > 0:
            self.stage.attempt(lambda: self.session.choose_reader(last_reader()))
            self.stage.events.message.emit(f"Reading as {self.who.itemText(known)}. Not you? Choose your name above.")
        self._show_reader()
        self.refresh()

    def _choose(self, index: int) -> None:
        login = self.who.itemData(index)
        if self.stage.attempt(lambda: self.session.choose_reader(login)) and login:
            remember_reader(login)
            if self.session.case is None and self._items:
                self.stage.open_case(self._items[0].case.key)
        self._show_reader()

    def _show_reader(self) -> None:
        reader = self.session.reader
        self.who.setCurrentIndex(0 if reader is None else self.who.findData(reader.login))

    def _open_row(self, row: int, column: int) -> None:
        self.stage.open_item(self._rows[row])

    def _mark(self) -> None:
        """Point at the open region."""
        self.table.mark(self.session.reading.item.region.id if self.session.reading else None)


def _label_names(items: Sequence[WorkItem], session: Session) -> dict[str, str]:
    project = session.project
    if project is None:
        return {}
    tables = {key: project.store.prediction(key).table for key in {item.case.key for item in items}}
    return {
        item.region.id: ", ".join(tables[item.case.key].name(v) for v in item.region.labels[:2]) or "new"
        for item in items
    }
