"""*Readers*: who reads in this project, since when not, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QPushButton,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases import readers
from napari_deferredseg.usecases.permissions import open_to_all
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import RichLabel, escaped
from napari_deferredseg.widgets.qt.reader_forms import AbsenceForm, ProfileForm
from napari_deferredseg.widgets.qt.reader_table import ReaderTable

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Reader
    from napari_deferredseg.widgets.seat.seat import Seat


class ReadersPanel(Panel):
    """Table of the project's readers, and what can be done with them."""

    TITLE = "Readers"

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        bar = WhoBar(seat)
        self.who = bar.choice
        self.rights = RichLabel()
        self.table = ReaderTable()
        self.add_button = QPushButton("Add ...")
        self.edit_button = QPushButton("Edit ...")
        self.absence_button = QPushButton("Absence ...")
        self.stop_button = QPushButton("Deactivate")
        self.stop_button.setToolTip(
            "Nothing new goes to them, and what they read now is released. What they submitted stays."
        )
        buttons = QHBoxLayout()
        for button in (self.add_button, self.edit_button, self.absence_button, self.stop_button):
            buttons.addWidget(button)
        self.profile, self.absence = ProfileForm(), AbsenceForm()
        for part in (bar, self.rights, self.table):
            self.body.addWidget(part)
        self.body.addLayout(buttons)
        self.body.addWidget(self.profile)
        self.body.addWidget(self.absence)
        self.finish_layout()
        self._shown: tuple[Reader, ...] = ()
        self._edited: Reader | None = None
        self.add_button.clicked.connect(lambda: self._open_profile(None))
        self.edit_button.clicked.connect(lambda: self._open_profile(self.chosen))
        self.absence_button.clicked.connect(self._open_absence)
        self.stop_button.clicked.connect(lambda: self.seat.attempt(self.start_or_stop))
        self.profile.saved.connect(lambda: self.seat.attempt(self.save_profile))
        self.absence.saved.connect(lambda: self.seat.attempt(self.save_absence))
        self.profile.cancelled.connect(self._close_forms)
        self.absence.cancelled.connect(self._close_forms)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.cellDoubleClicked.connect(lambda row, column: self._open_profile(self.chosen))
        listen(self, seat.session.events.project, self._on_project)
        listen(self, seat.session.events.readers, self.refresh)
        self._close_forms()
        self.refresh()

    @property
    def chosen(self) -> Reader | None:
        """Reader of the selected row."""
        rows = self.table.selectionModel().selectedRows()
        return self._shown[rows[0].row()] if rows and rows[0].row() < len(self._shown) else None

    def refresh(self) -> None:
        """List the readers as they are now."""
        project, chosen = self.session.project, self.chosen
        self._shown = self.session.readers()
        self.table.show_readers(self._shown, None if chosen is None else chosen.login)
        free = "" if project is None else open_to_all(project)
        self.rights.setText(escaped(free))
        self.rights.setVisible(bool(free))
        self.add_button.setEnabled(project is not None)
        self._on_selection()

    def save_profile(self) -> None:
        """Add or change a reader as the form says. InputError when that cannot be."""
        project = self.session.need_project()
        if self._edited is None:
            now = readers.add(project, self.profile.value(), self.session.actor())
            done = f"{now.name} is added, with the login {now.login}."
        else:
            now = readers.edit(project, self._edited.login, self.profile.changes(), self.session.actor())
            done = f"{now.name} is changed."
        self._done(now, done)

    def save_absence(self) -> None:
        """Keep from which to which day the chosen reader is absent. InputError when that cannot be."""
        if self._edited is None:
            raise InputError("choose a reader in the table first")
        first, last = self.absence.value()
        now = readers.set_absence(self.session.need_project(), self._edited.login, first, last, self.session.actor())
        when = "not absent" if first is None else f"absent from {first} to {last}: nothing is routed to them then"
        self._done(now, f"{now.name} is {when}.")

    def start_or_stop(self) -> None:
        """Deactivate the chosen reader, or activate them again. InputError when that cannot be."""
        project, chosen, by = self.session.need_project(), self.chosen, self.session.actor()
        if chosen is None:
            raise InputError("choose a reader in the table first")
        if not chosen.active:
            self._done(readers.activate(project, chosen.login, by), f"{chosen.name} is active again.")
            return
        now, waiting = readers.deactivate(project, chosen.login, by)
        left = (
            f" {waiting:.0f} min of reading wait for them: send them to others in Defer to expert." if waiting else ""
        )
        self._done(now, f"{now.name} is deactivated; what they submitted stays.{left}")

    def _done(self, reader: Reader, line: str) -> None:
        self._close_forms()
        told = self.session.readers_changed()
        self.table.select(next((i for i, x in enumerate(self._shown) if x.login == reader.login), -1))
        self.seat.events.message.emit(f"{told} {line}".strip())

    def _on_project(self) -> None:
        self._close_forms()
        self.refresh()

    def _on_selection(self) -> None:
        chosen = self.chosen
        for button in (self.edit_button, self.absence_button, self.stop_button):
            button.setEnabled(chosen is not None)
        self.stop_button.setText("Activate" if chosen is not None and not chosen.active else "Deactivate")

    def _open_profile(self, reader: Reader | None) -> None:
        self._close_forms()
        self._edited = reader
        self.profile.show_reader(reader)
        self.profile.show()
        self.profile.name.setFocus()

    def _open_absence(self) -> None:
        self._close_forms()
        self._edited = self.chosen
        if self._edited is not None:
            self.absence.show_reader(self._edited)
            self.absence.show()

    def _close_forms(self) -> None:
        self._edited = None
        self.profile.hide()
        self.absence.hide()


def readers_button(seat: Seat, text: str = "Readers ...") -> QPushButton:
    """Button that opens the panel of readers beside the others, or brings it to the front."""
    button = QPushButton(text)
    button.setToolTip("Add readers, change them, say when they are absent")
    button.clicked.connect(lambda: show_readers(seat))
    return button


def show_readers(seat: Seat) -> None:
    """Open the panel of readers of a viewer, or bring it to the front."""
    window = seat.viewer.window
    panel = next((x for x in window.dock_widgets.values() if isinstance(x, ReadersPanel)), None)
    if panel is None:
        window.add_dock_widget(ReadersPanel(seat), name=ReadersPanel.TITLE, area="right", tabify=True)
        return
    dock = panel.parentWidget()
    if isinstance(dock, QDockWidget):
        dock.show()
        dock.raise_()
