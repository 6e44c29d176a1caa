"""How routing tokens are fitted: on whole slices that boxes ask about, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.routers.kept_slices import KeptSlices, kept_slice
from napari_deferredseg.deferral.training.batches import Answers
from napari_deferredseg.deferral.training.objectives import Objective, agents_of
from napari_deferredseg.deferral.training.routing_loss import RoutingLoss

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.patches import Cases
    from napari_deferredseg.deferral.data.train_settings import DataConfig, RouterConfig
    from napari_deferredseg.deferral.routers.tokens import TokenRouter
    from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSegmentor, SamSlice


@dataclass(frozen=True)
class AskedSlice:
    """A slice; its scaled logits (1, C, y, x), the answers there, and the lengths of a voxel (1, 2), mm."""

    asked: SamSlice
    scaled: Tensor
    answers: Answers
    spacing: Tensor


class TokenObjective(Objective[Sequence[AskedSlice]]):
    """The router's losses over whole slices; a batch is a list of `AskedSlice`."""

    def __init__(self, router: TokenRouter, config: RouterConfig) -> None:
        super().__init__(router, config.fit)
        self.router, self.routing_loss = router, RoutingLoss(config)

    def loss(self, batch: Sequence[AskedSlice]) -> Tensor:
        """Mean over the slices, each on its own voxels."""
        found = []
        for item in batch:
            answers = Answers(*(array.to(self.device) for array in item.answers))
            routing = Routing.of(self.router.channels_of(item.asked, self.device).float())
            right, valid = agents_of(item.scaled.to(self.device).float(), answers)
            found.append(self.routing_loss(routing, right, valid, item.spacing.to(self.device)))
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


@dataclass(frozen=True)
class SliceCut:
    """A whole slice of a case, as a batch of one."""

    z: int

    def __call__(self, array: Array) -> Tensor:
        """Slice (1, ..., y, x) of an array (..., z, y, x)."""
        return torch.from_numpy(np.array(array[..., self.z, :, :]))[None]

    def spacing(self, case: PreparedCase) -> Tensor:
        """Lengths of a voxel (1, 2), mm."""
        return torch.tensor([case.geometry.spacing_zyx[1:]], dtype=torch.float32)


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
        cut = SliceCut(asked.z)
        return AskedSlice(asked, cut(case.output.scaled.load()), Answers.of(case, cut), cut.spacing(case))


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
        listed = [(case, place) for case in cases for place in range(len(KeptSlices(case.folder).places()))]
        if not listed:
            raise InputError("no prompt holds anything to look at: give prompt masks with labels")
        slices = Slices(listed, self.segmentor, seed, length)
        return DataLoader(slices, batch_size=self.batch, num_workers=self.config.workers, collate_fn=list)
