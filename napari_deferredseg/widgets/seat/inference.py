"""Models run in a process beside the window: one for each viewer, and a way to stop what it does."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import Cancelled
from napari_deferredseg.engine import Engine

if TYPE_CHECKING:
    from napari_deferredseg.core.progress import Progress


class Inference:
    """The engine of one viewer: there from the first model run on, warm between runs, gone with its seat."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._closed = False

    def engine(self) -> Engine:
        """Engine to run the next job in. Cancelled when the viewer is gone."""
        if self._closed:
            raise Cancelled("this viewer is closed")
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    def drop(self) -> None:
        """End the process in the middle of whatever it does; the next run gets a new one."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.drop()


class Stop:
    """Whether somebody wants no more of a run."""

    def __init__(self) -> None:
        self._asked = Event()

    @property
    def asked(self) -> bool:
        """Whether the run shall end."""
        return self._asked.is_set()

    def ask(self) -> None:
        """End the run where it next tells its progress. What is kept already stays."""
        self._asked.set()

    def cancellable(self, progress: Progress) -> Progress:
        """Progress that ends the work with Cancelled once somebody asked for that."""

        def report(share: float, doing: str) -> None:
            if self.asked and share < 1:
                raise Cancelled("the run was cancelled")
            progress(share, doing)

        return report
