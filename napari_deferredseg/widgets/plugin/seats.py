"""One seat a viewer: made once, shared by its docked widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.usecases.log import open_log
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.seat.keys import Keys
from napari_deferredseg.widgets.seat.seat import Seat

if TYPE_CHECKING:
    from napari.viewer import Viewer


def make_seat(viewer: Viewer, session: Session) -> Seat:
    """Put a session, layers, mouse and keys on a viewer. From the first on, this process has a log."""
    open_log()
    seat = Seat(viewer, session)
    seat.attach(Keys(viewer, seat))
    return seat


def seat_of(viewer: Viewer) -> Seat:
    """Seat of a viewer: the one that its docked widgets share, or a new one."""
    for widget in viewer.window.dock_widgets.values():
        seat = getattr(widget, "seat", None)
        if isinstance(seat, Seat):
            return seat
    return make_seat(viewer, Session())
