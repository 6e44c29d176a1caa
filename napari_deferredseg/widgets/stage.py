"""One viewer and its session: what the session says becomes layers, what hands paint goes to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal, SignalGroup
from qtpy.QtCore import QTimer

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Verdict, WorkItem
from napari_deferredseg.usecases.open_case import load_case
from napari_deferredseg.usecases.project import open_project
from napari_deferredseg.usecases.session import Session, next_after
from napari_deferredseg.widgets.background import Relay, in_background, one_line
from napari_deferredseg.widgets.case_layers import CaseLayers, reader_colors
from napari_deferredseg.widgets.hands import Hands, jump
from napari_deferredseg.widgets.keys import Keys
from napari_deferredseg.widgets.orientation import OrientationLetters, Plane, show_plane
from napari_deferredseg.widgets.tracked import reset_undo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_deferredseg.core.boxes import Box


class StageEvents(SignalGroup):
    """What widgets show beside the session's own events. `busy` says what is going on, "" when nothing is."""

    message = Signal(str)
    problem = Signal(str)
    busy = Signal(str)
    picked = Signal(object)  # WorkItem or None


class Stage:
    """Layers, keys and mouse of one viewer, in step with one session."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.events = StageEvents()
        self.layers: CaseLayers | None = None
        self.items: list[WorkItem] = []
        self.picked: WorkItem | None = None
        self._tokens: set[object] = set()
        self._closed = False
        self._loading: str | None = None
        self._hidden: list[Layer] = []
        self._relay = Relay()
        self._relay.told.connect(self.events.problem.emit)
        self.saved = self._relay.saved
        self.letters = OrientationLetters(viewer)
        self.hands = Hands(viewer)
        self.keys = Keys(viewer, self)
        events = session.events
        events.case.connect(self._on_case)
        events.reading.connect(self._on_reading)
        events.labels.connect(self._on_labels)
        events.worklist.connect(self.refresh_items)
        events.message.connect(self.events.message.emit)
        events.saved.connect(self._relay.saved.emit)
        events.save_failed.connect(self._relay.told.emit)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_drag_callbacks.append(self._on_press)

    # widgets come and go; the last one to go closes the session
    def adopt(self, token: object) -> None:
        """Keep the stage open for a widget, which a token stands for."""
        self._tokens.add(token)

    def release(self, token: object) -> None:
        """Forget a widget that was closed; without any, the viewer is given back as it was."""
        self._tokens.discard(token)
        if not self._tokens and not self._closed:
            self._give_back()

    def lose(self, token: object) -> None:
        """Forget a widget that went with its window, whose layers and canvas must not be touched any more."""
        self._tokens.discard(token)
        if not self._tokens and not self._closed:
            self._closed = True
            for name in self.session.events:
                self.session.events[name].disconnect()
            self.session.close()

    def _give_back(self) -> None:
        self._closed = True
        self.session.close()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.mouse_drag_callbacks.remove(self._on_press)
        self.keys.uninstall()
        self.hands.uninstall()
        self.letters.close()

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something a hand asked for; what the user got wrong becomes a line in the panel. False then."""
        try:
            action()
        except InputError as error:
            self.events.problem.emit(one_line(error))
            return False
        return True

    def open_project(self, folder: Path) -> None:
        """Open a project in place of the present one. InputError when it is none."""
        self.session.set_project(open_project(folder))

    # cases and regions
    def open_item(self, item: WorkItem) -> None:
        """Open a region of the worklist, its case first where that is not open."""
        if self.session.case is not None and self.session.case.record.key == item.case.key:
            self.attempt(lambda: self.session.begin(item))
            return
        self.open_case(item.case.key, then=lambda: self.attempt(lambda: self.session.begin(item)))

    def open_case(self, key: str, then: Callable[[], Any] = lambda: None) -> None:
        """Read a case in the background and show it."""
        if self._loading is not None:
            self.events.message.emit(f"Still opening {self._loading} ...")
            return
        project = self.session.need_project()
        self._loading = key

        def shown(case: Any) -> None:
            self._loading = None
            self.events.busy.emit("")
            if self.session.project is project:
                self.session.set_case(case)
                then()

        def failed(line: str) -> None:
            self._loading = None
            self.events.busy.emit("")
            self.events.problem.emit(line)

        in_background(
            lambda progress: load_case(project, key, progress),
            done=shown,
            failed=failed,
            progressed=lambda share, doing: self.events.busy.emit(f"Opening {key}: {doing}" if share < 1 else ""),
        )

    def step(self, steps: int) -> None:
        """Open the next (1) or previous (-1) region of the worklist."""
        items = self.session.worklist()
        here = self.session.reading.item.region.id if self.session.reading else None
        item = next_after(items, here, steps)
        if item is None:
            self.events.message.emit("Your worklist is empty: nothing is left to do.")
        elif item.region.id == here:
            self.events.message.emit("This is the only region on your worklist.")
        else:
            self.open_item(item)

    # what a reader says about the open region
    def accept(self) -> None:
        """The AI is right."""
        self._finish_with(lambda: self.session.submit(Verdict.ACCEPTED), "accepted")

    def submit(self) -> None:
        """Keep what was painted."""
        self._finish_with(lambda: self.session.submit(Verdict.EDITED), "submitted")

    def give_verdict(self, verdict: Verdict) -> None:
        """Say that the region cannot be decided, or is pointless."""
        self._finish_with(lambda: self.session.submit(verdict), str(verdict))

    def skip(self) -> None:
        """Put the open region off."""
        self._finish_with(self.session.skip, "skipped: it waits at the end of your worklist")

    def decline(self, reason: str) -> None:
        """Refuse the open region."""
        self._finish_with(lambda: self.session.decline(reason), "declined: the lead will find somebody else")

    def amend(self) -> None:
        """Open the region submitted last again."""
        self.attempt(self.session.amend_last)

    def reset_to_ai(self) -> None:
        """Paint the AI's mask back, as one step that can be undone."""
        self.attempt(self._reset_to_ai)

    def undo(self) -> None:
        """Take the last stroke in this region back, whichever layer is active."""
        if self.layers is not None and self.session.reading is not None:
            self.layers.correction.undo()

    def redo(self) -> None:
        """Do what was undone again."""
        if self.layers is not None and self.session.reading is not None:
            self.layers.correction.redo()

    def pick_tool(self, label: int, mode: str = "paint") -> None:
        """Paint with a label on one's own correction."""
        if self.layers is None or self.session.reading is None:
            return
        correction = self.layers.correction
        self.viewer.layers.selection.active = correction
        correction.selected_label = label
        correction.mode = mode

    def hide_overlays(self) -> None:
        """Show the bare image, until `show_overlays`."""
        if self.layers is None or self._hidden:
            return
        self._hidden = [layer for layer in self.layers.overlays if layer.visible]
        for layer in self._hidden:
            layer.visible = False

    def show_overlays(self) -> None:
        """Bring back what `hide_overlays` hid."""
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            layer.visible = True

    def refresh_items(self) -> None:
        """Read the case's regions from the store again and colour them by who holds them now."""
        session = self.session
        if session.project is None or session.case is None or self.layers is None:
            self.items = []
            return
        items = session.project.store.items(case_key=session.case.record.key)
        known = {x.region.id for x in self.items}
        self.items = items
        if not all(x.region.id in known for x in items):
            self.layers.show_regions(items)
        self._recolor()

    def _recolor(self) -> None:
        reading = self.session.reading
        if self.layers is not None:
            self.layers.recolor_regions(self.items, reading.item.region.id if reading else None)

    # session -> viewer
    def _on_case(self) -> None:
        self._remove(self._forget_layers())
        session = self.session
        if session.case is None or session.work is None or session.project is None:
            return
        items = session.project.store.items(case_key=session.case.record.key)
        colors = reader_colors(session.project.store.readers())
        self.layers = CaseLayers(self.viewer, session.case, session.work, items, colors)
        self.items = items
        self.layers.correction.events.paint.connect(self._on_edit)
        self.layers.correction.events.set_data.connect(self._on_edit)
        show_plane(self.viewer, Plane.AXIAL)
        if items:
            self._jump(items[0])
        self.viewer.layers.selection.active = self.layers.regions

    def _on_reading(self) -> None:
        layers, reading = self.layers, self.session.reading
        if layers is None:
            return
        correction = layers.correction
        correction.visible = reading is not None
        correction.editable = reading is not None
        reset_undo(correction)
        layers.ai.contour = 0 if reading is None else 1
        layers.ai.opacity = 0.35 if reading is None else 0.9
        self._recolor()
        if reading is None:
            self.viewer.layers.selection.active = layers.regions
            return
        self.pick_tool(reading.item.region.labels[0] if reading.item.region.labels else 1)
        self._jump(reading.item)

    def _on_labels(self, box: Box) -> None:
        if self.layers is not None:
            self.layers.tracked.take_changed()
            self.layers.correction.refresh(extent=False, thumbnail=False)

    def _jump(self, item: WorkItem) -> None:
        if self.layers is None:
            return
        frame = self.layers.frame
        center = frame.to_view(item.case.geometry.index(item.region.center))
        jump(self.viewer, frame.box_to_view(item.region.box), frame, center=tuple(np.round(center)))

    # viewer -> session
    def _on_edit(self, event: Any = None) -> None:
        if self.layers is None:
            return
        box = self.layers.tracked.take_changed()
        if box is not None:
            self.session.note_change(self.layers.frame.box_to_file(box))

    def _reset_to_ai(self) -> None:
        if self.layers is None:
            raise InputError("open a region of your worklist first")
        index, values = self.session.reset_to_ai()
        if index[0].size == 0:
            self.events.message.emit("This region is as the AI left it.")
            return
        axes = self.layers.frame.axes
        self.layers.correction.data_setitem(tuple(index[a] for a in axes), values)
        self.layers.correction.refresh(extent=False, thumbnail=False)

    def _on_press(self, viewer: Any, event: Any) -> None:
        """A click that is no stroke picks the region under the cursor."""
        if self.layers is None or event.button != 1 or self.viewer.layers.selection.active == self.layers.correction:
            return
        number = self.layers.region_at(event.position)
        self.pick(next((x for x in self.items if x.region.number == number), None))

    def pick(self, item: WorkItem | None) -> None:
        """Mark a region as the one that *Defer to expert* is about."""
        self.picked = item
        if self.layers is not None:
            self.layers.regions.selected_label = item.region.number if item else 0
        self.events.picked.emit(item)

    def _finish_with(self, action: Callable[[], Any], said: str) -> None:
        reading = self.session.reading
        if reading is None:
            self.events.problem.emit("Open a region of your worklist first.")
            return
        number, here = reading.item.region.number, reading.item.region.id
        before = self.session.worklist()
        if not self.attempt(action):
            return
        self.events.message.emit(f"Region {number} {said}.")
        after = {item.region.id for item in self.session.worklist()}
        place = next((i for i, item in enumerate(before) if item.region.id == here), 0)
        rest = [item for item in before[place + 1 :] + before[:place] if item.region.id in after]
        if rest:
            self.open_item(rest[0])

    def _on_removed(self, event: Any) -> None:
        """Somebody deleted a layer of ours: the case is closed, the draft stays in the journal."""
        layers = self.layers
        if layers is None or event.value not in layers.all:
            return
        self._forget_layers()
        self.session.set_case(None)
        self.events.message.emit("The case was closed. What you painted is kept: open the region again.")
        # napari is still busy with its list of layers
        QTimer.singleShot(0, lambda: self._remove(layers))

    def _forget_layers(self) -> CaseLayers | None:
        layers, self.layers = self.layers, None
        self.items, self.picked, self._hidden = [], None, []
        if layers is not None:
            layers.correction.events.paint.disconnect(self._on_edit)
            layers.correction.events.set_data.disconnect(self._on_edit)
        return layers

    def _remove(self, layers: CaseLayers | None) -> None:
        for layer in layers.all if layers is not None else ():
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)


def stage_of(viewer: Viewer) -> Stage:
    """Stage of a viewer: the one that its docked widgets share, or a new one."""
    for widget in viewer.window.dock_widgets.values():
        stage = getattr(widget, "stage", None)
        if isinstance(stage, Stage):
            return stage
    return Stage(viewer, Session())
