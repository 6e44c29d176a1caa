"""Who changed what, when and on the output of which model: the file beside every export."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Correction
    from napari_deferredseg.export.base import CaseExport

FILE = "provenance.json"


SOURCES = re.compile(r"mask|probabilities|vote \d+")
"""Settings of a run that name its files."""


def provenance(export: CaseExport, *, with_sources: bool) -> dict[str, Any]:
    """Facts of a case's export, for JSON; only with sources where its image and masks were read from.

    Paths often name patients, and whoever gets the export has no use for them: the hashes say what it was made of.
    """
    settings = export.prediction.settings
    if not with_sources:
        settings = {name: value for name, value in settings.items() if not SOURCES.fullmatch(name)}
    return {
        "case": export.case.key,
        **({"source": export.case.source} if with_sources else {}),
        "voxel_hash": export.case.voxel_hash,
        "model": export.prediction.model_id,
        "prediction": export.prediction.id,
        "settings": settings,
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
