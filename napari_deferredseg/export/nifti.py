"""Corrected masks as NIfTI, with a table of names and a provenance file beside each."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_deferredseg.io.writing import write_labels

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Correction
    from napari_deferredseg.export.base import CaseExport


def export_nifti(export: CaseExport, folder: Path) -> list[Path]:
    """Write `KEY.nii.gz`, `KEY.labels.csv` and `KEY.provenance.json`.

    Raises
    ------
    InputError
        The labels cannot be written.
    OSError
        The folder cannot be written. Nothing is left in it then.
    """
    mask, names, provenance = (f"{export.case.key}{end}" for end in (".nii.gz", ".labels.csv", ".provenance.json"))
    with TemporaryDirectory(dir=folder, prefix=".writing-") as part:
        write_labels(Path(part) / mask, export.labels, export.case.geometry, export.prediction.table)
        (Path(part) / provenance).write_text(json.dumps(_provenance(export), indent=1), encoding="utf-8")
        # The provenance first: with it an export that was cut short is known as ours and may be replaced.
        for name in (provenance, names, mask):
            (Path(part) / name).replace(folder / name)
    return [folder / name for name in (mask, names, provenance)]


def _provenance(export: CaseExport) -> dict[str, Any]:
    return {
        "case": export.case.key,
        "source": export.case.source,
        "voxel_hash": export.case.voxel_hash,
        "model": export.prediction.model_id,
        "prediction": export.prediction.id,
        "settings": export.prediction.settings,
        "regions": export.regions,
        "corrections": [_line(correction) for correction in export.corrections],
    }


def _line(correction: Correction) -> dict[str, Any]:
    return {
        "id": correction.id,
        "region": correction.region_id,
        "reader": correction.reader,
        "verdict": correction.verdict,
        "model": correction.model_id,
        "started": correction.started.isoformat(),
        "submitted": correction.submitted.isoformat(),
        "active_seconds": round(correction.active_seconds, 1),
        "box_zyx": correction.box,
        "changed_voxels": int((correction.before != correction.after).sum()),
        "note": correction.note,
        "supersedes": correction.supersedes,
    }
