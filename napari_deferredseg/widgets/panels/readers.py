"""*Readers*: who reads in this project, since when not, and what they may do."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from qtpy.QtCore import QDate, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDateEdit,
    QDockWidget,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import LONGEST, visible
from napari_deferredseg.core.records import Role
from napari_deferredseg.usecases import readers
from napari_deferredseg.usecases.permissions import open_to_all
from napari_deferredseg.usecases.readers import USUAL_CAPACITY, Profile, standing_of
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.fields import QuietComboBox
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import PlainLabel, RichLabel, as_tip, escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader
    from napari_deferredseg.widgets.seat.seat import Seat

COLUMNS = ("Name", "min/day", "Role", "Away")
LIST_HINT = "separate with ;"
DAY_FORMAT = "yyyy-MM-dd"
FADED = QColor("#8c8f96")
"""Can be read on napari's dark and on its light ground."""


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
        self.session.readers_changed()
        self.table.select(next((i for i, x in enumerate(self._shown) if x.login == reader.login), -1))
        self.seat.events.message.emit(line)

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


class ProfileForm(QWidget):
    """What is kept of a reader."""

    saved = Signal()
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title = RichLabel()
        self.name, self.login = QLineEdit(), QLineEdit()
        self.capacity = QSpinBox()
        self.capacity.setRange(0, 24 * 60)
        self.capacity.setToolTip("Minutes of reading a day; with 0 nothing is routed to them")
        self.role = QuietComboBox()
        for role in Role:
            self.role.addItem(str(role), role)
        self.specialities, self.groups = QLineEdit(), QLineEdit()
        self.login.setPlaceholderText("made from the name")
        self.specialities.setPlaceholderText(f"labels, {LIST_HINT}")
        self.groups.setPlaceholderText(LIST_HINT)
        self.save, self.cancel = QPushButton("Save"), QPushButton("Cancel")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        rows = (
            *(("Name", self.name), ("Login", self.login), ("Minutes a day", self.capacity), ("Role", self.role)),
            *(("Knows best", self.specialities), ("Groups", self.groups)),
        )
        for label, field in rows:
            form.addRow(label, field)
        _lay_out(self, self.title, form, (self.save, self.cancel))
        for line in (self.name, self.login, self.specialities, self.groups):
            line.returnPressed.connect(self.saved.emit)
        self.name.setMaxLength(LONGEST)
        self.save.clicked.connect(self.saved.emit)
        self.cancel.clicked.connect(self.cancelled.emit)
        self.role.activated.connect(self._usual_capacity)
        self._before = self.value()

    def show_reader(self, reader: Reader | None) -> None:
        """Show what is kept of a reader, None for a new one."""
        self.title.setText("<b>New reader</b>" if reader is None else f"<b>{escaped(reader.name)}</b>")
        self.login.setEnabled(reader is None)
        self.name.setText("" if reader is None else reader.name)
        self.login.setText("" if reader is None else reader.login)
        self.capacity.setValue(round(USUAL_CAPACITY if reader is None else reader.capacity))
        self.role.setCurrentIndex(0 if reader is None else self.role.findData(reader.role))
        self.specialities.setText("" if reader is None else "; ".join(reader.specialities))
        self.groups.setText("" if reader is None else "; ".join(reader.groups))
        self._before = self.value()

    def value(self) -> Profile:
        """What was typed."""
        role = Role(self.role.currentData())
        names = (_listed(self.specialities.text()), _listed(self.groups.text()))
        return Profile(self.name.text(), self.login.text().strip(), self.capacity.value(), names[0], role, names[1])

    def changes(self) -> dict[str, object]:
        """What was typed otherwise than it was shown, by field."""
        before, now = self._before._asdict(), self.value()._asdict()
        return {name: value for name, value in now.items() if value != before[name]}

    def _usual_capacity(self) -> None:
        """A new admin only manages, unless told otherwise."""
        if self.login.isEnabled() and self.capacity.value() in (0, round(USUAL_CAPACITY)):
            is_admin = Role(self.role.currentData()) is Role.ADMIN
            self.capacity.setValue(0 if is_admin else round(USUAL_CAPACITY))


class AbsenceForm(QWidget):
    """From which to which day a reader is absent."""

    saved = Signal()
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title = RichLabel()
        self.first, self.last = QDateEdit(), QDateEdit()
        for field in (self.first, self.last):
            field.setDisplayFormat(DAY_FORMAT)
            field.setCalendarPopup(True)
        self.save, self.none, self.cancel = QPushButton("Save"), QPushButton("Not absent"), QPushButton("Cancel")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("First day", self.first)
        form.addRow("Last day", self.last)
        hint = PlainLabel("Nothing is routed to them on these days. What they have stays theirs.")
        hint.setWordWrap(True)
        form.addRow(hint)
        _lay_out(self, self.title, form, (self.save, self.none, self.cancel))
        self._is_absent = True
        self.save.clicked.connect(lambda: self._save(is_absent=True))
        self.none.clicked.connect(lambda: self._save(is_absent=False))
        self.cancel.clicked.connect(self.cancelled.emit)
        self.first.dateChanged.connect(lambda day: self.last.setDate(max(day, self.last.date())))

    def show_reader(self, reader: Reader) -> None:
        """Show when a reader is absent; today where that is not said."""
        self.title.setText(f"<b>{escaped(reader.name)}</b> is absent")
        today = QDate.currentDate()
        self.first.setDate(today if reader.absent_from is None else _qt_day(reader.absent_from))
        self.last.setDate(today if reader.absent_to is None else _qt_day(reader.absent_to))
        self.none.setEnabled(reader.absent_from is not None)

    def value(self) -> tuple[date | None, date | None]:
        """First and last day; None and None where the reader is not absent."""
        if not self._is_absent:
            return None, None
        return _python_day(self.first.date()), _python_day(self.last.date())

    def _save(self, *, is_absent: bool) -> None:
        self._is_absent = is_absent
        self.saved.emit()


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


def _lay_out(form: QWidget, title: QLabel, fields: QFormLayout, buttons: Sequence[QPushButton]) -> None:
    column, row = QVBoxLayout(form), QHBoxLayout()
    column.setContentsMargins(0, 6, 0, 0)
    column.addWidget(title)
    column.addLayout(fields)
    for button in buttons:
        row.addWidget(button)
    column.addLayout(row)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _qt_day(day: date) -> QDate:
    return QDate(day.year, day.month, day.day)


def _python_day(day: QDate) -> date:
    return date(day.year(), day.month(), day.day())


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
