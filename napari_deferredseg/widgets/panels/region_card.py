"""The open region in *My worklist*: what is asked, the tools to repaint it, what the reader can say."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_deferredseg.core.records import Verdict
from napari_deferredseg.widgets.panels.paint_bar import PaintBar
from napari_deferredseg.widgets.qt.decline import DeclineDialog
from napari_deferredseg.widgets.qt.fields import NoteField
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import PlainLabel, RichLabel, escaped
from napari_deferredseg.widgets.qt.steady import Steady
from napari_deferredseg.widgets.seat.keys import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_deferredseg.usecases.reading.views import Changes, Elsewhere, RegionFacts
    from napari_deferredseg.widgets.panels.notice import Notice
    from napari_deferredseg.widgets.seat.seat import Seat

LEGEND = "White: the region. Line: AI. Fill: as it stands."
YOURS = "yours"
MOST_REGIONS = 3
"""Of the regions that are changed beside the open one, so many are named."""
UNASKED = "color: #ffb454"
NEXT_STEP = "QPushButton:default:enabled { background: #2a66c8; color: white; }"


class RegionCard(QWidget):
    """What is asked of the reader; below it, where it never moves, the last message and the buttons."""

    def __init__(self, seat: Seat, notice: Notice) -> None:
        super().__init__()
        self._seat = seat
        self._notice = notice
        self.title = RichLabel()
        self.legend = QLabel(LEGEND)
        self.legend.setWordWrap(True)
        self.paint_bar = PaintBar(seat)
        self.note = NoteField("Note (no patient names)")
        self.note.setToolTip("For whoever sees this correction. Enter goes back to the picture.")
        self.saved = PlainLabel()
        self.saved.setWordWrap(True)
        self.saved.setTextFormat(Qt.TextFormat.PlainText)
        self.saved.setMinimumHeight(2 * self.fontMetrics().lineSpacing())
        self.saved.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.buttons = Buttons(seat)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Steady(self.title))
        column.addWidget(self.legend)
        column.addWidget(Steady(self.paint_bar))
        column.addWidget(self.note)
        column.addWidget(Steady(notice))
        column.addWidget(Steady(self.saved))
        column.addWidget(Steady(self.buttons))
        self.note.textEdited.connect(self._note_edited)
        listen(self, seat.session.events.reading, self.refresh)
        listen(self, seat.session.events.reader, self._show_next_step)
        listen(self, seat.events.lists, self.buttons.show_last)
        seat.saved.connect(self._on_saved)
        self.refresh()

    def refresh(self) -> None:
        """Show the open region."""
        reading = self._seat.session.reading
        self.note.clearFocus()  # what is typed next is for the picture
        for part in (self.note, self.legend, self.paint_bar):
            part.setVisible(reading is not None)
        self._show_next_step()
        facts = self._seat.session.facts()
        self.title.setText("" if facts is None else "<br>".join(_lines(facts)))
        if reading is not None:
            self.note.setText(reading.note)
            self.paint_bar.show_region(reading.item.region, reading.case.prediction.table)

    def invite(self) -> None:
        """Say how to start, while no region is open."""
        if self._seat.session.reading is None:
            self.title.setText("Click a region above, or press N, to start.")

    def rest(self) -> None:
        """Say nothing, while no region is open and none waits."""
        if self._seat.session.reading is None:
            self.title.setText("")

    def _note_edited(self, text: str) -> None:
        self._seat.session.write_note(text)

    def _on_saved(self) -> None:
        reading = self._seat.session.reading
        self._notice.settle()
        found = self._show_next_step()
        if reading is not None and (reading.note or found.voxels):
            self.saved.setText(f"✓ Saved on this computer. {self.saved.text()}")

    def _show_next_step(self) -> Changes:
        """Say what to press now, and make it stand out; and what a submission would change that was not asked."""
        reading = self._seat.session.reading
        found = self._seat.session.changes(self._seat.items)
        self.buttons.show_state(reading is not None, bool(found.voxels))
        if reading is None:
            self.saved.setText("")
        elif found.voxels:
            lines = [f"{found.voxels:,} voxels painted: {SHORTCUTS['submit'].key} submits them."]
            self.saved.setText(" ".join([*lines, *_beyond(found)]))
        else:
            self.saved.setText(f"The AI is right: {SHORTCUTS['accept'].key}. It is not: paint it right, then submit.")
        style = UNASKED if found.elsewhere or found.unnamed else ""
        if style != self.saved.styleSheet():  # Qt takes long for it
            self.saved.setStyleSheet(style)
        return found


class Buttons(QWidget):
    """What the reader can say. The names are followed by the keys."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat
        self.accept = _button("Accept", "accept", seat.answers.accept)
        self.submit = _button("Submit", "submit", seat.answers.submit)
        for button in (self.accept, self.submit):  # styled once: it takes long
            button.setStyleSheet(NEXT_STEP)
        self.previous = _button("Previous", "previous", lambda: seat.navigation.step(-1))
        self.next = _button("Next", "next", lambda: seat.navigation.step(1))
        self.skip = _button("Skip", "skip", seat.answers.skip)
        self.decline = QPushButton("Decline ...")
        self.decline.setToolTip("Refuse the region, with a reason; the lead finds somebody else")
        self.decline.clicked.connect(self._ask_decline)
        self.reset = QPushButton("Reset to AI")
        self.reset.setToolTip(
            f"Show the AI's mask again in this region; {SHORTCUTS['undo'].key} brings your paint back"
        )
        self.reset.clicked.connect(lambda: seat.attempt(seat.tools.reset_to_ai))
        self.amend = _button("Reopen", "amend", seat.answers.amend)
        self.more = QPushButton("Cannot tell")
        self.more.setToolTip("The image does not decide it, or there is nothing to decide")
        self.more.setMenu(self._verdicts())
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        pairs = ((self.accept, self.submit), (self.more, self.reset), (self.previous, self.next))
        thirds = (self.skip, self.decline, self.amend)
        for place, widget in enumerate(thirds):
            grid.addWidget(widget, len(pairs), 2 * place, 1, 2)
        for row, pair in enumerate(pairs):
            for place, widget in enumerate(pair):
                grid.addWidget(widget, row, 3 * place, 1, 3)
        for column in range(6):
            grid.setColumnStretch(column, 1)

    def show_state(self, is_open: bool, painted: bool) -> None:
        """Offer what needs an open region only where there is one; colour what fits what was painted."""
        for widget in (self.accept, self.submit, self.skip, self.decline, self.reset, self.more):
            widget.setEnabled(is_open)
        self.accept.setDefault(not painted)
        self.submit.setDefault(painted)
        self.show_last()

    def show_last(self) -> None:
        """Offer the region submitted last where there is one, in whichever window."""
        self.amend.setEnabled(self._seat.session.last is not None)

    def _verdicts(self) -> QMenu:
        menu = QMenu(self)
        for verdict, text in (
            (Verdict.INDETERMINATE, "Cannot be decided on this image"),
            (Verdict.POINTLESS, "Pointless: nothing here to decide"),
        ):
            menu.addAction(text, partial(self._seat.answers.give_verdict, verdict))
        return menu

    def _ask_decline(self) -> None:
        reading = self._seat.session.reading
        if reading is None:
            return
        dialog = DeclineDialog(reading.item.region.number, self)
        if dialog.exec() == DeclineDialog.DialogCode.Accepted:
            self._seat.answers.decline(dialog.textValue())
        dialog.deleteLater()


def _beyond(found: Changes) -> list[str]:
    """What a submission would change beyond what was asked, in sentences."""
    lines = []
    if found.elsewhere:
        lines.append(f"Beware: {_elsewhere(found.elsewhere)}.")
    if found.unnamed:
        lines.append(f"No name in this case has label {', '.join(str(value) for value in found.unnamed)}.")
    return lines


def _elsewhere(parts: Sequence[Elsewhere]) -> str:
    """In which other regions voxels are changed."""
    said = [f"{x.voxels:,} in region {x.number} ({x.holder or YOURS})" for x in parts[:MOST_REGIONS]]
    rest = parts[MOST_REGIONS:]
    if rest:
        said.append(f"{sum(x.voxels for x in rest):,} in {len(rest)} more of them")
    return ", ".join(said)


def _lines(facts: RegionFacts) -> list[str]:
    again = ", your submission opened again" if facts.is_amendment else ""
    size = f"{facts.volume / 1000:.1f} ml" if facts.volume >= 100 else f"{facts.volume:.0f} mm³"
    lines = [f"<b>Region {facts.number}</b>: {escaped(facts.about)}, {size}{again}"]
    lines.append(f"<b>{escaped(facts.question)}</b>")
    return [*lines, *(f"<i>{escaped(note)}</i>" for note in facts.notes)]


def _button(text: str, name: str, action: Callable[[], Any]) -> QPushButton:
    shortcut = SHORTCUTS[name]
    button = QPushButton(f"{text}  ({shortcut.key})")
    button.setToolTip(f"{shortcut.does[0].upper()}{shortcut.does[1:]}")
    button.clicked.connect(lambda: action())
    return button
