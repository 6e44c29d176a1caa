"""One viewer and its session: what the session says becomes layers, what hands paint goes to the session."""

from __future__ import annotations

import logging
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_deferredseg.core.errors import DeferredSegError
from napari_deferredseg.core.log import log_failure
from napari_deferredseg.core.records import Verdict, WorkItem
from napari_deferredseg.usecases.project import open_project
from napari_deferredseg.usecases.reading.session import next_after
from napari_deferredseg.widgets.background import Relay, one_line
from napari_deferredseg.widgets.case_layers import CaseLayers, beside, layers_for, reader_colors
from napari_deferredseg.widgets.claims import Claims
from napari_deferredseg.widgets.hands import Attached, Hands, jump
from napari_deferredseg.widgets.hiding import Hiding
from napari_deferredseg.widgets.inference import Inference
from napari_deferredseg.widgets.opening import Opener, StageEvents
from napari_deferredseg.widgets.orientation import OrientationLetters, Plane, show_plane
from napari_deferredseg.widgets.tools import Tools
from napari_deferredseg.widgets.tracked import reset_undo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.usecases.reading.open_case import OpenCase
    from napari_deferredseg.usecases.reading.session import Session


log = logging.getLogger(__name__)
REOPEN = "U opens it again."
DECLINED = "declined: the lead will find somebody else."
DRAFT_STAYS = " What you painted stays on this computer as a draft."
LATER_MS = 150
"""The next region comes first; lists of regions are read again so much later."""


class Stage:
    """Layers and mouse of one viewer, in step with one session."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.events = StageEvents()
        self.layers: CaseLayers | None = None
        self.items: list[WorkItem] = []
        self.picked: WorkItem | None = None
        self._tokens: set[object] = set()
        self._attached: list[Attached] = []
        self._closed = False
        self._opener = Opener(session, self.events)
        self.tools = Tools(viewer, session, self.events)
        self._claims = Claims(session, self.events)
        self._edits = 0
        self._later = QTimer()
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh_lists)
        self._relay = Relay()
        self._relay.told.connect(self.events.problem.emit)
        self.saved = self._relay.saved
        self.letters = OrientationLetters(viewer)
        self.hands = Hands(viewer)
        self.hiding = Hiding()
        self.inference = Inference()
        session.watch(self._changed)
        events = session.events
        events.case.connect(self._on_case)
        events.reading.connect(self._on_reading)
        events.labels.connect(self._on_labels)
        events.worklist.connect(self._on_worklist)
        events.message.connect(self.events.message.emit)
        events.saved.connect(self._relay.saved.emit)
        events.save_failed.connect(self._relay.told.emit)
        events.claim_lost.connect(self._relay.told.emit)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def attach(self, part: Attached) -> None:
        """Take back with everything else what was installed on the viewer."""
        self._attached.append(part)

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
            self.hiding.close()
            self.inference.close()
            self._claims.close()
            for group in (self.session.events, self.events):
                for name in group:
                    group[name].disconnect()
            self.session.close()

    def _give_back(self) -> None:
        self._closed = True
        self.hiding.close()
        self.inference.close()
        self._claims.close()
        self.session.close()
        self._later.stop()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.mouse_drag_callbacks.remove(self._on_press)
        for part in (*self._attached, self.hands):
            part.uninstall()
        self.letters.close()

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something a hand asked for; what the user got wrong becomes a line in the panel. False then."""
        try:
            action()
        except DeferredSegError as error:
            self.events.problem.emit(one_line(error))
            return False
        except Exception as error:  # napari shows it
            log_failure(log, error, "what a hand asked for")
            raise
        return True

    def open_project(self, folder: Path) -> None:
        """Open a project in place of the present one. InputError when it is none."""
        self.session.set_project(open_project(folder))

    # cases and regions
    def open_item(self, item: WorkItem) -> None:
        """Open a region of the worklist, its case first where that is not open."""
        if self.session.case is not None and self.session.case.record.key == item.case.key:
            self._claims.open([item])
            return
        self.open_case(item.case.key, then=lambda: self._claims.open([item]))

    def open_case(self, key: str, then: Callable[[], Any] = lambda: None) -> None:
        """Read a case in the background and show it."""
        project = self.session.need_project()

        def show(case: OpenCase) -> None:
            if self.session.project is project:
                self.session.set_case(case)
                then()

        self._opener.open(project, key, show)

    def step(self, steps: int) -> None:
        """Open the next (1) or previous (-1) region of the worklist."""
        here = self.session.reading.item.region.id if self.session.reading else None
        item = next_after(self.session.waiting(), here, steps)
        if item is None or item.region.id == here:  # what was seen last may be old
            item = next_after(self.session.worklist(), here, steps)
        if item is None:
            self.events.message.emit("Your worklist is empty: nothing is left to do.")
        elif item.region.id == here:
            self.events.message.emit("This is the only region on your worklist.")
        else:
            self.open_item(item)

    # what a reader says about the open region
    def accept(self) -> None:
        """The AI is right."""
        self._finish_with(lambda: self._keep(Verdict.ACCEPTED), f"accepted. {REOPEN}")

    def submit(self) -> None:
        """Keep what was painted."""
        self._finish_with(lambda: self._keep(Verdict.EDITED), f"submitted. {REOPEN}")

    def give_verdict(self, verdict: Verdict) -> None:
        """Say that the region cannot be decided, or is pointless."""
        said = {Verdict.INDETERMINATE: "cannot be decided on this image", Verdict.POINTLESS: "is pointless"}[verdict]
        self._finish_with(lambda: self._keep(verdict), f"{said}: submitted. {REOPEN}")

    def _keep(self, verdict: Verdict) -> None:
        """Submit what the reader sees. InputError when a layer showed something else than what would be kept."""
        if self.layers is not None:
            self.layers.check()
        self.session.submit(verdict)

    def skip(self) -> None:
        """Put the open region off."""
        self._finish_with(self.session.skip, "skipped: it waits at the end of your worklist.")

    def decline(self, reason: str) -> None:
        """Refuse the open region."""
        self._finish_with(lambda: DRAFT_STAYS if self.session.decline(reason) else "", DECLINED)

    def amend(self) -> None:
        """Open the region submitted last again, its case first where another one is open."""
        last, case = self.session.last, self.session.case
        if last is None or (case is not None and case.record.key == last.case.key):
            self._amend()
        else:
            self.open_case(last.case.key, then=self._amend)

    def reset_to_ai(self) -> None:
        """Paint the AI's mask back, as one step that can be undone."""
        self.attempt(self.tools.reset_to_ai)

    def undo(self) -> None:
        """Take the last stroke in this region back, whichever layer is active."""
        self.tools.undo()

    def redo(self) -> None:
        """Do what was undone again."""
        self.tools.redo()

    def pick_tool(self, label: int, mode: str = "paint") -> None:
        """Paint with a label on one's own correction."""
        self.tools.pick(label, mode)

    def shows(self, layer: Layer) -> bool:
        """Whether a layer belongs to the open case."""
        return self.layers is not None and layer in self.layers.all

    def hide_overlays(self) -> None:
        """Show the bare image, until `show_overlays`."""
        if self.layers is not None:
            self.hiding.hide(self.layers.overlays)

    def show_overlays(self) -> None:
        """Bring back what `hide_overlays` hid."""
        self.hiding.show()

    def refresh_lists(self) -> None:
        """Read the case's regions from the store again, colour them by who holds them now, and tell the widgets."""
        self._later.stop()
        session = self.session
        if session.project is None or session.case is None or self.layers is None:
            self.items = []
        else:
            self.items = session.project.store.items(case_key=session.case.record.key)
            self._recolor()
            self.layers.outlines.describe(self.items)
        self.events.lists.emit()

    def _on_worklist(self) -> None:
        if self.session.reading is None:
            self.refresh_lists()
        else:
            self._later.start(LATER_MS)

    def _recolor(self) -> None:
        reading = self.session.reading
        if self.layers is not None:
            self.layers.outlines.show(self.items, reading.item.region.id if reading else None)

    # session -> viewer
    def _on_case(self) -> None:
        shown, session = self._forget_layers(), self.session
        if session.case is None or session.work is None or session.project is None:
            if shown is not None:
                shown.leave(self.viewer)
            return
        self.items = items = session.project.store.items(case_key=session.case.record.key)
        colors = reader_colors(session.project.store.readers())
        self.layers = layers_for(self.viewer, shown, session.case, session.work, items, colors)
        if self.layers is not shown:
            self._hear(self.layers)
            show_plane(self.viewer, Plane.AXIAL)
            if remark := beside(self.viewer, self.layers):
                self.events.message.emit(remark)
        self.tools.take(self.layers)
        if items:
            self.viewer.dims.point = tuple(self.layers.frame.world(self.layers.center(items[0])))
        self.viewer.layers.selection.active = self.layers.regions

    def _hear(self, layers: CaseLayers) -> None:
        # psygnal tries out a signal's own `emit` when it is connected: whoever listens would hear that
        layers.anchors.told.connect(lambda line: self.events.problem.emit(line))
        layers.brush.warned.connect(lambda line: self.events.problem.emit(line))
        layers.brush.said.connect(lambda line: self.events.message.emit(line))
        layers.brush.changed.connect(lambda: self.events.tool.emit())

    def _on_reading(self) -> None:
        self.show_overlays()
        layers, reading = self.layers, self.session.reading
        if layers is None:
            return
        layers.tracked.take_changed()
        reset_undo(layers.correction)
        layers.show_reading(reading is not None)
        self._recolor()
        self.tools.begin(None if reading is None else reading.item)
        if reading is None:
            self.viewer.layers.selection.active = layers.in_hand(is_reading=False)
            return
        self._jump(reading.item)

    def _on_labels(self, box: Box) -> None:
        if self.layers is not None:
            self.layers.tracked.take_changed()
            self.layers.correction.refresh(extent=False, thumbnail=False)

    def _jump(self, item: WorkItem) -> None:
        if self.layers is None:
            return
        frame = self.layers.frame
        self.hands.cursor_line.forget()
        jump(self.viewer, frame.box_to_view(item.region.box), frame, center=self.layers.center(item))

    # viewer -> session
    def _changed(self) -> Box | None:
        """Box that hands have written to since the last look, file order."""
        box = self.layers.tracked.take_changed() if self.layers is not None else None
        return self.layers.frame.box_to_file(box) if self.layers is not None and box is not None else None

    def _on_press(self, viewer: Any, event: Any) -> None:
        """A click that is no stroke picks the region under the cursor."""
        active = self.viewer.layers.selection.active
        if self.layers is None or event.button != 1 or self.layers.drawn_on(active):
            return
        number = self.layers.outlines.at(event.position)
        self.pick(next((x for x in self.items if x.region.number == number), None))

    def pick(self, item: WorkItem | None) -> None:
        """Mark a region as the one that *Defer to expert* is about."""
        self.picked = item
        if self.layers is not None:
            self.layers.outlines.pick(item)
        self.events.picked.emit(item)

    def look_at(self, item: WorkItem) -> None:
        """Pick a region and bring it into view; while another one is being read the picture stays."""
        self.pick(item)
        if self.session.reading is None:
            self._jump(item)

    def _finish_with(self, action: Callable[[], str | None], said: str) -> None:
        """Do what closes the open region, say so and what more it returns, and open the next."""
        if self._claims.is_asking():
            return
        if (reading := self.session.reading) is None:
            self.events.problem.emit("Open a region of your worklist first.")
            return
        number, here = reading.item.region.number, reading.item.region.id
        before = self.session.waiting()
        place = next((i for i, item in enumerate(before) if item.region.id == here), len(before))
        with self.session.together():
            more: list[str | None] = []
            if self.attempt(lambda: more.append(action())):
                self.events.message.emit(f"Region {number} {said}{more[0] or ''}")
                self._open_first(before[place + 1 :] + before[:place])

    def _open_first(self, items: list[WorkItem]) -> None:
        """Open the first of these that nobody else has taken in the meantime."""
        case = self.session.case
        here = list(takewhile(lambda item: case is not None and item.case.key == case.record.key, items))
        self._claims.open(here, otherwise=lambda: self.open_item(items[len(here)]) if items[len(here) :] else None)

    def _on_removed(self, event: Any) -> None:
        """Somebody deleted a layer of ours: the case is closed, the draft stays in the journal."""
        layers = self.layers
        if layers is None or event.value not in layers.all:
            return
        self.tools.on_edit()
        self._forget_layers()
        self.session.set_case(None)
        self.events.message.emit("The case was closed. What you painted is kept: open the region again.")
        # napari is still busy with its list of layers
        QTimer.singleShot(0, lambda: layers.leave(self.viewer))

    def _amend(self) -> None:
        self.attempt(lambda: self._claims.open([self.session.last_item()], then=self._tell_amending))

    def _tell_amending(self) -> None:
        reading = self.session.reading
        if reading is None or not reading.supersedes:
            return
        if reading.recovered:
            line = "Your earlier work on this region is back. What you submitted stands until you submit anew."
        else:
            line = "This is what you submitted, open again. It stands until you submit anew."
        self.events.message.emit(line)

    def _forget_layers(self) -> CaseLayers | None:
        layers, self.layers = self.layers, None
        self.items, self.picked = [], None
        self.hiding.show()
        self.tools.leave()
        return layers
