"""Who changed what, when and on the output of which model: the file beside every export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Correction
    from napari_deferredseg.export.base import CaseExport

FILE = "provenance.json"


def provenance(export: CaseExport) -> dict[str, Any]:
    """Facts of a case's export, for JSON."""
    return {
        "case": export.case.key,
        "source": export.case.source,
        "voxel_hash": export.case.voxel_hash,
        "model": export.prediction.model_id,
        "prediction": export.prediction.id,
        "settings": export.prediction.settings,
        "regions": export.region_count,
        "corrections": [_line(x, export.regions[x.region_id].number) for x in export.corrections],
    }


def _line(correction: Correction, number: int) -> dict[str, Any]:
    return {
        "id": correction.id,
        "region": correction.region_id,
        "region_number": number,
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
