"""What hands do to the open region: labels and tools, undo, back to the AI."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.masks.overlap import with_margin
from napari_deferredseg.widgets.viewer.reach import Area

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.events import SeatEvents
    from napari_deferredseg.widgets.viewer.case_layers import CaseLayers

KEPT = ("paint", "fill", "polygon")
"""Tools that stay in the hand when another label is chosen; the others paint nothing, or background alone."""


class Tools:
    """Hands on the correction of the case that is shown."""

    def __init__(self, viewer: Any, session: Session, events: SeatEvents) -> None:
        self._viewer = viewer
        self._session = session
        self._events = events
        self._layers: CaseLayers | None = None
        self._edits = 0

    def take(self, layers: CaseLayers) -> None:
        """Work on the layers of another case."""
        self._layers = layers
        layers.correction.events.paint.connect(self.on_edit)
        layers.correction.events.set_data.connect(self.on_edit)

    def leave(self) -> None:
        """Work on none."""
        layers, self._layers = self._layers, None
        if layers is not None:
            layers.correction.events.paint.disconnect(self.on_edit)
            layers.correction.events.set_data.disconnect(self.on_edit)

    def begin(self, item: WorkItem | None) -> None:
        """Start on another region, with its label on a brush; None where none is open."""
        layers = self._layers
        if layers is None:
            return
        layers.brush.begin(None if item is None else partial(_area, item, layers))
        if item is not None:
            self.pick(item.region.labels[0] if item.region.labels else 1)

    def pick(self, label: int, mode: str = "paint") -> None:
        """Take a tool and a label into the hand, on one's own correction."""
        if self._layers is None or self._session.reading is None:
            return
        correction = self._layers.correction
        self._viewer.layers.selection.active = correction
        correction.selected_label = label
        self._layers.brush.resting.take(mode)

    def choose(self, label: int) -> None:
        """Go on with another label and the tool that is in the hand, where that paints labels; else with the brush."""
        if self._layers is None:
            return
        resting = self._layers.brush.resting
        self.pick(label, resting.mode if resting.mode in KEPT else "paint")
        resting.explain()

    @property
    def label(self) -> int | None:
        """What a stroke would paint now, 0 for background; None while no region is open."""
        if self._layers is None or self._session.reading is None:
            return None
        return self._layers.brush.label

    def undo(self) -> None:
        """Take the last stroke in this region back, whichever layer is active."""
        if self._layers is not None and self._session.reading is not None:
            self._say_if_idle(self._layers.correction.undo, "There is nothing to undo in this region.")

    def redo(self) -> None:
        """Do what was undone again."""
        if self._layers is not None and self._session.reading is not None:
            self._say_if_idle(self._layers.correction.redo, "There is nothing to redo in this region.")

    def reset_to_ai(self) -> None:
        """Paint the AI's mask back, as one step that can be undone. InputError when no region is open."""
        if self._layers is None:
            raise InputError("open a region of your worklist first")
        index, values = self._session.reset_to_ai()
        if index[0].size == 0:
            self._events.message.emit("This region is as the AI left it.")
            return
        axes = self._layers.frame.axes
        self._layers.correction.data_setitem(tuple(index[a] for a in axes), values)
        self.on_edit()  # napari tells of it before it writes

    def on_edit(self, event: Any = None) -> None:
        """Take in what was painted."""
        if self._session.look():
            self._edits += 1
            self._session.save()
        elif event is not None:  # napari tells of a polygon before it writes it
            QTimer.singleShot(0, self.on_edit)

    def _say_if_idle(self, action: Callable[[], Any], line: str) -> None:
        edits = self._edits
        action()
        self.on_edit()  # a layer that the user hid does not tell
        if self._edits == edits:
            self._events.message.emit(line)


def _area(item: WorkItem, layers: CaseLayers) -> Area:
    """A region and its margin, in the layers' order."""
    box, mask = with_margin(item.region, item.case.geometry)
    return Area(layers.frame.box_to_view(box), layers.frame.view(mask))
