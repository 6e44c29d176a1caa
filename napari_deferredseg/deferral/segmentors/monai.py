"""A network of MONAI that is trained here, over whole volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.images import prepared_image
from napari_deferredseg.deferral.networks.builders import build_network, try_network
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.segmentors.base import require_channels

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.deferral.data.model_shape import ModelShape
    from napari_deferredseg.deferral.data.segmentor_settings import TrainedSegmentor
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


def completed(config: TrainedSegmentor) -> TrainedSegmentor:
    """Settings as they are: the network's own stand beside them."""
    return config


def make_network(config: TrainedSegmentor, shape: ModelShape) -> nn.Module:
    """Untrained network of MONAI by its name. InputError as `build_network`."""
    return build_network(shape.config.network, shape.config.data.spatial_dims, shape.channels, shape.outputs)


def load_weights(network: nn.Module, config: TrainedSegmentor) -> None:
    """Leave the network as it is: its weights come from training, or from the model's folder."""


def segmentor_over(network: nn.Module, config: TrainedSegmentor, shape: ModelShape) -> MonaiSegmentor:
    """Segmentor of a network."""
    return MonaiSegmentor(network, shape.config.data, shape.channels, shape.outputs)
