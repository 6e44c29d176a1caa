"""*My worklist*: who am I, what waits for me, and what I say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.records import State
from napari_deferredseg.widgets.panel import LINK, Panel, leave_keys_to_viewer, listen
from napari_deferredseg.widgets.plain import RichLabel, escaped
from napari_deferredseg.widgets.region_card import RegionCard
from napari_deferredseg.widgets.region_table import RegionTable
from napari_deferredseg.widgets.settings import last_project
from napari_deferredseg.widgets.view_bar import ViewBar
from napari_deferredseg.widgets.who_bar import WhoBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.stage import Stage

NO_READERS = 'This project has no readers yet: deferredseg reader add "NAME" --project FOLDER adds one.'


class WorklistPanel(Panel):
    """The reader's panel."""

    TITLE = "My worklist"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        bar = WhoBar(stage)
        self.who = bar.choice
        self.summary = RichLabel()
        self.summary.linkActivated.connect(lambda _: self._open_last())
        self.table = RegionTable()
        self.region = RegionCard(stage, self.notice)
        self.body.addWidget(bar)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.region)
        self.body.addWidget(ViewBar(stage))
        leave_keys_to_viewer(self)
        self.table.cellClicked.connect(self._open_row)
        events = stage.session.events
        listen(self, events.project, self.refresh)
        listen(self, stage.events.lists, self.refresh)
        listen(self, events.reading, self._mark)
        self._items: list[WorkItem] = []
        self._done: list[WorkItem] = []
        self.refresh()

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
        """What this reader has submitted in the open case, in any window; the stage has just read it from the store."""
        reader = self.session.reader
        if reader is None:
            return []
        held = [item for item in self.stage.items if item.assignment.holder == reader.login]
        return [item for item in held if item.assignment.state in (State.SUBMITTED, State.SETTLED)]

    def _summary(self) -> str:
        if self.session.project is None:
            return f"Press <b>Open ...</b> and choose your project's folder{_or_the_last()}."
        if self.session.reader is None:
            return "Choose your name: corrections are kept under it." if self.who.count() > 1 else NO_READERS
        if not self._items:
            return "Nothing waits for you."
        minutes = sum(item.region.minutes for item in self._items)
        cases = len({item.case.key for item in self._items})
        where = "" if cases == 1 else f" in {cases} cases"
        count = "<b>1</b> region" if len(self._items) == 1 else f"<b>{len(self._items)}</b> regions"
        return f"{count}{where}, about <b>{max(1, round(minutes))}</b> min"

    def _open_last(self) -> None:
        folder = last_project()
        if folder is not None:
            self.project_bar.open_folder(folder)

    def _open_row(self, row: int, column: int) -> None:
        self.stage.open_item(self._rows[row])

    def _mark(self) -> None:
        """Point at the open region."""
        self.table.mark(self.session.reading.item.region.id if self.session.reading else None)


def _or_the_last() -> str:
    folder = last_project()
    return "" if folder is None else f', or open <a href="last" style="{LINK}">{escaped(folder.name)}</a> again'


def _label_names(items: Sequence[WorkItem], session: Session) -> dict[str, str]:
    project = session.project
    if project is None:
        return {}
    tables = {key: project.store.prediction(key).table for key in {item.case.key for item in items}}
    return {
        item.region.id: ", ".join(tables[item.case.key].name(v) for v in item.region.labels[:2]) or "new"
        for item in items
    }
