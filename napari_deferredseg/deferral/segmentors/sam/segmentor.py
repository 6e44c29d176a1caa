"""Segment Anything and MedSAM: a box for each structure and slice, a logit for each voxel of the slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_deferredseg.core.errors import InputError, MissingExtra
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.networks.weights import fill, read_state
from napari_deferredseg.deferral.segmentors.base import require_channels
from napari_deferredseg.deferral.segmentors.sam.decoder import decode_fast, decode_plain
from napari_deferredseg.deferral.segmentors.sam.embeddings import EmbeddingCache
from napari_deferredseg.deferral.segmentors.sam.slices import Embedder, SamFrame, frame_of, gray, gray_window
from napari_deferredseg.masks.prompts import boxes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from segment_anything.modeling import Sam
    from torch import Tensor, nn

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan, SliceBox
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.data.segmentor_settings import SamConfig

NOTHING = -20.0
"""Logit of a class in a slice without a box of it."""
FOLLOW_MARGIN = 3
"""Voxels by which a structure may grow from one slice to the next when it is followed."""


@dataclass(frozen=True)
class SamSlice:
    """A slice that boxes ask about: its embedding (256, h, w) and the boxes' corners (n, 4) in its frame.

    `drawn` (1, 1, 4 h, 4 w) is the largest logit of all boxes, where it is known.
    """

    z: int
    embedding: Tensor
    frame: SamFrame
    boxes: tuple[SliceBox, ...]
    drawn: Tensor | None = None

    def corners(self, device: torch.device) -> Tensor:
        """Corners (n, 4) of the boxes for the prompt encoder."""
        return torch.from_numpy(self.frame.boxes(self.boxes)).to(device)


@dataclass(frozen=True)
class SamSegmentor:
    """Segment Anything as a `Segmentor`: where no box asks, there is background.

    `values` are the label values of the model's table, in its order.
    """

    network: nn.Module
    config: SamConfig
    values: tuple[int, ...]
    spacing_mm: Vector | None
    cache: EmbeddingCache = field(default_factory=EmbeddingCache.of_user)

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) on the model's grid."""
        logits = np.zeros((len(self.values) + 1, *scan.volume.geometry.shape), np.float32)
        logits[1:] = NOTHING
        for asked in self.slices(scan, device, progress):
            self._draw(logits, asked, device)
        return resampled(logits, model_geometry(scan.volume.geometry, self.spacing_mm).shape)

    def slices(self, scan: Scan, device: torch.device, progress: Progress = silent) -> Iterator[SamSlice]:
        """Yield the slices that boxes ask about, structures followed as configured."""
        volume = scan.volume
        require_channels(volume, 1)
        if scan.boxes is None:
            raise InputError(
                f"{volume.source}: the segmentor must be told where to look: give a mask as prompt, or draw boxes"
            )
        if unknown := {b.label for b in scan.boxes} - set(self.values):
            raise InputError(f"{volume.source}: a box is about label {min(unknown)}, which the model does not know")
        array = volume.array.reshape(volume.geometry.shape)
        frame = frame_of((array.shape[1], array.shape[2]), self.sam.image_encoder.img_size, self.config.input)
        window, asked = gray_window(array, self.config), Asked(scan.boxes)
        embedder = Embedder(self.sam, self.config, device, self.cache)
        for zs in asked.rounds():
            planes = [gray(array[z], window) for z in zs]
            for number, (z, embedding) in enumerate(zip(zs, embedder.of(planes), strict=True)):
                progress(number / len(zs), f"slice {z + 1} of {len(array)}")
                here = SamSlice(z, embedding, frame, asked.boxes(z))
                yield here
                if self.config.propagate:
                    self._follow(here, asked, len(array), device)

    @property
    def sam(self) -> Sam:
        """Network, as what it is."""
        return self.network

    def low_logits(self, asked: SamSlice, device: torch.device) -> Tensor:
        """Logits (n, 1, 256, 256) of each box of a slice, by the pre-trained decoder."""
        with torch.inference_mode():
            return self.decode(self.sam, asked.embedding.to(device), asked.corners(device))

    @property
    def decode(self) -> Callable[[Sam, Tensor, Tensor], Tensor]:
        """Way through the decoder that is configured."""
        return decode_fast if self.config.path == "fast" else decode_plain

    def try_out(self) -> None:
        """Run the decoder on an empty embedding. InputError when it cannot take one."""
        sam = self.sam
        device = next(sam.parameters()).device
        rows, columns = sam.prompt_encoder.image_embedding_size
        empty = torch.zeros(sam.mask_decoder.transformer_dim, rows, columns, device=device)
        with torch.inference_mode():
            self.decode(sam, empty, torch.tensor([[0.0, 0.0, 8.0, 8.0]], device=device))

    def _draw(self, logits: NDArray[np.float32], asked: SamSlice, device: torch.device) -> None:
        with torch.inference_mode():
            maps = asked.frame.back(self.sam, self.low_logits(asked, device))[:, 0].cpu().numpy()
        for box, drawn in zip(asked.boxes, maps, strict=True):
            plane = logits[1 + self.values.index(box.label), asked.z]
            np.maximum(plane, drawn, out=plane)

    def _follow(self, here: SamSlice, asked: Asked, depth: int, device: torch.device) -> None:
        """Ask in the neighbours of a slice for what was found in it."""
        with torch.inference_mode():
            maps = here.frame.back(self.sam, self.low_logits(here, device))[:, 0] > 0
        for box, mask in zip(here.boxes, maps.cpu().numpy(), strict=True):
            for z in (here.z - 1, here.z + 1):
                if 0 <= z < depth and asked.may_follow(box.label, z, self.config.propagate):
                    grown = boxes_in(mask.astype(np.uint16) * np.uint16(box.label), z, FOLLOW_MARGIN)
                    asked.follow(max(grown, key=_area, default=None))


class Asked:
    """What boxes ask about, slice by slice, and what is asked because it was found next door."""

    def __init__(self, boxes: Sequence[SliceBox]) -> None:
        self._given = {(b.label, b.z) for b in boxes}
        self._boxes: dict[int, list[SliceBox]] = {}
        self._new: set[int] = set()
        self._followed: set[tuple[int, int]] = set()
        for box in boxes:
            self._add(box)

    def rounds(self) -> Iterator[Sequence[int]]:
        """Yield slices in order; those with boxes that come in meanwhile are yielded again, with all their boxes."""
        while self._new:
            zs, self._new = sorted(self._new), set()
            yield zs
            self._followed |= {(b.label, b.z) for z in self._new for b in self._boxes[z]}

    def boxes(self, z: int) -> tuple[SliceBox, ...]:
        """Every box of a slice."""
        return tuple(self._boxes[z])

    def may_follow(self, label: int, z: int, reach: int) -> bool:
        """Whether nobody asked for a label in a slice yet, and a given box of it is within reach."""
        if (label, z) in self._given or (label, z) in self._followed:
            return False
        return any(own == label and abs(z - other) <= reach for own, other in self._given)

    def follow(self, box: SliceBox | None) -> None:
        """Ask for one thing more."""
        if box is not None:
            self._add(box)

    def _add(self, box: SliceBox) -> None:
        self._boxes.setdefault(box.z, []).append(box)
        self._new.add(box.z)


def _area(box: SliceBox) -> int:
    return (box.rows[1] - box.rows[0]) * (box.columns[1] - box.columns[0])


def completed(config: SamConfig) -> SamConfig:
    """Settings as they are: they hold everything. InputError where they name no weights."""
    if config.checkpoint is None:
        raise InputError("segmentor.checkpoint is missing: name the file with the published weights")
    return config


def make_network(config: SamConfig) -> nn.Module:
    """Segment Anything of a size, without its weights. InputError when its package is missing."""
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise MissingExtra(
            "Segment Anything is not installed; install it: pip install 'napari-deferredseg[model]'"
        ) from error
    network: nn.Module = sam_model_registry[config.size]()
    return network.eval().requires_grad_(False)


def load_weights(network: nn.Module, config: SamConfig) -> None:
    """Load every weight of a published checkpoint. InputError as `read_state` and `fill`."""
    assert config.checkpoint is not None
    fill(network, read_state(config.checkpoint), config.checkpoint)


def segmentor_over(network: nn.Module, config: SamConfig, table: LabelTable, spacing_mm: Vector | None) -> SamSegmentor:
    """Segmentor of a network, for the labels of a table."""
    return SamSegmentor(network, config, tuple(x.value for x in table.labels), spacing_mm)
