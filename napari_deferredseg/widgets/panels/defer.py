"""*Defer to expert*: a region that was clicked or drawn, and who shall look at it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import visible
from napari_deferredseg.core.records import Role, State
from napari_deferredseg.usecases.reading.defer import ROUTER, Target
from napari_deferredseg.usecases.reading.views import away, names_of
from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.readers import readers_button
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.colors import LINK, reader_colors, swatch
from napari_deferredseg.widgets.qt.fields import NoteField, QuietComboBox
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import RichLabel, escaped
from napari_deferredseg.widgets.viewer.anchors import Anchors
from napari_deferredseg.widgets.viewer.polygons import check_no_polygon, paint_polygons_where_shown
from napari_deferredseg.widgets.viewer.resting import Resting
from napari_deferredseg.widgets.viewer.volume_layers import DRAWING, layer_options

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.open_case import OpenCase
    from napari_deferredseg.widgets.seat.seat import Seat

DRAWN = "New region"
STANDING = {
    State.OPEN: ", not started yet",
    State.CLAIMED: ", who has started on it",
    State.SKIPPED: ", who put it off",
    State.SUBMITTED: ", done",
    State.SETTLED: ", done",
}
DRAW = "Click corner after corner, double-click to close; on one slice or several. Then choose who shall look."
PICK_WHILE_READING = "To pick a region, first click the layer <b>Regions by reader</b> in napari's list. Or draw one."


class DeferPanel(Panel):
    """Click a region of the open case, or draw one, and choose who shall look."""

    TITLE = "Defer to expert"

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self.what = RichLabel()
        self.draw = QPushButton("Draw a region")
        self.draw.setCheckable(True)
        self.draw.setToolTip("Outline it with the polygon tool, on one slice or several; then choose who shall look")
        self.to = QuietComboBox()
        self.note = NoteField("Note: look at what? (no patient names)")
        self.send = QPushButton("Defer to expert")
        self.release = QPushButton("Release for others")
        self.release.setToolTip("Take the region back from a reader who does not read it any more; leads only")
        self.declined = RichLabel()
        bar = WhoBar(seat)
        self.who = bar.choice
        row = QHBoxLayout()
        row.addWidget(QLabel("To"))
        row.addWidget(self.to, 1)
        for part in (bar, self.what, self.draw):
            self.body.addWidget(part)
        self.body.addLayout(row)
        self.body.addWidget(self.note)
        self.body.addWidget(self.send)
        self.body.addWidget(self.release)
        self.body.addWidget(self.declined)
        self.body.addWidget(readers_button(seat))
        self.finish_layout()
        self._drawn: Labels | None = None
        self._guards: tuple[()] | tuple[Anchors, Resting] = ()
        self._names: dict[str, str] = {}
        self.draw.toggled.connect(self._toggle_drawing)
        self.send.clicked.connect(lambda: self.seat.attempt(self.defer))
        self.release.clicked.connect(lambda: self.seat.attempt(self.take_back))
        listen(self, seat.events.picked, self._show)
        listen(self, seat.session.events.reader, lambda: self._show(self.seat.picked))
        listen(self, seat.session.events.project, self._list_targets)
        listen(self, seat.session.events.readers, self._list_targets)
        listen(self, seat.session.events.case, self._forget_drawing)
        listen(self, seat.session.events.reading, lambda: self._show(self.seat.picked))
        listen(self, seat.viewer.layers.events.removed, self._on_removed)
        listen(self, seat.events.lists, self._on_lists)
        self.declined.linkActivated.connect(self._look_at)
        self._list_targets()
        self._show(seat.picked)
        self._on_lists()

    def defer(self) -> None:
        """Send the region to whom was chosen. InputError when there is none, somebody reads it, or nobody sends it."""
        target, note = self.to.currentData(), self.note.text().strip()
        if self._drawn is not None:
            sent = self.session.send_drawn(self._drawn_mask(), target, note)
            self.draw.setChecked(False)
        elif self.seat.picked is None:
            raise InputError("click a region in the picture first, or draw one")
        else:
            sent = self.session.send(self.seat.picked, target, note)
        self.note.clear()
        self.seat.events.message.emit(f"Region {sent.number} now waits for {sent.to}.")

    def take_back(self) -> None:
        """Release the picked region for others. InputError when nobody reads it, or nobody who may do so asks."""
        item = self.seat.picked
        if item is None:
            raise InputError("click a region in the picture first, and say who you are")
        self.session.release(item)
        self.seat.events.message.emit(f"Region {item.region.number} waits again.")

    def _may_release(self, item: WorkItem | None) -> bool:
        reader = self.session.reader
        if item is None or reader is None or item.assignment.state is not State.CLAIMED:
            return False
        return reader.role in (Role.LEAD, Role.ADMIN) and item.assignment.holder != reader.login

    def _show(self, item: WorkItem | None) -> None:
        self.release.setVisible(self._drawn is None and self._may_release(item))
        if self._drawn is not None:
            self.what.setText(DRAW)
        elif item is None:
            reading = self.session.reading is not None
            self.what.setText(PICK_WHILE_READING if reading else "Click a region in the picture, or draw one.")
        else:
            about = ", ".join(self._need_case().prediction.table.name(v) for v in item.region.labels)
            self.what.setText(f"<b>Region {item.region.number}</b>: {escaped(about)}. {escaped(self._standing(item))}")

    def _standing(self, item: WorkItem) -> str:
        """Who has a region, in a sentence."""
        held = item.assignment
        who = self._names.get(held.reader or held.holder or "", held.reader or f"group {held.group}")
        if held.state is State.DECLINED:
            return f"Declined by {who} ({held.reason}): with nobody until you send it to somebody."
        return f"With {who}{STANDING.get(held.state, '')}."

    def _on_lists(self) -> None:
        """Say how the picked region stands now, and which ones were declined."""
        picked = self.seat.picked
        now = None if picked is None else next((x for x in self.seat.items if x.region.id == picked.region.id), None)
        if now is not None and now != picked:
            self.seat.picture.pick(now)
        waiting = [x for x in self.seat.items if x.assignment.state is State.DECLINED]
        links = [f'<a href="{html.escape(x.region.id)}" style="{LINK}">region {x.region.number}</a>' for x in waiting]
        self.declined.setText(f"Declined, so with nobody: {', '.join(links)}." if links else "")
        self.declined.setVisible(bool(links))

    def _look_at(self, region_id: str) -> None:
        item = next((x for x in self.seat.items if x.region.id == region_id), None)
        if item is not None:
            self.seat.picture.look_at(item)

    def _list_targets(self) -> None:
        self.to.clear()
        self.to.addItem("whoever has room and knows it", ROUTER)
        readers = self.session.readers()
        self._names = names_of(readers)
        colors = reader_colors(readers, read_settings().outlines)
        for reader in (x for x in readers if x.active):
            self.to.addItem(
                swatch(colors[reader.login]), visible(f"{reader.name}{away(reader)}"), Target(reader=reader.login)
            )
        for group in sorted({g for reader in readers if reader.active for g in reader.groups}):
            self.to.addItem(swatch(colors[group]), visible(f"group {group}"), Target(group=group))

    def _need_case(self) -> OpenCase:
        if self.session.case is None:
            raise InputError("open a case first")
        return self.session.case

    def _drawn_mask(self) -> NDArray[np.bool_]:
        if self._drawn is None or self.seat.layers is None or not self._guards:
            raise InputError("nothing is drawn yet")
        self._guards[0].check()
        check_no_polygon(self._drawn)
        return self.seat.layers.frame.file_order(np.asarray(self._drawn.data)) > 0

    def _toggle_drawing(self, is_on: bool) -> None:
        if not is_on:
            self._forget_drawing()
            return
        if self.seat.layers is None:
            self.draw.setChecked(False)
            self.seat.events.problem.emit("Open a case first.")
            return
        layers = self.seat.layers
        options = layer_options(layers.frame)
        empty = np.zeros(layers.regions.data.shape, np.uint8)
        viewer, warn = self.seat.viewer, self.seat.events.problem.emit
        self._drawn = paint_polygons_where_shown(
            viewer.add_labels(empty, name=DRAWN, opacity=0.6, metadata={DRAWING: True}, **options), viewer, warn
        )
        self._guards = Anchors((self._drawn,), layers.frame, viewer), Resting(self._drawn, viewer)
        for guard in self._guards:
            guard.warned.connect(lambda line: warn(line))
        self._guards[1].take("polygon")
        self._guards[1].explain()
        self._show(None)

    def _forget_drawing(self) -> None:
        layer = self._let_go()
        if layer is not None and layer in self.seat.viewer.layers:
            self.seat.viewer.layers.remove(layer)
            self._hand_back()
        self.draw.setChecked(False)
        self._show(self.seat.picked)

    def _let_go(self) -> Labels | None:
        """Watch over the drawing no more; the layer that it was."""
        layer, self._drawn = self._drawn, None
        for guard in self._guards:
            guard.close()
        self._guards = ()
        return layer

    def _hand_back(self) -> None:
        """Let the hands go on with what they did before they drew."""
        if self.seat.layers is not None:
            before = self.seat.layers.in_hand(is_reading=self.session.reading is not None)
            self.seat.viewer.layers.selection.active = before

    def _on_removed(self, event: Any) -> None:
        if self._drawn is not None and event.value == self._drawn:  # one of both may be a proxy
            self._let_go()
            self.draw.setChecked(False)
