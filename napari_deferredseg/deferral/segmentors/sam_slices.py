"""Slices of a volume as Segment Anything gets them: its image, its frame, its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from napari_deferredseg.deferral.devices import autocast_dtype
from napari_deferredseg.deferral.segmentors.embeddings import EmbeddingCache, content_key
from napari_deferredseg.deferral.segmentors.sam_encoder import FastEncoder, PlainEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_deferredseg.core.scan import SliceBox
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.segmentors.settings import SamConfig

PERCENTILES = (0.5, 99.5)
SAMPLED = 2_000_000
BATCH = {"cuda": 8}
AHEAD = 16
"""Slices between two looks at how full the cache is."""


@dataclass(frozen=True)
class SamFrame:
    """How a slice (height, width) lies in the encoder's square: `inner` (rows, columns) of it are the slice."""

    original: tuple[int, int]
    inner: tuple[int, int]

    def boxes(self, boxes: Sequence[SliceBox]) -> NDArray[np.float32]:
        """Corners (n, 4) as x0, y0, x1, y1 in the square, the last voxel of a box included."""
        down, right = (new / old for new, old in zip(self.inner, self.original, strict=True))
        corners = [[b.columns[0], b.rows[0], b.columns[1] - 1, b.rows[1] - 1] for b in boxes]
        return np.asarray(np.array(corners, float).reshape(-1, 4) * [right, down, right, down], np.float32)

    def back(self, sam: Sam, maps: Tensor) -> Tensor:
        """Bring maps (n, channels, h, w) of the decoder to the slice's own voxels.

        The package enlarges them to the square, cuts the slice out and shrinks it: three linear steps along each axis,
        which are one small matrix each.
        """
        side = sam.image_encoder.img_size
        down, right = (
            _steps_along(coarse, side, inner, original).to(maps.device, maps.dtype)
            for coarse, inner, original in zip(maps.shape[-2:], self.inner, self.original, strict=True)
        )
        return down @ maps @ right.t()


@lru_cache(maxsize=32)
def _steps_along(coarse: int, side: int, inner: int, original: int) -> Tensor:
    """Matrix (original, coarse): linear interpolation to `side`, the first `inner` of it, and on to `original`."""
    with torch.inference_mode(mode=False):
        fine = F.interpolate(torch.eye(coarse)[None], side, mode="linear")[..., :inner]
        return F.interpolate(fine, original, mode="linear")[0].t().contiguous()


def frame_of(shape: tuple[int, int], side: int, kind: str) -> SamFrame:
    """Frame of a slice (height, width): "sam" keeps its proportions and pads, "medsam" fills the square."""
    if kind == "medsam":
        return SamFrame(shape, (side, side))
    from segment_anything.utils.transforms import ResizeLongestSide

    rows, columns = ResizeLongestSide.get_preprocess_shape(*shape, side)
    return SamFrame(shape, (rows, columns))


def gray_window(array: Array, config: SamConfig) -> tuple[float, float]:
    """Intensities that become black and white: the configured ones, or percentiles of the volume."""
    if config.window is not None:
        return config.window
    values = array.reshape(-1)
    low, high = np.percentile(values[:: max(len(values) // SAMPLED, 1)], PERCENTILES)
    return float(low), float(max(high, low + 1e-6))


def gray(plane: Array, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Slice (y, x) as 0 to 255."""
    low, high = window
    share = (plane.astype(np.float32) - low) / (high - low)
    return np.asarray(np.rint(np.clip(share, 0, 1) * 255), np.uint8)


def encoder_input(sam: Sam, plane: NDArray[np.uint8], kind: str) -> Tensor:
    """Image (3, side, side) float32 of a gray slice, on the CPU."""
    side = sam.image_encoder.img_size
    rgb = np.repeat(plane[..., None], 3, axis=2)
    if kind == "medsam":
        image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
        image = F.interpolate(image, (side, side), mode="bicubic", antialias=True)[0].clamp(0, 255)
        low, high = image.min(), image.max()
        return (image - low) / (high - low).clamp(min=1e-8)
    from segment_anything.utils.transforms import ResizeLongestSide

    image = torch.from_numpy(ResizeLongestSide(side).apply_image(rgb)).permute(2, 0, 1).float()
    mean, std = sam.pixel_mean.cpu(), sam.pixel_std.cpu()
    image = (image - mean) / std
    return F.pad(image, (0, side - image.shape[2], 0, side - image.shape[1]))


def weights_mark(sam: Sam) -> bytes:
    """Digest of the encoder's weights."""
    parts = [p.detach().cpu().contiguous().numpy().tobytes() for p in sam.image_encoder.parameters()]
    return content_key(*parts).encode()


def embedding_key(mark: bytes, plane: NDArray[np.uint8], config: SamConfig) -> str:
    """Name of a slice's embedding: the same voxels through the same weights the same way have the same one."""
    return content_key(mark, config.input.encode(), config.path.encode(), str(plane.shape).encode(), plane.tobytes())


def encoder_of(sam: Sam, config: SamConfig, device: torch.device) -> PlainEncoder | FastEncoder:
    """Way through the encoder that is configured."""
    return FastEncoder(sam.image_encoder, device) if config.path == "fast" else PlainEncoder(sam.image_encoder)


def embeddings(
    sam: Sam, config: SamConfig, planes: Sequence[NDArray[np.uint8]], device: torch.device, cache: EmbeddingCache
) -> Iterator[Tensor]:
    """Yield the embedding (256, h, w) float32, on the CPU, of each gray slice; those kept on disk are read."""
    mark = weights_mark(sam)
    encode = None
    kept = torch.float16 if config.path == "fast" and autocast_dtype(device) is not None else torch.float32
    size = BATCH.get(device.type, 1) if config.path == "fast" else 1
    for start in range(0, len(planes), AHEAD):
        part = planes[start : start + AHEAD]
        keys = [embedding_key(mark, plane, config) for plane in part]
        known = {key: found for key in keys if (found := cache.load(key)) is not None}
        missing = [(key, plane) for key, plane in zip(keys, part, strict=True) if key not in known]
        for batch in (missing[i : i + size] for i in range(0, len(missing), size)):
            images = torch.stack([encoder_input(sam, plane, config.input) for _, plane in batch]).to(device)
            encode = encode or encoder_of(sam, config, device)
            found = encode(images).to(kept).cpu().numpy()
            for (key, _), array in zip(batch, found, strict=True):
                cache.save(key, array)
                known[key] = array
        if missing:
            cache.make_room()
        yield from (torch.from_numpy(known[key].astype(np.float32)) for key in keys)
