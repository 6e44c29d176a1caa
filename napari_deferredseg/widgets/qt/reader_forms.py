"""Forms about one reader: what they are and may do, and when they are away."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from qtpy.QtCore import QDate, Signal
from qtpy.QtWidgets import (
    QDateEdit,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_deferredseg.core.names import LONGEST
from napari_deferredseg.core.records import Role
from napari_deferredseg.usecases.readers import USUAL_CAPACITY, Profile
from napari_deferredseg.widgets.qt.fields import QuietComboBox
from napari_deferredseg.widgets.qt.plain import PlainLabel, RichLabel, escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader

LIST_HINT = "separate with ;"
DAY_FORMAT = "yyyy-MM-dd"


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
        self._is_capacity_theirs = False
        self.role.activated.connect(self._usual_capacity)
        self.capacity.valueChanged.connect(self._on_capacity)
        self.capacity.lineEdit().textEdited.connect(self._on_capacity)
        self._before = self.value()

    def show_reader(self, reader: Reader | None) -> None:
        """Show what is kept of a reader, None for a new one."""
        self.title.setText("<b>New reader</b>" if reader is None else f"<b>{escaped(reader.name)}</b>")
        self.login.setEnabled(reader is None)
        self.name.setText("" if reader is None else reader.name)
        self.login.setText("" if reader is None else reader.login)
        self.capacity.setValue(round(USUAL_CAPACITY if reader is None else reader.capacity))
        self._is_capacity_theirs = reader is not None
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
        if self._is_capacity_theirs:
            return
        is_admin = Role(self.role.currentData()) is Role.ADMIN
        self.capacity.setValue(0 if is_admin else round(USUAL_CAPACITY))
        self._is_capacity_theirs = False

    def _on_capacity(self) -> None:
        """What somebody typed is not changed by the role that they choose afterwards."""
        self._is_capacity_theirs = True


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
