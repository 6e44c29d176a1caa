"""Who runs a job: a worker process, or this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from napari_deferredseg.core.progress import silent
from napari_deferredseg.engine.failures import out_of_memory
from napari_deferredseg.engine.jobs import find_job, job_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.progress import Progress, Warm

T = TypeVar("T")


class Runner(Protocol):
    """Runs jobs as `Engine.run` describes them."""

    @overload
    def run(self, job: Callable[..., T], *args: Any, progress: Progress = silent) -> T: ...

    @overload
    def run(self, job: str, *args: Any, progress: Progress = silent) -> Any: ...

    def run(self, job: Callable[..., Any] | str, *args: Any, progress: Progress = silent) -> Any:
        """Run a job and return what it returns."""


class InProcess:
    """Runs jobs in this process, for scripts and notebooks: nothing is copied, nothing beside them stays fluent.

    What jobs leave warm, such as a loaded model, is kept as long as this object. `packages` are those whose functions
    may be jobs, as for `Engine`.
    """

    def __init__(self, packages: tuple[str, ...] = ("napari_deferredseg",)) -> None:
        self._packages = packages
        self._warm: Warm = {}

    @overload
    def run(self, job: Callable[..., T], *args: Any, progress: Progress = silent) -> T: ...

    @overload
    def run(self, job: str, *args: Any, progress: Progress = silent) -> Any: ...

    def run(self, job: Callable[..., Any] | str, *args: Any, progress: Progress = silent) -> Any:
        """Run a job here.

        Raises
        ------
        InputError
            As the job raised it; or memory ran out.
        ValueError
            The job is none that may run.
        Exception
            Whatever `progress` or the job raised.
        """
        found = find_job(job_name(job, self._packages), self._packages)
        try:
            return found(self._warm, progress, *args)
        except (MemoryError, RuntimeError) as error:
            if (told := out_of_memory(error)) is None:
                raise
            raise told from error
