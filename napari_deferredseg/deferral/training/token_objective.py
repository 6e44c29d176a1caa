"""How routing tokens are fitted: on whole slices that boxes ask about, by their embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.routers.tokens import ASKED, DRAWN, EMBEDDING
from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSlice
from napari_deferredseg.deferral.segmentors.sam.slices import frame_of
from napari_deferredseg.deferral.training.objectives import Stage, agents_of, routing_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deferredseg.deferral.data.patches import Batch, Cases
    from napari_deferredseg.deferral.data.prepared import PreparedCase
    from napari_deferredseg.deferral.data.train_settings import DataConfig, RouterConfig
    from napari_deferredseg.deferral.routers.tokens import TokenRouter
    from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSegmentor

NAMES = ("scaled", "right", "valid", "reference", "known")


@dataclass(frozen=True)
class AskedSlice:
    """A slice, and what is known of it: arrays by name, (1, ..., y, x)."""

    asked: SamSlice
    arrays: Batch


class TokenStage(Stage):
    """The router's losses over whole slices; a batch is a list of `AskedSlice`."""

    def __init__(self, router: TokenRouter, config: RouterConfig) -> None:
        super().__init__(router, config.fit)
        self.router, self.config = router, config

    def loss(self, batch: Sequence[AskedSlice]) -> Tensor:
        """Mean over the slices, each on its own voxels."""
        found = []
        for item in batch:
            arrays = {name: array.to(self.device) for name, array in item.arrays.items()}
            routing = Routing.of(self.router.channels_of(item.asked, self.device).float())
            found.append(routing_loss(routing, *agents_of(arrays["scaled"].float(), arrays), self.config))
        return torch.stack(found).mean()

    def data(self, cases: Cases, config: DataConfig, batches: int, seed: int) -> pl.LightningDataModule:
        """Slices of the cases that boxes ask about."""
        return SliceData(cases, self.router.segmentor, config, self.fit_config.batch, batches, seed)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Slices stay where they are until the loss takes them one by one."""
        return batch

    def size_of(self, batch: Any) -> int:
        """Number of slices."""
        return len(batch)


class Slices(Dataset[AskedSlice]):
    """Slice `i` is one of those listed, drawn at random but the same for the same seed and number."""

    def __init__(
        self, listed: Sequence[tuple[PreparedCase, int]], segmentor: SamSegmentor, seed: int, length: int
    ) -> None:
        self.listed, self.segmentor, self.seed, self.length = listed, segmentor, seed, length

    def __len__(self) -> int:
        """Slices in an epoch."""
        return self.length

    def __getitem__(self, number: int) -> AskedSlice:
        """Take slice `number`."""
        rng = np.random.default_rng([self.seed, number])
        case, place = self.listed[int(rng.integers(len(self.listed)))]
        asked = kept_slice(case, place, self.segmentor)
        arrays = {n: torch.from_numpy(np.array(case.load(n)[..., asked.z, :, :]))[None] for n in NAMES}
        return AskedSlice(asked, arrays)


class SliceData(pl.LightningDataModule):
    """Training slices, new ones every epoch, and a fixed set of validation slices, of cases whose slices are kept."""

    def __init__(
        self, cases: Cases, segmentor: SamSegmentor, config: DataConfig, batch: int, batches: int, seed: int
    ) -> None:
        super().__init__()
        self.cases, self.segmentor, self.config = cases, segmentor, config
        self.batch, self.batches, self.seed = batch, batches, seed

    def train_dataloader(self) -> DataLoader[AskedSlice]:
        """Return the slices of the present epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        length = self.batch * self.batches * (self.trainer.world_size if self.trainer else 1)
        return self._loader(self.cases.training, self.seed * 10_000 + epoch, length)

    def val_dataloader(self) -> DataLoader[AskedSlice]:
        """Return the validation slices, the same at any time."""
        length = min(max(2 * len(self.cases.validation), 2 * self.batch), 16 * self.batch)
        return self._loader(self.cases.validation, 0, length)

    def _loader(self, cases: Sequence[PreparedCase], seed: int, length: int) -> DataLoader[AskedSlice]:
        listed = [(case, place) for case in cases for place in range(len(_places(case)))]
        if not listed:
            raise InputError("no prompt holds anything to look at: give prompt masks with labels")
        slices = Slices(listed, self.segmentor, seed, length)
        return DataLoader(slices, batch_size=self.batch, num_workers=self.config.workers, collate_fn=list)


def kept_slice(case: PreparedCase, place: int, segmentor: SamSegmentor) -> SamSlice:
    """Read one of the slices that the router kept beside a case, by its place among them."""
    rows, z = case.load(ASKED), _places(case)[place]
    boxes = tuple(
        SliceBox(int(label), z, (int(a), int(b)), (int(c), int(d))) for at, label, a, b, c, d in rows if at == z
    )
    height, width = case.load("reference").shape[1:]
    frame = frame_of((height, width), segmentor.sam.image_encoder.img_size, segmentor.config.input)
    embedding = torch.from_numpy(np.asarray(case.load(f"{EMBEDDING}{z:05d}"), np.float32))
    return SamSlice(z, embedding, frame, boxes, torch.from_numpy(np.array(case.load(f"{DRAWN}{z:05d}"))))


def _places(case: PreparedCase) -> list[int]:
    return [int(z) for z in np.unique(case.load(ASKED)[:, 0])]
