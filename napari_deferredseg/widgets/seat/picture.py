"""What the session says becomes layers; what hands paint on them goes to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.qt.colors import reader_colors
from napari_deferredseg.widgets.seat.settings import brush_size
from napari_deferredseg.widgets.viewer.case_layers import CaseLayers, beside, layers_for
from napari_deferredseg.widgets.viewer.hands import jump
from napari_deferredseg.widgets.viewer.hiding import Hiding
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane
from napari_deferredseg.widgets.viewer.tracked import reset_undo

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.events import SeatEvents
    from napari_deferredseg.widgets.seat.tools import Tools
    from napari_deferredseg.widgets.viewer.cursor_line import CursorLine

CLOSED = "The case was closed. What you painted is kept: open the region again."


class Picture:
    """The open case on the canvas.

    Attributes
    ----------
    layers : CaseLayers or None
    items : list of WorkItem
        Regions of the case as they were read last.
    picked : WorkItem or None
        The region that *Defer to expert* is about.
    """

    def __init__(
        self, viewer: Viewer, session: Session, events: SeatEvents, tools: Tools, cursor_line: CursorLine
    ) -> None:
        self._viewer, self._session, self._events = viewer, session, events
        self._tools, self._cursor_line = tools, cursor_line
        self._hiding = Hiding()
        self.layers: CaseLayers | None = None
        self.items: list[WorkItem] = []
        self.picked: WorkItem | None = None
        session.watch(self._changed)
        session.events.case.connect(self._on_case)
        session.events.reading.connect(self._on_reading)
        session.events.labels.connect(self._on_labels)
        session.events.readers.connect(self._on_readers)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self, *, is_viewer_there: bool) -> None:
        """Listen no more; a viewer that went with its window is not touched."""
        self._hiding.close()
        if is_viewer_there:
            self._viewer.layers.events.removed.disconnect(self._on_removed)
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def shows(self, layer: Layer) -> bool:
        """Whether a layer belongs to the open case."""
        return self.layers is not None and layer in self.layers.all

    def check(self) -> None:
        """InputError when a layer showed something else than what would be kept."""
        if self.layers is not None:
            self.layers.check()

    def hide_overlays(self) -> None:
        """Show the bare image, until `show_overlays`."""
        if self.layers is not None:
            self._hiding.hide(self.layers.overlays)

    def show_overlays(self) -> None:
        """Bring back what `hide_overlays` hid."""
        self._hiding.show()

    def refresh(self) -> None:
        """Read the case's regions again, and colour them by who holds them now."""
        is_shown = self.layers is not None and self._session.case is not None
        self.items = self._session.regions() if is_shown else []
        if self.layers is not None and is_shown:
            self._recolor()
            self.layers.outlines.describe(self.items)

    def pick(self, item: WorkItem | None) -> None:
        """Mark a region as the one that *Defer to expert* is about."""
        self.picked = item
        if self.layers is not None:
            self.layers.outlines.pick(item)
        self._events.picked.emit(item)

    def look_at(self, item: WorkItem) -> None:
        """Pick a region and bring it into view; while another one is being read the picture stays."""
        self.pick(item)
        if self._session.reading is None:
            self.jump_to(item)

    def jump_to(self, item: WorkItem) -> None:
        """Bring a region to the middle of the screen."""
        if self.layers is None:
            return
        frame = self.layers.frame
        self._cursor_line.forget()
        jump(self._viewer, frame.box_to_view(item.region.box), frame, center=self.layers.center(item))

    # session -> viewer
    def _on_case(self) -> None:
        shown, session = self._forget(), self._session
        if session.case is None or session.work is None or session.project is None:
            if shown is not None:
                shown.leave(self._viewer)
            return
        self.items = items = session.regions()
        case, work, colors = session.case, session.work, self._colors()
        self.layers = layers_for(self._viewer, shown, case, work, items, colors, brush_size())
        if self.layers is not shown:
            self._hear(self.layers)
            show_plane(self._viewer, Plane.AXIAL)
            if remark := beside(self._viewer, self.layers):
                self._events.message.emit(remark)
        self._tools.take(self.layers)
        if items:
            self._viewer.dims.point = tuple(self.layers.frame.world(self.layers.center(items[0])))
        self._viewer.layers.selection.active = self.layers.regions

    def _hear(self, layers: CaseLayers) -> None:
        # psygnal tries out a signal's own `emit` when it is connected: whoever listens would hear that
        layers.anchors.warned.connect(lambda line: self._events.problem.emit(line))
        layers.brush.warned.connect(lambda line: self._events.problem.emit(line))
        layers.brush.said.connect(lambda line: self._events.message.emit(line))
        layers.brush.changed.connect(lambda: self._events.tool.emit())

    def _on_reading(self) -> None:
        self.show_overlays()
        layers, reading = self.layers, self._session.reading
        if layers is None:
            return
        layers.tracked.take_changed()
        reset_undo(layers.correction)
        layers.show_reading(reading is not None)
        self._recolor()
        self._tools.begin(None if reading is None else reading.item)
        if reading is None:
            self._viewer.layers.selection.active = layers.in_hand(is_reading=False)
            return
        self.jump_to(reading.item)

    def _on_labels(self, box: Box) -> None:
        if self.layers is not None:
            self.layers.tracked.take_changed()
            self.layers.correction.refresh(extent=False, thumbnail=False)

    def _on_readers(self) -> None:
        """The swatches of the panels follow at once, and a name's colour may be another one now."""
        if self.layers is not None:
            self.layers.outlines.recolor(self._colors())

    def _colors(self) -> dict[str, str]:
        return reader_colors(self._session.readers(), read_settings().outlines)

    def _recolor(self) -> None:
        reading = self._session.reading
        if self.layers is not None:
            self.layers.outlines.show(self.items, reading.item.region.id if reading else None)

    # viewer -> session
    def _changed(self) -> Box | None:
        """Box that hands have written to since the last look, file order."""
        box = self.layers.tracked.take_changed() if self.layers is not None else None
        return self.layers.frame.box_to_file(box) if self.layers is not None and box is not None else None

    def _on_press(self, viewer: Any, event: Any) -> None:
        """A click that is no stroke picks the region under the cursor."""
        active = self._viewer.layers.selection.active
        if self.layers is None or event.button != 1 or self.layers.drawn_on(active):
            return
        number = self.layers.outlines.at(event.position)
        self.pick(next((x for x in self.items if x.region.number == number), None))

    def _on_removed(self, event: Any) -> None:
        """Somebody deleted a layer of ours: the case is closed, the draft stays in the journal."""
        layers = self.layers
        if layers is None or event.value not in layers.all:
            return
        self._tools.on_edit()
        self._forget()
        self._session.set_case(None)
        self._events.message.emit(CLOSED)
        # napari is still busy with its list of layers
        QTimer.singleShot(0, lambda: layers.leave(self._viewer))

    def _forget(self) -> CaseLayers | None:
        layers, self.layers = self.layers, None
        self.items, self.picked = [], None
        self._hiding.show()
        self._tools.leave()
        return layers
