"""A router that is a network of MONAI over the image and the segmentor's logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.networks.builders import build_network, try_network
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.routers.base import Routing

if TYPE_CHECKING:
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.segmentor_settings import NetworkConfig, View
    from napari_deferredseg.deferral.routers.base import Seen
    from napari_deferredseg.deferral.segmentors.base import Segmentor

LOGIT_LIMIT = 8.0


class NetworkRouter(nn.Module):
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

    @property
    def module(self) -> nn.Module:
        """Itself."""
        return self

    def over(self, segmentor: Segmentor) -> NetworkRouter:
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


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy over dim 1 of (B, C, *spatial), divided by that of C equal classes: 0 to 1, (B, 1, *spatial)."""
    plain = torch.special.entr(probabilities).sum(dim=1, keepdim=True)
    share: Tensor = plain / math.log(probabilities.shape[1])
    return share


def router_features(image: Tensor, logits: Tensor) -> Tensor:
    """Put together what the router sees: image, calibrated probabilities, margin of the best class, entropy.

    Parameters
    ----------
    image : (B, c, *spatial)
    logits : (B, C, *spatial)
        Temperature-scaled logits of the segmentor.

    Returns
    -------
    (B, c + C + 2, *spatial)
    """
    probabilities = logits.softmax(dim=1)
    top = logits.topk(2, dim=1).values
    margin = (top[:, :1] - top[:, 1:]).clamp(max=LOGIT_LIMIT) / LOGIT_LIMIT
    return torch.cat([image, probabilities, margin, entropy(probabilities)], dim=1)
