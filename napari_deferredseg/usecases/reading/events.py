"""What a session tells whoever shows it."""

from __future__ import annotations

from psygnal import Signal, SignalGroup


class SessionEvents(SignalGroup):
    """Emitted by the session alone. `saved`, `save_failed` and `claim_lost` come from the saving thread."""

    project = Signal()
    reader = Signal()
    case = Signal()
    reading = Signal()
    worklist = Signal()
    labels = Signal(object)  # Box, file order: written by the session, not by a hand
    saved = Signal()
    save_failed = Signal(str)
    claim_lost = Signal(str)
    message = Signal(str)
