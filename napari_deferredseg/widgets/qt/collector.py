"""Python's garbage collector at rest, for as long as napari takes layers out."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def old_objects_at_rest() -> Iterator[None]:
    """Let a collection look only at what is made in here; afterwards the collector is as it was.

    napari collects all garbage anew for each layer that goes. In a session with 700,000 objects the five layers of a
    case took 2.1 s of the processor to go, with this 0.25 s (p95 of 6: 2.3 s and 0.25 s), and the reader waits for the
    next case. Where somebody else has put objects to rest they stay so, and nothing is done.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
