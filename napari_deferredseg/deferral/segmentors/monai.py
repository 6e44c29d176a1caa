"""A network of MONAI that is trained here, over whole volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.images import prepared_image
from napari_deferredseg.deferral.networks.builders import try_network
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.segmentors.base import require_channels

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.deferral.data.train_settings import DataConfig


@dataclass(frozen=True)
class MonaiSegmentor:
    """Any segmentation network of MONAI: slices or patches through a sliding window. See `Segmentor`.

    A joint network gives its agents' channels after those of the classes.
    """

    network: nn.Module
    data: DataConfig
    channels: int
    outputs: int

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) on the model's grid."""
        require_channels(scan.volume, self.channels)
        return over_volume(self.network, prepared_image(scan.volume, self.data), self.data, device, progress)

    def try_out(self) -> None:
        """Run the network on an empty patch. InputError when it cannot take one."""
        try_network(self.network, self.channels, self.outputs, self.data.patch)
