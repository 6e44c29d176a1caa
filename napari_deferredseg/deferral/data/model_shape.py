"""What networks of a model have to fit: its settings, labels, image channels and readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.data.train_settings import TrainConfig


@dataclass(frozen=True)
class ModelShape:
    """Settings and sizes from which a model's networks follow; `experts` is how many readers it knows."""

    config: TrainConfig
    table: LabelTable
    channels: int
    experts: int

    @property
    def classes(self) -> int:
        """Number of classes, background counted."""
        return len(self.table.labels) + 1

    @property
    def outputs(self) -> int:
        """Channels of the segmentor's network: a joint one has its agents' after those of the classes."""
        return self.classes + (self.experts + 1 if self.config.mode == "joint" else 0)
