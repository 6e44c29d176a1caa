"""What a seat tells its panels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from psygnal import Signal, SignalGroup

from napari_deferredseg.core.errors import DeferredSegError
from napari_deferredseg.core.log import log_failure
from napari_deferredseg.widgets.qt.background import one_line

if TYPE_CHECKING:
    from collections.abc import Callable


log = logging.getLogger(__name__)


class SeatEvents(SignalGroup):
    """What widgets show beside the session's own events. `busy` says what is going on, "" when nothing is."""

    message = Signal(str)
    problem = Signal(str)
    busy = Signal(str)
    picked = Signal(object)  # WorkItem or None
    tool = Signal()  # another label or tool is in the hand
    lists = Signal()  # the worklist may be another one


def attempt(action: Callable[[], Any], events: SeatEvents) -> bool:
    """Do something a hand asked for; what the user got wrong becomes a line in the panel. False then."""
    try:
        action()
    except DeferredSegError as error:
        events.problem.emit(one_line(error))
        return False
    except Exception as error:  # napari shows it
        log_failure(log, error, "what a hand asked for")
        raise
    return True
