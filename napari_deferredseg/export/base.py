"""What every export format is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.core.records import CaseRecord, Correction, PredictionRecord
    from napari_deferredseg.core.volume import Array


@dataclass(frozen=True)
class CaseExport:
    """A case to export: its corrected labels (z, y, x) on the source grid, and where they come from."""

    case: CaseRecord
    prediction: PredictionRecord
    labels: Array
    corrections: Sequence[Correction]
    regions: int


Exporter = Callable[[CaseExport, Path], list[Path]]
"""Writes one case into a folder that exists, returns the files it wrote."""
