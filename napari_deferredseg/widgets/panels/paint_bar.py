"""The labels that the open region can be painted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon
from qtpy.QtWidgets import QGridLayout, QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from napari_deferredseg.widgets.qt.colors import swatch
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import as_tip, on_button

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Region
    from napari_deferredseg.core.volume import Label, LabelTable
    from napari_deferredseg.widgets.seat.seat import Seat

BACKGROUND = "background"
MOST_LABELS = 2


OTHER = "other"


class PaintBar(QWidget):
    """A button for each label that the region is about, one for background, one for all the others.

    The label that a stroke would paint is on the pressed one, whatever chose it. They work with every tool: brush, fill
    and polygon. The buttons stay and say something else for the next region: new ones would cost the reader 10 ms.
    """

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat
        self._values: tuple[int, ...] = ()
        self._table: LabelTable | None = None
        self._has_others = False
        self.labels = [QPushButton() for _ in range(MOST_LABELS)]
        self.eraser = QPushButton(BACKGROUND)
        self.eraser.setToolTip("Erase: paint background, with brush, fill or polygon")
        self.other = QPushButton(OTHER)
        self.other.setToolTip("Paint another label")
        self.other.setMenu(QMenu(self.other))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Paint"), 0, 0)
        for place, button in enumerate((*self.labels, self.eraser, self.other)):
            # A long name is cut, it does not widen the panel.
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setCheckable(True)
            grid.addWidget(button, place // MOST_LABELS, 1 + place % MOST_LABELS)
            grid.setColumnStretch(1 + place % MOST_LABELS, 1)
        for place, button in enumerate(self.labels):
            button.clicked.connect(lambda _=False, place=place: self._choose(self._values[place]))
        self.eraser.clicked.connect(lambda: self._choose(0))
        listen(self, seat.events.tool, self.refresh)

    def show_region(self, region: Region, table: LabelTable) -> None:
        """Offer what this region may need."""
        if (region.labels[:MOST_LABELS], table) != (self._values, self._table):
            self._values, self._table = region.labels[:MOST_LABELS], table
            for place, button in enumerate(self.labels):
                button.setVisible(place < len(self._values))
                if place < len(self._values):
                    label = table.get(self._values[place])
                    button.setText(on_button(label.name))
                    button.setIcon(swatch(QColor(*label.color).name()))
                    button.setToolTip(as_tip(f"Paint {label.name}"))
            self._list_others([label for label in table.labels if label.value not in self._values])
        self.refresh()

    def refresh(self) -> None:
        """Press the button of the label that is in the hand."""
        value = self._seat.tools.label
        for place, button in enumerate(self.labels):
            button.setChecked(place < len(self._values) and value == self._values[place])
        self.eraser.setChecked(value == 0)
        is_other = value is not None and value not in (0, *self._values)
        if is_other or self.other.isChecked():
            self._show_other(value if is_other else None)
            self.other.setVisible(is_other or self._has_others)
        self.other.setChecked(is_other)

    def _choose(self, value: int) -> None:
        self._seat.tools.choose(value)
        self.refresh()  # Qt lets go of the pressed button that is clicked again

    def _show_other(self, value: int | None) -> None:
        known = value is not None and self._table is not None and value in self._table
        name = OTHER if value is None else f"{value}, no name"
        color = None
        if known and self._table is not None and value is not None:
            label = self._table.get(value)
            name, color = label.name, QColor(*label.color).name()
        self.other.setText(on_button(name))
        self.other.setIcon(QIcon() if color is None else swatch(color))

    def _list_others(self, labels: list[Label]) -> None:
        menu = self.other.menu()
        assert menu is not None
        menu.clear()
        for label in labels:
            action = menu.addAction(swatch(QColor(*label.color).name()), on_button(label.name))
            action.triggered.connect(lambda _=False, value=label.value: self._choose(value))
        self._has_others = bool(labels)
        self.other.setVisible(self._has_others)
