"""Corrected masks as NIfTI, with a table of names and a provenance file beside each."""

from __future__ import annotations

import hashlib
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


MASK_HASH, REPLACES = "mask_sha256", "replaces_mask_sha256"
"""What the mask beside a provenance file may be: the one it tells of or, after an export was cut short, the former."""


@dataclass(frozen=True)
class NiftiExport:
    """Writes `KEY.nii.gz`, `KEY.labels.csv` and `KEY.provenance.json` of each case."""

    def check(self, project: str, cases: Sequence[CaseRecord], folder: Path) -> None:
        """Only an earlier export of the same image may be replaced, and no mask that somebody has changed since."""
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
        write_labels(Path(part) / mask, labels, export.case.geometry, export.prediction.table, export.forms())
        before = _hash(folder / mask) if (folder / mask).is_file() else None
        said = provenance(export) | {MASK_HASH: _hash(Path(part) / mask), REPLACES: before}
        (Path(part) / facts).write_text(json.dumps(said, indent=1), encoding="utf-8")
        _refuse_foreign(folder, export.case)  # an export of many cases takes long
        # The provenance first: with it an export that was cut short is known as ours and may be replaced.
        for name in (facts, names, mask):
            (Path(part) / name).replace(folder / name)
    return tuple(folder / name for name in (mask, names, facts))


def _refuse_foreign(folder: Path, case: CaseRecord) -> None:
    there = sorted(folder.glob(f"{case.key}.*"))
    if not there:
        return
    mask, facts = folder / f"{case.key}.nii.gz", folder / f"{case.key}.provenance.json"
    try:
        said = json.loads(facts.read_text(encoding="utf-8"))
        ours, known = said["voxel_hash"] == case.voxel_hash, (said.get(MASK_HASH), said.get(REPLACES))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours, known = False, (None, None)
    if not ours:
        raise InputError(f"{there[0]} exists and is no export of this case: choose another folder")
    if any(known) and mask.is_file() and _hash(mask) not in known:
        raise InputError(f"{mask} was changed after it was exported: move it away, or choose another folder")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
