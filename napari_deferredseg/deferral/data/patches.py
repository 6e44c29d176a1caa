"""Patches of prepared cases, drawn at random but the same for the same seed, epoch and number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.train_settings import DataConfig

B = TypeVar("B")
Sample = Callable[["PreparedCase", "Cut"], B]
"""Takes what is needed of a case, cut at one place."""
TRIES = 8


@dataclass(frozen=True)
class Cut:
    """A place in a case: every array is cut there, mirrored along some axes, and loses its first axis where `flat`."""

    centre: tuple[int, ...]
    patch: tuple[int, ...]
    flips: tuple[int, ...]
    flat: bool

    def __call__(self, array: Array) -> Tensor:
        """Patch of an array (..., z, y, x)."""
        part = _cut(array, self.centre, self.patch)
        part = np.flip(part, tuple(axis - 3 for axis in self.flips)) if self.flips else part
        return torch.from_numpy(np.ascontiguousarray(part[..., 0, :, :] if self.flat else part))

    def spacing(self, case: PreparedCase) -> Tensor:
        """Lengths of a voxel along the patch's axes, mm."""
        return torch.tensor(case.geometry.spacing_zyx[1 if self.flat else 0 :], dtype=torch.float32)


class Patches(Dataset[B]):
    """Item i is a patch of a random case: all that `sample` takes of it, cut at the same place.

    Arrays are (*spatial) or (channels, *spatial); 2-D patches are cut from slices. What lies beyond a case's border is
    zero, and `known` and `valid` are False there.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], sample: Sample[B], config: DataConfig, seed: int, length: int
    ) -> None:
        self.cases, self.sample, self.config, self.seed, self.length = cases, sample, config, seed, length

    def __len__(self) -> int:
        """Patches in an epoch."""
        return self.length

    def __getitem__(self, number: int) -> B:
        """Cut patch `number`."""
        rng = np.random.default_rng([self.seed, number])
        case = self.cases[int(rng.integers(len(self.cases)))]
        reference = case.arrays.reference.load()
        flat = self.config.spatial_dims == 2
        patch = (1, *self.config.patch) if flat else self.config.patch
        centre = self._centre(reference, rng)
        flips = [axis for axis in self.config.flip_axes if rng.random() < 0.5]
        return self.sample(case, Cut(tuple(centre), tuple(patch), tuple(flips), flat))

    def _centre(self, reference: Array, rng: np.random.Generator) -> list[int]:
        """Return a voxel: a labelled one for a share of the patches, where one is soon found."""
        place = [int(rng.integers(n)) for n in reference.shape]
        if rng.random() >= self.config.foreground_share:
            return place
        for _ in range(TRIES):
            plane = rng.integers(reference.shape[0])
            inside = np.flatnonzero(reference[plane])
            if len(inside):
                y, x = divmod(int(rng.choice(inside)), reference.shape[2])
                return [int(plane), y, x]
        return place


def _cut(array: Array, centre: Sequence[int], patch: Sequence[int]) -> Array:
    """Cut a box out of the last three axes, zero-padded; moved into the array where it fits."""
    source: tuple[slice, ...] = ()
    target: tuple[slice, ...] = ()
    for middle, size, length in zip(centre, patch, array.shape[-3:], strict=True):
        start = min(max(middle - size // 2, 0), max(length - size, 0))
        stop = min(start + size, length)
        source += (slice(start, stop),)
        before = (size - (stop - start)) // 2
        target += (slice(before, before + stop - start),)
    out = np.zeros((*array.shape[:-3], *patch), array.dtype)
    out[Ellipsis, target[0], target[1], target[2]] = array[Ellipsis, source[0], source[1], source[2]]
    return out


class Cases(NamedTuple):
    """Those to learn from, and those that say when to stop."""

    training: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]


class PatchData(pl.LightningDataModule, Generic[B]):
    """Training patches, new ones every epoch, and a fixed set of validation patches."""

    def __init__(
        self,
        cases: Cases,
        sample: Sample[B],
        config: DataConfig,
        *,
        batch: int,
        batches: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.training, self.validation, self.sample = cases.training, cases.validation, sample
        self.config, self.batch, self.batches, self.seed = config, batch, batches, seed

    def train_dataloader(self) -> DataLoader[B]:
        """Return the patches of the present epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        length = self.batch * self.batches * (self.trainer.world_size if self.trainer else 1)
        return self._loader(Patches(self.training, self.sample, self.config, self.seed * 10_000 + epoch, length))

    def val_dataloader(self) -> DataLoader[B]:
        """Return the validation patches, the same at any time."""
        length = min(max(2 * len(self.validation), 2 * self.batch), 16 * self.batch)
        still = self.config.model_copy(update={"flip_axes": ()})
        return self._loader(Patches(self.validation, self.sample, still, 0, length))

    def _loader(self, patches: Patches[B]) -> DataLoader[B]:
        return DataLoader(patches, batch_size=self.batch, num_workers=self.config.workers)
