"""Check that nothing in a project was changed since it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.store.seal import RecordCheck
from napari_deferredseg.usecases.keys import KeyMemory, projects_of_key
from napari_deferredseg.usecases.record.receipts import own_marks, projects_with_receipts, read_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_deferredseg.core.records import PredictionRecord
    from napari_deferredseg.usecases.project import Project


def verify_project(project: Project, receipts: Sequence[Path] = (), progress: Progress = silent) -> RecordCheck:
    """Check the record, all that it tells of, and the array files; also against receipts, and this person's own.

    Raises
    ------
    InputError
        A receipt cannot be read, or is one of another project.
    """
    marks = [*(read_mark(project, path) for path in receipts), *own_marks(project.info.id)]
    others = _other_names(project)
    for other in others:
        known = KeyMemory(other).last()
        marks += own_marks(other) + ([] if known is None else [known])
    progress(0.0, "checking the record")
    found = project.store.check_record(marks, project.info.id)
    renamed = [
        f"the project names the key of another project of yours, {other}: its id was changed" for other in others
    ]
    return RecordCheck((*found.problems, *renamed, *_array_problems(project, progress)), found.remarks)


def _other_names(project: Project) -> list[str]:
    """Other ids under which this person knows the key that the project names: each project has a key of its own."""
    key = project.store.key_id()
    known = set() if key is None else projects_of_key(key) | projects_with_receipts(key)
    return sorted(known - {project.info.id})


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
    except Damaged as error:
        yield f"the run of {run.case_key} at {run.created:%Y-%m-%d %H:%M} UTC: {error}"
