"""What went wrong in the worker, as the caller gets to see it."""

from __future__ import annotations

import pickle
import re
import traceback

from napari_deferredseg.core.errors import DeferredSegError, WorkerDied
from napari_deferredseg.core.log import Scrubbed, scrubbed

NO_MEMORY = re.compile(r"out of memory|not enough memory|(can't|failed to) allocate memory", re.IGNORECASE)
ADVICE = "use a smaller patch or batch, another device such as cpu, or close other programs"
LENGTH = 160


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: the computer's, or the graphics card's, of which libraries tell in words only."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or NO_MEMORY.search(str(error)) is not None)
    )


def out_of_memory(error: BaseException) -> WorkerDied | None:
    """What to tell where memory ran out; None for any other error."""
    if not is_out_of_memory(error):
        return None
    return WorkerDied(f"not enough memory ({_first_line(error)}): {ADVICE}")


def portable(error: BaseException) -> Exception:
    """Exception to raise in the caller for one that was raised in the worker.

    What was written for the user keeps its class and its line. Anything else keeps its type where that survives the
    way, and has the worker's traceback as a note. The log's form of the traceback is a note of all.
    """
    trace = scrubbed(error)
    raised = _for_caller(error)
    raised.add_note(Scrubbed(f"in the worker process:\n{trace}"))
    return raised


def _for_caller(error: BaseException) -> Exception:
    if isinstance(error, DeferredSegError):
        return type(error)(str(error))
    if (too_large := out_of_memory(error)) is not None:
        return too_large
    raised = error if isinstance(error, Exception) and _survives(error) else RuntimeError(_first_line(error))
    raised.add_note("In the worker process:\n" + "".join(traceback.format_exception(error)).rstrip())
    return raised


def ended_unexpectedly(status: int) -> WorkerDied:
    """Error for a worker that is gone; `status` is its exit status, negative for a signal, as subprocess has it."""
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return WorkerDied(
        f"the worker process ended unexpectedly ({how}, often too little memory): run it again; "
        f"if it happens again, {ADVICE}"
    )


def _first_line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _survives(error: Exception) -> bool:
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return type(again) is type(error) and str(again) == str(error)
