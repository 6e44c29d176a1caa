"""Networks over whole volumes, through a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from napari_deferredseg.core.progress import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.segmentor_settings import View

OVERLAP = 0.25
WINDOWS = 4
SLICES = 16


def over_volume(
    network: Callable[[Tensor], Tensor],
    image: Array,
    config: View,
    device: torch.device,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Apply a patch network to a whole image (c, z, y, x) through a sliding window, (channels, z, y, x).

    2-D networks see slices; windows overlap by a quarter and are blended.
    """
    flat = config.spatial_dims == 2
    slabs = np.array_split(np.arange(image.shape[1]), -(-image.shape[1] // SLICES)) if flat else [None]
    parts = []
    for number, slab in enumerate(slabs):
        progress(number / len(slabs), "running the network")
        piece = np.moveaxis(image[:, slab], 1, 0) if flat else image[np.newaxis]
        batch = torch.from_numpy(np.array(piece, np.float32, order="C")).to(device)  # a map from disk is read-only
        with torch.inference_mode():
            out = sliding_window_inference(
                batch, config.patch, WINDOWS * (SLICES if flat else 1), network, OVERLAP, "gaussian"
            )
        array = torch.as_tensor(out).float().cpu().numpy()
        parts.append(np.moveaxis(array, 0, 1) if flat else array[0])
    return np.concatenate(parts, axis=1) if flat else parts[0]
