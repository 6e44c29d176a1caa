"""The router: who should answer, at every voxel of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.networks.builders import Routing, build_network, router_features, try_network
from napari_deferredseg.deferral.networks.sliding import over_volume

if TYPE_CHECKING:
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.prepared import PreparedCase
    from napari_deferredseg.deferral.data.segmentor_settings import NetworkConfig, View
    from napari_deferredseg.deferral.segmentors.base import Segmentor


class Seen(Protocol):
    """What a router may look at beside the segmentor's logits."""

    def image(self) -> Array:
        """Image (c, z, y, x) as networks get it, on the model's grid."""
        ...

    def scan(self) -> Scan:
        """Volume as it is stored, and boxes."""
        ...


class Router(nn.Module):
    """Who should answer, at every voxel, from the image and the segmentor's calibrated logits."""

    def __init__(
        self, config: NetworkConfig, spatial_dims: int, image_channels: int, classes: int, experts: int
    ) -> None:
        super().__init__()
        self._sees, self._says = image_channels + classes + 2, 2 * (experts + 1) + 1
        self.network = build_network(config, spatial_dims, self._sees, self._says)

    def forward(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return (B, 2 (K + 1) + 1, *spatial), to be taken apart by `Routing.of`."""
        channels: Tensor = self.network(router_features(image, logits))
        return channels

    def over(self, segmentor: Segmentor) -> Router:
        """Route over this segmentor: its logits are all that is asked of it."""
        return self

    def try_out(self, patch: tuple[int, ...]) -> None:
        """Find out whether the network takes such patches. InputError when it does not."""
        try_network(self.network, self._sees, self._says, patch)

    def keep(self, case: PreparedCase, device: torch.device) -> None:
        """Keep what fitting needs of a case beside it: no more than is there."""

    def route(
        self, seen: Seen, scaled: Array, view: View, device: torch.device, progress: Progress = silent
    ) -> Routing:
        """Apply it to a whole case and the segmentor's calibrated logits (C, z, y, x): a batch of one."""
        image = seen.image()
        both = np.concatenate([np.asarray(image, np.float32), scaled.astype(np.float32)])
        split = len(image)
        channels = over_volume(lambda x: self(x[:, :split], x[:, split:]), both, view, device, progress)
        return Routing.of(torch.from_numpy(channels).unsqueeze(0))
