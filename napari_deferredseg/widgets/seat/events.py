"""What a seat tells its panels."""

from __future__ import annotations

from psygnal import Signal, SignalGroup


class SeatEvents(SignalGroup):
    """What widgets show beside the session's own events. `busy` says what is going on, "" when nothing is."""

    message = Signal(str)
    problem = Signal(str)
    busy = Signal(str)
    picked = Signal(object)  # WorkItem or None
    tool = Signal()  # another label or tool is in the hand
    lists = Signal()  # the worklist may be another one
