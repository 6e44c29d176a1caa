"""Who is at the screen: one answer for all panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from napari_deferredseg.core.names import visible
from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.qt.colors import reader_colors, swatch
from napari_deferredseg.widgets.qt.fields import QuietComboBox
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.seat.settings import last_reader, remember_reader

if TYPE_CHECKING:
    from napari_deferredseg.widgets.seat.seat import Seat

NOBODY = "choose your name"


class WhoBar(QWidget):
    """The project's readers to choose oneself from. It shows what another panel's says, too."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat
        self._session = seat.session
        self.choice = QuietComboBox()
        self.choice.setToolTip("Who is this? Corrections, and what you send to others, are kept under this name.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("I am"))
        row.addWidget(self.choice, 1)
        self.choice.activated.connect(self._choose)
        listen(self, self._session.events.project, self._welcome)
        listen(self, self._session.events.readers, self._list_readers)
        listen(self, self._session.events.reader, self._show_reader)
        self._welcome()

    def _list_readers(self) -> None:
        self.choice.clear()
        self.choice.addItem(NOBODY, None)
        readers = self._session.readers()
        colors = reader_colors(readers, read_settings().outlines)
        for reader in (x for x in readers if x.active):
            self.choice.addItem(swatch(colors[reader.login]), visible(reader.name), reader.login)
        self._show_reader()

    def _welcome(self) -> None:
        """Take whoever read last at this computer for the reader of a project that was opened."""
        self._list_readers()
        known = self.choice.findData(last_reader())
        if self._session.reader is None and known > 0:
            self._seat.attempt(lambda: self._session.choose_reader(last_reader()))
            name = self.choice.itemText(known)
            self._seat.events.message.emit(f"Reading as {name}. Not you? Choose your name above.")
        self._show_reader()

    def _choose(self, index: int) -> None:
        login = self.choice.itemData(index)
        if self._seat.attempt(lambda: self._session.choose_reader(login)) and login:
            remember_reader(login)
            waiting = self._session.waiting()
            if self._session.case is None and waiting:
                self._seat.navigation.open_case(waiting[0].case.key)
        self._show_reader()

    def _show_reader(self) -> None:
        reader = self._session.reader
        self.choice.setCurrentIndex(0 if reader is None else self.choice.findData(reader.login))
