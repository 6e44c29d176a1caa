"""Corrected masks as NIfTI, with a table of names and a provenance file beside each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.export.base import Written
from napari_deferredseg.export.provenance import provenance
from napari_deferredseg.io.writing import write_labels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.records import CaseRecord
    from napari_deferredseg.export.base import CaseExport


@dataclass(frozen=True)
class NiftiExport:
    """Writes `KEY.nii.gz`, `KEY.labels.csv` and `KEY.provenance.json` of each case."""

    def check(self, project: str, cases: Sequence[CaseRecord], folder: Path) -> None:
        """Only an earlier export of the same image may be replaced."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: give a folder to export to")
        for case in cases:
            _refuse_foreign(folder, case)

    def write(self, cases: Collection[CaseExport], folder: Path, progress: Progress) -> list[Written]:
        """Write case after case, each whole or not at all."""
        done = []
        for number, export in enumerate(cases):
            progress(number / len(cases), f"exporting {export.case.key}")
            done.append(Written(export.case, _write_case(export, folder), len(export.corrections)))
        return done


def _write_case(export: CaseExport, folder: Path) -> tuple[Path, ...]:
    labels = export.corrected
    folder.mkdir(parents=True, exist_ok=True)
    mask, names, facts = (f"{export.case.key}{end}" for end in (".nii.gz", ".labels.csv", ".provenance.json"))
    with TemporaryDirectory(dir=folder, prefix=".writing-") as part:
        write_labels(Path(part) / mask, labels, export.case.geometry, export.prediction.table)
        (Path(part) / facts).write_text(json.dumps(provenance(export), indent=1), encoding="utf-8")
        # The provenance first: with it an export that was cut short is known as ours and may be replaced.
        for name in (facts, names, mask):
            (Path(part) / name).replace(folder / name)
    return tuple(folder / name for name in (mask, names, facts))


def _refuse_foreign(folder: Path, case: CaseRecord) -> None:
    there = sorted(folder.glob(f"{case.key}.*"))
    if not there:
        return
    facts = folder / f"{case.key}.provenance.json"
    try:
        ours = json.loads(facts.read_text(encoding="utf-8"))["voxel_hash"] == case.voxel_hash
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{there[0]} exists and is no export of this case: choose another folder")
