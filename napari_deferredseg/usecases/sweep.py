"""Clear away what killed runs have left, and the arrays of runs that others have replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.usecases.project import Project


def sweep(project: Project) -> int:
    """Delete what nothing in the project needs any more; returns how many runs' arrays and files went.

    What somebody may be writing at this moment stays: whatever no run in the database names goes only an hour after it
    was written last. Arrays of a replaced run stay while one of its regions is corrected or on a worklist. Drafts are
    never touched.
    """
    store = project.store
    if store.reads_only:
        return 0
    runs = store.predictions()
    newest = {run.case_key: run.id for run in runs}
    needed = set(newest.values()) | {item.region.prediction_id for item in store.items()}
    needed |= {store.region(c.region_id).prediction_id for c in store.corrections()}
    known = {run.id for run in runs}
    return project.predictions.sweep(keep=needed, known=known) + project.journal.sweep()
