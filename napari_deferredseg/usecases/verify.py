"""Check that nothing in a project was changed since it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.store.seal import Audit
from napari_deferredseg.usecases.receipts import own_marks, read_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_deferredseg.core.records import PredictionRecord
    from napari_deferredseg.usecases.project import Project


def verify_project(project: Project, receipts: Sequence[Path] = (), progress: Progress = silent) -> Audit:
    """Check the record, all that it tells of, and the array files; also against receipts, and this person's own.

    Raises
    ------
    InputError
        A receipt cannot be read, or is one of another project.
    """
    marks = [*(read_mark(project, path) for path in receipts), *own_marks(project)]
    progress(0.0, "checking the record")
    found = project.store.audit(marks, project.info.id)
    return Audit((*found.problems, *_array_problems(project, progress)), found.remarks)


def _array_problems(project: Project, progress: Progress) -> Iterator[str]:
    runs = project.store.predictions()
    newest = {run.case_key: run.id for run in runs}
    for number, run in enumerate(runs):
        progress((number + 1) / (len(runs) + 1), f"checking the arrays of {run.case_key}")
        # Those of a run that another has replaced may have been cleared away.
        if newest[run.case_key] == run.id or (project.predictions.folder / run.id).is_dir():
            yield from _run_problems(project, run)


def _run_problems(project: Project, run: PredictionRecord) -> Iterator[str]:
    try:
        project.predictions.load(run.id, (run.labels_hash, run.alternative_hash, run.defer_hash))
    except InputError as error:
        yield str(error)
