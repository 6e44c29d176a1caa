"""What the engine's process does for routing: long numpy work that would hold up the window's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.routing.regions import make_regions

if TYPE_CHECKING:
    from napari_deferredseg.core.budget import Budget
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.progress import Progress, Warm
    from napari_deferredseg.routing.proposal import Proposal


def regions(
    warm: Warm, progress: Progress, prediction: Prediction, case_key: str, prediction_id: str, budget: Budget
) -> Proposal:
    """Do what `make_regions` does."""
    return make_regions(prediction, case_key, prediction_id, budget, progress)
