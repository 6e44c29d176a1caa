"""Clear away what killed runs have left, and the arrays of runs that others have replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.usecases.project import Project


def sweep(project: Project) -> int:
    """Delete what nothing in the project needs any more; returns how many runs' arrays and files went.

    What somebody may be writing at this moment stays: whatever no run in the database names goes only an hour after it
    was written last. Arrays of a replaced run stay while one of its regions is corrected or on a worklist. Drafts are
    never touched. What cannot be deleted now stays for the next time.

    Raises
    ------
    InputError
        The database cannot be read now.
    """
    store = project.store
    if store.reads_only:
        return 0
    runs = store.predictions()
    known = {run.id for run in runs}
    return project.predictions.sweep(keep=store.runs_in_use(), known=known) + project.journal.sweep()
