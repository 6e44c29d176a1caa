"""Export corrected labels of a project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import State
from napari_deferredseg.export.base import CaseExport
from napari_deferredseg.export.nifti import export_nifti
from napari_deferredseg.masks.overlap import compose
from napari_deferredseg.usecases.open_case import load_prediction
from napari_deferredseg.usecases.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.core.records import CaseRecord
    from napari_deferredseg.export.base import Exporter
    from napari_deferredseg.usecases.project import Project

FORMATS: dict[str, Exporter] = {"nifti": export_nifti}


@dataclass(frozen=True)
class Exported:
    """One exported case: the files, and how many of its regions were still waiting for a reader."""

    case: CaseRecord
    files: tuple[Path, ...]
    corrections: int
    waiting: int


def export_cases(
    project: Project, out: Path, form: str = "nifti", keys: Sequence[str] = (), progress: Progress = silent
) -> list[Exported]:
    """Write the corrected labels of the chosen cases, or of all.

    Raises
    ------
    InputError
        Unknown format or case; nothing to export; the folder is a file, not writable, or holds files of the same
        name that are not an export of this case.
    """
    if form not in FORMATS:
        raise InputError(f"there is no export format {form!r}; choose one of: {', '.join(FORMATS)}")
    cases = [project.store.case(key) for key in keys] if keys else project.store.cases()
    if not cases:
        raise InputError(f"{project.folder} has no cases to export; run a model on a volume first")
    try:
        for case in cases:
            _refuse_foreign(out, case)
        done = []
        for number, case in enumerate(cases):
            progress(number / len(cases), f"exporting {case.key}")
            export = _corrected(project, case)
            out.mkdir(parents=True, exist_ok=True)
            done.append(
                Exported(case, tuple(FORMATS[form](export, out)), len(export.corrections), _waiting(project, case))
            )
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; choose another folder") from None
    progress(1.0, "done")
    return done


def _corrected(project: Project, case: CaseRecord) -> CaseExport:
    prediction = project.store.prediction(case.key)
    labels = load_prediction(project, prediction)[0]
    corrections = project.store.corrections(case_key=case.key)
    regions = {c.region_id: project.store.region(c.region_id) for c in corrections}
    return CaseExport(
        case=case,
        prediction=prediction,
        labels=compose(labels, corrections, regions),
        corrections=corrections,
        regions=len(project.store.items(case_key=case.key)),
    )


def _waiting(project: Project, case: CaseRecord) -> int:
    done = (State.SUBMITTED, State.SETTLED)
    return sum(item.assignment.state not in done for item in project.store.items(case_key=case.key))


def _refuse_foreign(out: Path, case: CaseRecord) -> None:
    """Only an earlier export of the same image may be replaced."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder to export to")
    there = sorted(out.glob(f"{case.key}.*"))
    if not there:
        return
    provenance = out / f"{case.key}.provenance.json"
    try:
        ours = json.loads(provenance.read_text(encoding="utf-8"))["voxel_hash"] == case.voxel_hash
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{there[0]} exists and is no export of this case: choose another folder")
