"""*My worklist*: who am I, what waits for me, and what I say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.routing.assign import why_nobody
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.readers import readers_button
from napari_deferredseg.widgets.panels.region_card import RegionCard
from napari_deferredseg.widgets.panels.view_bar import ViewBar
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.colors import LINK
from napari_deferredseg.widgets.qt.fields import leave_keys_to_viewer
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import RichLabel, escaped
from napari_deferredseg.widgets.qt.region_table import RegionTable
from napari_deferredseg.widgets.seat.settings import last_project

if TYPE_CHECKING:
    from napari_deferredseg.usecases.reading.views import Progress, WorkRow
    from napari_deferredseg.widgets.seat.seat import Seat


class WorklistPanel(Panel):
    """The reader's panel."""

    TITLE = "My worklist"

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        bar = WhoBar(seat)
        self.who = bar.choice
        self.summary = RichLabel()
        self.summary.linkActivated.connect(lambda _: self._open_last())
        self.table = RegionTable()
        self.region = RegionCard(seat, self.notice)
        self.body.addWidget(bar)
        self.body.addWidget(self.summary)
        self.readers = readers_button(seat)
        self.body.addWidget(self.readers)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.region)
        self.body.addWidget(ViewBar(seat))
        leave_keys_to_viewer(self)
        self.table.cellClicked.connect(self._open_row)
        events = seat.session.events
        listen(self, events.project, self.refresh)
        listen(self, seat.events.lists, self.refresh)
        listen(self, events.reading, self._mark)
        self._rows: tuple[WorkRow, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Read the worklist again."""
        session = self.session
        self._rows = session.rows(self.seat.items)
        self.table.show_rows(self._rows)
        waits = session.progress()
        nobody_reads = "" if waits.regions or session.project is None else why_nobody(session.readers())
        self.readers.setVisible(bool(nobody_reads))
        self.summary.setText(self._summary(waits, nobody_reads))
        if waits.regions:
            self.region.invite()
        else:
            self.region.rest()
        self._mark()

    def _summary(self, waits: Progress, nobody_reads: str) -> str:
        if self.session.project is None:
            return f"Press <b>Open ...</b> and choose your project's folder{_or_the_last()}."
        if nobody_reads:
            return escaped(f"{nobody_reads[:1].upper()}{nobody_reads[1:]}.")
        if self.session.reader is None:
            return "Choose your name: corrections are kept under it."
        if not waits.regions:
            return "Nothing waits for you."
        where = "" if waits.cases == 1 else f" in {waits.cases} cases"
        count = "<b>1</b> region" if waits.regions == 1 else f"<b>{waits.regions}</b> regions"
        return f"{count}{where}, about <b>{max(1, round(waits.minutes))}</b> min"

    def _open_last(self) -> None:
        folder = last_project()
        if folder is not None:
            self.project_bar.open_folder(folder)

    def _open_row(self, row: int, column: int) -> None:
        self.seat.navigation.open_item(self._rows[row].item)

    def _mark(self) -> None:
        """Point at the open region."""
        self.table.mark(self.session.reading.item.region.id if self.session.reading else None)


def _or_the_last() -> str:
    folder = last_project()
    return "" if folder is None else f', or open <a href="last" style="{LINK}">{escaped(folder.name)}</a> again'
