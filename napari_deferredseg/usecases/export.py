"""Export corrected labels of a project."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.export.base import CaseExport
from napari_deferredseg.export.monai import MonaiExport
from napari_deferredseg.export.nifti import NiftiExport
from napari_deferredseg.export.nnunet import NnunetExport
from napari_deferredseg.io.reading import forms_of
from napari_deferredseg.usecases.permissions import Action, require
from napari_deferredseg.usecases.reading.open_case import load_prediction, read_source
from napari_deferredseg.usecases.record.receipts import write_receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.core.records import CaseRecord
    from napari_deferredseg.export.base import Exporter
    from napari_deferredseg.usecases.project import Project

FORMATS: dict[str, type[NiftiExport | NnunetExport | MonaiExport]] = {
    "nifti": NiftiExport,
    "nnunet": NnunetExport,
    "monai": MonaiExport,
}
MASKS = NiftiExport()
KINDS: dict[str, tuple[type, str]] = {
    "bool": (bool, "True or False"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "text"),
    "tuple[str, ...]": (tuple, "a tuple of texts"),
}
"""What an option may be, by the type that a format's class says."""


@dataclass(frozen=True)
class Exported:
    """One exported case: the files, and how many of its regions were still waiting for a reader.

    The first file is the mask. There are none when the format's options leave the case out.
    """

    case: CaseRecord
    files: tuple[Path, ...]
    corrections: int
    waiting: int


def make_exporter(form: str, **options: Any) -> Exporter:
    """Choose a format by name, with its options.

    Raises
    ------
    InputError
        Unknown format; an option that this format does not have, or that cannot be used.
    """
    if form not in FORMATS:
        raise InputError(f"there is no export format {form!r}; choose one of: {', '.join(FORMATS)}")
    kinds = {f.name: str(f.type) for f in fields(FORMATS[form])}
    strange = sorted(set(options) - set(kinds))
    if strange:
        raise InputError(f"--{strange[0].replace('_', '-')} does not go with --format {form}: leave it out")
    for name, value in options.items():
        kind, says = KINDS[kinds[name]]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{value!r} is nothing to give as {name} of an export: give {says}")
    return FORMATS[form](**options)


def export_cases(
    project: Project,
    out: Path,
    exporter: Exporter = MASKS,
    keys: Sequence[str] = (),
    progress: Progress = silent,
    by: str | None = None,
) -> list[Exported]:
    """Write the corrected labels of the chosen cases, or of all, and a receipt beside them.

    Raises
    ------
    InputError
        Unknown case; nothing to export; the folder is a file, not writable, or holds files in the way that are not an
        earlier export; the format cannot hold these cases.
    NotAllowed
        `by`, the login of who acts, may not do this.
    """
    require(project, Action.EXPORT, by)
    cases = [project.store.case(key) for key in dict.fromkeys(keys)] if keys else project.store.cases()
    if not cases:
        raise InputError(f"{project.folder} has no cases to export; run a model on a volume first")
    try:
        exporter.check(project.info.id, cases, out)
        mark = project.store.mark()
        written = exporter.write(_Cases(project, cases), out, progress)
        write_receipt(project, mark, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; choose another folder") from None
    progress(1.0, "done")
    return [Exported(x.case, x.files, x.corrections, _waiting(project, x.case)) for x in written]


@dataclass(frozen=True)
class _Cases(Collection[CaseExport]):
    """The cases to export; each pass loads them anew, one by one."""

    project: Project
    cases: Sequence[CaseRecord]

    def __len__(self) -> int:
        return len(self.cases)

    def __contains__(self, case: object) -> bool:
        return case in self.cases

    def __iter__(self) -> Iterator[CaseExport]:
        for case in self.cases:
            yield _load(self.project, case)


def _load(project: Project, case: CaseRecord) -> CaseExport:
    prediction = project.store.prediction(case.key)
    corrections = project.store.corrections(case_key=case.key)
    return CaseExport(
        project=project.info.id,
        case=case,
        prediction=prediction,
        ai=load_prediction(project, prediction)[0],
        corrections=corrections,
        regions={c.region_id: project.store.region(c.region_id) for c in corrections},
        region_count=len(project.store.items(case_key=case.key)),
        source=partial(read_source, project, case),
        forms=partial(forms_of, project.absolute(case.source), case.geometry),
    )


def _waiting(project: Project, case: CaseRecord) -> int:
    return sum(not item.assignment.state.is_done for item in project.store.items(case_key=case.key))
