"""What fitting routing tokens needs of a case, beside it: the slices that boxes ask about, all but the tokens' pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.deferral.data.cases import ArrayFile
from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSlice
from napari_deferredseg.deferral.segmentors.sam.slices import frame_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSegmentor


@dataclass(frozen=True)
class KeptSlices:
    """Files in the folder of a case."""

    folder: Path

    @property
    def asked(self) -> ArrayFile[np.int64]:
        """Boxes (n, 6): slice, label, rows from and to, columns from and to. Kept last: where it is, all is."""
        return ArrayFile(self.folder / "asked.npy")

    def embedding(self, z: int) -> ArrayFile[np.float16]:
        """Embedding (256, h, w) of a slice."""
        return ArrayFile(self.folder / f"embedding_{z:05d}.npy")

    def drawn(self, z: int) -> ArrayFile[np.float32]:
        """Largest logit (1, 1, 4 h, 4 w) of all boxes of a slice, by the first pass."""
        return ArrayFile(self.folder / f"drawn_{z:05d}.npy")

    def places(self) -> list[int]:
        """Slices that are kept, in order."""
        return [int(z) for z in np.unique(self.asked.load()[:, 0])]


def kept_slice(case: PreparedCase, place: int, segmentor: SamSegmentor) -> SamSlice:
    """Read one of the slices that are kept of a case, by its place among them."""
    kept = KeptSlices(case.folder)
    z = kept.places()[place]
    boxes = tuple(
        SliceBox(int(label), z, (int(a), int(b)), (int(c), int(d)))
        for at, label, a, b, c, d in kept.asked.load()
        if at == z
    )
    height, width = case.arrays.reference.load().shape[1:]
    frame = frame_of((height, width), segmentor.sam.image_encoder.img_size, segmentor.config.input)
    embedding = torch.from_numpy(np.asarray(kept.embedding(z).load(), np.float32))
    return SamSlice(z, embedding, frame, boxes, torch.from_numpy(np.array(kept.drawn(z).load())))
