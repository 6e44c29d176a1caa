"""Who runs a job: a worker process, or this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, TypeVarTuple

from napari_deferredseg.core.progress import silent
from napari_deferredseg.engine.failures import out_of_memory
from napari_deferredseg.engine.jobs import job_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.progress import Progress, Warm

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Runner(Protocol):
    """Runs jobs as `Engine.run` describes them."""

    def run(self, job: Callable[[Warm, Progress, *Ts], T], *args: *Ts, progress: Progress = silent) -> T:
        """Run a job and return what it returns."""


class InProcess:
    """Runs jobs in this process, for scripts and notebooks: nothing is copied, nothing beside them stays fluent.

    What jobs leave warm, such as a loaded model, is kept as long as this object. `packages` are those whose functions
    may be jobs, as for `Engine`.
    """

    def __init__(self, packages: tuple[str, ...] = ("napari_deferredseg",)) -> None:
        self._packages = packages
        self._warm: Warm = {}

    def run(self, job: Callable[[Warm, Progress, *Ts], T], *args: *Ts, progress: Progress = silent) -> T:
        """Run a job here.

        Raises
        ------
        WorkerDied
            Memory ran out.
        ValueError
            The job is none that may run.
        Exception
            Whatever `progress` or the job raised, any `DeferredSegError` too.
        """
        job_name(job, self._packages)
        try:
            return job(self._warm, progress, *args)
        except (MemoryError, RuntimeError) as error:
            if (too_large := out_of_memory(error)) is None:
                raise
            raise too_large from error
