"""Slices of a volume as Segment Anything gets them: its image, its frame, its embedding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from napari_deferredseg.deferral.data.devices import autocast_dtype
from napari_deferredseg.deferral.segmentors.sam.embeddings import EmbeddingCache, content_key
from napari_deferredseg.deferral.segmentors.sam.encoder import WAY, FastEncoder, PlainEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_deferredseg.core.scan import SliceBox
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.segmentor_settings import SamConfig

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
    sample = values[:: max(len(values) // SAMPLED, 1)]
    known = sample[np.isfinite(sample)]
    low, high = np.percentile(known, PERCENTILES) if known.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


def gray(plane: Array, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Slice (y, x) as 0 to 255."""
    low, high = window
    known = np.nan_to_num(plane.astype(np.float32), nan=low)  # what was not measured is black
    share = (known - low) / (high - low)
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
    digest = hashlib.blake2b(digest_size=20)
    for weight in sam.image_encoder.parameters():
        digest.update(weight.detach().cpu().contiguous().numpy().data)
    return digest.digest()


def embedding_key(mark: bytes, plane: NDArray[np.uint8], config: SamConfig, how: str) -> str:
    """Name of a slice's embedding: the same voxels through the same weights the same way have the same one."""
    about = f"{config.input} {config.path} {how} {plane.shape}"
    return content_key(mark, about.encode(), plane.tobytes())


class Embedder:
    """Embeddings of slices of one volume; those kept on disk are read."""

    def __init__(self, sam: Sam, config: SamConfig, device: torch.device, cache: EmbeddingCache) -> None:
        self._sam, self._config, self._device, self._cache = sam, config, device, cache
        is_fast = config.path == "fast"
        half = autocast_dtype(device) if is_fast else None
        self._kept = torch.float32 if half is None else torch.float16  # as exact as they were computed
        self._how = f"{device.type} {half} {WAY if is_fast else ''}"
        self._together = BATCH.get(device.type, 1) if is_fast else 1

    @cached_property
    def _mark(self) -> bytes:
        return weights_mark(self._sam)

    @cached_property
    def _encode(self) -> PlainEncoder | FastEncoder:
        encoder = self._sam.image_encoder
        return FastEncoder(encoder, self._device) if self._config.path == "fast" else PlainEncoder(encoder)

    def of(self, planes: Sequence[NDArray[np.uint8]]) -> Iterator[Tensor]:
        """Yield the embedding (256, h, w) float32, on the CPU, of each gray slice (y, x)."""
        for start in range(0, len(planes), AHEAD):
            part = planes[start : start + AHEAD]
            keys = [embedding_key(self._mark, plane, self._config, self._how) for plane in part]
            known = {key: found for key in keys if (found := self._cache.load(key)) is not None}
            missing = [(key, plane) for key, plane in zip(keys, part, strict=True) if key not in known]
            for batch in (missing[i : i + self._together] for i in range(0, len(missing), self._together)):
                known |= self._made(batch)
            if missing:
                self._cache.make_room()
            yield from (torch.from_numpy(known[key].astype(np.float32)) for key in keys)

    def _made(self, batch: Sequence[tuple[str, NDArray[np.uint8]]]) -> dict[str, NDArray[np.generic]]:
        images = torch.stack([encoder_input(self._sam, plane, self._config.input) for _, plane in batch])
        found = self._encode(images.to(self._device)).to(self._kept).cpu().numpy()
        made = {key: array for (key, _), array in zip(batch, found, strict=True)}
        for key, array in made.items():
            self._cache.save(key, array)
        return made
