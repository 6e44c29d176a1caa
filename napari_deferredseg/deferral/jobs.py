"""What the engine's process does with models. Naming a job loads no torch: what it needs is loaded where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.progress import Progress, Warm
    from napari_deferredseg.core.scan import Scan


def predict(warm: Warm, progress: Progress, folder: Path, scan: Scan, device: str) -> Prediction:
    """Run a model folder on a volume. InputError as `predicted`."""
    from napari_deferredseg.deferral.model.prediction import predicted

    return predicted(warm, progress, folder, scan, device)
