"""One viewer and its session: the parts of a seat, and who keeps it open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.project import open_project
from napari_deferredseg.widgets.qt.background import Relay
from napari_deferredseg.widgets.seat.answers import Answers
from napari_deferredseg.widgets.seat.claims import Claims
from napari_deferredseg.widgets.seat.events import SeatEvents, attempt
from napari_deferredseg.widgets.seat.inference import Inference
from napari_deferredseg.widgets.seat.navigation import Navigation
from napari_deferredseg.widgets.seat.picture import Picture
from napari_deferredseg.widgets.seat.tools import Tools
from napari_deferredseg.widgets.viewer.hands import Attached, Hands
from napari_deferredseg.widgets.viewer.orientation import OrientationLetters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.viewer.case_layers import CaseLayers

LATER_MS = 150
"""The next region comes first; lists of regions are read again so much later."""


class Seat:
    """Layers and mouse of one viewer, in step with one session.

    Attributes
    ----------
    picture : Picture
        The open case on the canvas.
    tools : Tools
        Hands on the open region.
    navigation : Navigation
        From region to region.
    answers : Answers
        What the reader says about the open region.
    saved : Qt signal
        A draft is on the disk; on the window's thread.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.events = SeatEvents()
        self._tokens: set[object] = set()
        self._attached: list[Attached] = []
        self._closed = False
        self._claims = Claims(session, self.events)
        self.navigation = Navigation(session, self.events, self._claims)
        self.tools = Tools(viewer, session, self.events)
        self._later = QTimer()
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh_lists)
        self._relay = Relay()
        self._relay.problem.connect(self.events.problem.emit)
        self._relay.lost.connect(self._on_lost)
        self.saved = self._relay.saved
        self.letters = OrientationLetters(viewer)
        self.hands = Hands(viewer)
        self.inference = Inference()
        self.picture = Picture(viewer, session, self.events, self.tools, self.hands.cursor_line)
        self.answers = Answers(session, self.events, self.picture, self._claims, self.navigation)
        events = session.events
        events.worklist.connect(self._on_worklist)
        events.message.connect(self.events.message.emit)
        events.saved.connect(self._relay.saved.emit)
        events.save_failed.connect(self._relay.problem.emit)
        events.claim_lost.connect(self._relay.lost.emit)

    @property
    def layers(self) -> CaseLayers | None:
        """Layers of the open case."""
        return self.picture.layers

    @property
    def items(self) -> list[WorkItem]:
        """Regions of the open case, as they were read last."""
        return self.picture.items

    @property
    def picked(self) -> WorkItem | None:
        """The region that *Defer to expert* is about."""
        return self.picture.picked

    def attach(self, part: Attached) -> None:
        """Take back with everything else what was installed on the viewer."""
        self._attached.append(part)

    # widgets come and go; the last one to go closes the session
    def adopt(self, token: object) -> None:
        """Keep the seat open for a widget, which a token stands for."""
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
            self.picture.close(is_viewer_there=False)
            self.inference.close()
            self._claims.close()
            for group in (self.session.events, self.events):
                for name in group:
                    group[name].disconnect()
            self.session.close()

    def _give_back(self) -> None:
        self._closed = True
        self.inference.close()
        self._claims.close()
        self.session.close()
        self._later.stop()
        self.picture.close(is_viewer_there=True)
        for part in (*self._attached, self.hands):
            part.uninstall()
        self.letters.close()

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something a hand asked for; what the user got wrong becomes a line in the panel. False then."""
        return attempt(action, self.events)

    def open_project(self, folder: Path) -> None:
        """Open a project in place of the present one. InputError when it is none."""
        self.session.set_project(open_project(folder))

    def refresh_lists(self) -> None:
        """Read the case's regions from the store again, colour them by who holds them now, and tell the widgets."""
        self._later.stop()
        self.picture.refresh()
        self.events.lists.emit()

    def _on_lost(self, line: str) -> None:
        if self.session.reader is not None:  # else they were deactivated here, which was said
            self.events.problem.emit(line)

    def _on_worklist(self) -> None:
        if self.session.reading is None:
            self.refresh_lists()
        else:
            self._later.start(LATER_MS)
