"""The labels that the open region can be painted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QGridLayout, QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from napari_deferredseg.widgets.panel import swatch
from napari_deferredseg.widgets.plain import as_tip, on_button

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Region
    from napari_deferredseg.core.volume import Label, LabelTable
    from napari_deferredseg.widgets.stage import Stage

BACKGROUND = "background"
MOST_LABELS = 2


class PaintBar(QWidget):
    """A button for each label that the region is about, one for background, one for all the others.

    The buttons stay and say something else for the next region: new ones would cost the reader 10 ms each time.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self._values: tuple[int, ...] = ()
        self._table: LabelTable | None = None
        self.labels = [QPushButton() for _ in range(MOST_LABELS)]
        self.eraser = QPushButton(BACKGROUND)
        self.eraser.setToolTip("Erase: paint background")
        self.other = QPushButton("other")
        self.other.setToolTip("Paint another label")
        self.other.setMenu(QMenu(self.other))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Paint"), 0, 0)
        for place, button in enumerate((*self.labels, self.eraser, self.other)):
            # A long name is cut, it does not widen the panel.
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            grid.addWidget(button, place // MOST_LABELS, 1 + place % MOST_LABELS)
            grid.setColumnStretch(1 + place % MOST_LABELS, 1)
        for place, button in enumerate(self.labels):
            button.clicked.connect(lambda _=False, place=place: stage.pick_tool(self._values[place]))
        self.eraser.clicked.connect(lambda: stage.pick_tool((*self._values, 1)[0], "erase"))

    def show_region(self, region: Region, table: LabelTable) -> None:
        """Offer what this region may need."""
        if (region.labels[:MOST_LABELS], table) == (self._values, self._table):
            return
        self._values, self._table = region.labels[:MOST_LABELS], table
        for place, button in enumerate(self.labels):
            button.setVisible(place < len(self._values))
            if place < len(self._values):
                label = table.get(self._values[place])
                button.setText(on_button(label.name))
                button.setIcon(swatch(QColor(*label.color).name()))
                button.setToolTip(as_tip(f"Paint {label.name}"))
        self._list_others([label for label in table.labels if label.value not in self._values])

    def _list_others(self, labels: list[Label]) -> None:
        menu = self.other.menu()
        assert menu is not None
        menu.clear()
        for label in labels:
            action = menu.addAction(swatch(QColor(*label.color).name()), on_button(label.name))
            action.triggered.connect(lambda _=False, value=label.value: self._stage.pick_tool(value))
        self.other.setVisible(bool(labels))
