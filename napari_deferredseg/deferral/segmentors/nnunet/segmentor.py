"""A trained nnU-Net v2: its own preparation of images, its own sliding window, its own way back."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import combinations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.data.intensity import finite
from napari_deferredseg.deferral.networks.builders import first_line
from napari_deferredseg.deferral.networks.weights import fill
from napari_deferredseg.deferral.segmentors.base import require_channels
from napari_deferredseg.deferral.segmentors.module import classes_of, in_table_order
from napari_deferredseg.deferral.segmentors.nnunet.folder import checkpoint_of, read_checkpoint, read_folder
from napari_deferredseg.deferral.segmentors.nnunet.library import nnunet_library

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array, LabelTable, Volume
    from napari_deferredseg.deferral.data.nnunet_plans import Dataset, Plans
    from napari_deferredseg.deferral.data.segmentor_settings import NnunetConfig

FLOOR = -20.0
"""Logarithm of the smallest probability that is told apart; that of every label outside nnU-Net's crop."""
MARGIN = np.float32(0.01)
FINER = 256.0
"""Probabilities times this are blended: at a window's corners nnU-Net's weights leave float16 too few bits for them."""


@dataclass(frozen=True)
class NnunetSegmentor:
    """The folds of a trained nnU-Net as a `Segmentor`; they stay as they are.

    The mask, the best class of what `segment` returns, is nnU-Net's own: that of the mean logits over folds and
    mirrored images, taken back to the volume's grid. Its probability is the mean softmax over the same passes, so
    that passes which disagree make doubt; windows are blended as nnU-Net blends logits. Where the best class of the
    two is not the same, their values are exchanged. Outside the box that nnU-Net crops to there is background.

    `classes` are the numbers of its channels in the order of the model's table; what the table does not name is
    background.
    """

    network: nn.ModuleList
    config: NnunetConfig
    classes: tuple[int, ...]
    spacing_mm: Vector | None

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) on the model's grid: logarithms of probabilities where there are several passes."""
        volume = scan.volume
        plans, dataset = _known(self.config)
        require_channels(volume, len(dataset.channel_names))
        frame = _Frame(plans, len(dataset.names) + 1, volume)
        logits, shares = self._run(frame, device, progress)
        found = frame.back(logits, 0.0, FLOOR)
        mask = self._in_table(found.argmax(axis=0))
        if shares is not None:
            del logits, found
            found = frame.back(shares, FINER, 0.0)
            found /= np.float32(FINER)
            np.log(np.clip(found, np.exp(FLOOR), 1.0, out=found), out=found)
        ordered = in_table_order(found, self.classes)
        exchange(ordered, mask)
        return resampled(ordered, model_geometry(volume.geometry, self.spacing_mm).shape)

    def try_out(self) -> None:
        """Run the first network on an empty patch. InputError when it cannot take one."""
        plans, dataset = _known(self.config)
        patch, outputs = plans.configuration.patch_size, len(dataset.names) + 1
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                empty = torch.zeros(1, len(dataset.channel_names), *patch, device=device)
                found = Passes(self.network[0], self._mirrorings(), shares=False)(empty)
        except Exception as error:
            raise InputError(f"nnU-Net cannot take its own patch of {patch} voxels: {first_line(error)}") from error
        if found.shape != (1, outputs, *patch):
            raise InputError(f"nnU-Net makes {list(found.shape)} of a patch of {patch} voxels; copy its folder again")

    def _run(self, frame: _Frame, device: torch.device, progress: Progress) -> tuple[Tensor, Tensor | None]:
        """Mean logits and mean softmax over all passes, (C, *prepared), float16; no softmax of a single pass.

        nnU-Net's sliding window, without its mirroring, runs over `Passes`, which mirror each window just so.
        """
        mirrorings = self._mirrorings()
        several = len(mirrorings) * len(self.network) > 1
        predictor = frame.predictor(device, shares=several)
        total: Tensor | None = None
        with torch.inference_mode(), redirect_stdout(sys.stderr):
            for number, network in enumerate(self.network):
                progress(number / len(self.network), "running nnU-Net")
                predictor.network = Passes(network, mirrorings, shares=several)
                found = predictor.predict_sliding_window_return_logits(frame.image).cpu()
                total = found if total is None else total.add_(found)
            assert total is not None
            total = total.div_(len(self.network)) if len(self.network) > 1 else total
        return (total[: len(total) // 2], total[len(total) // 2 :]) if several else (total, None)

    def _mirrorings(self) -> list[tuple[int, ...]]:
        """Axes to mirror in each pass over one network: none, and with `mirror` every choice of those allowed."""
        axes = self.config.mirror_axes if self.config.mirror else ()
        return [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]

    def _in_table(self, mask: Array) -> NDArray[np.uint16]:
        """Classes of nnU-Net as classes of the table."""
        lut = np.zeros(len(_known(self.config)[1].names) + 1, np.uint16)
        for number, channel in enumerate(self.classes, start=1):
            lut[channel] = number
        return np.asarray(lut[mask], np.uint16)


class Passes(nn.Module):
    """A network that sees a patch mirrored in several ways: mean logits, then `shares`, the mean softmax by `FINER`."""

    def __init__(self, network: nn.Module, mirrorings: list[tuple[int, ...]], *, shares: bool) -> None:
        super().__init__()
        self.network, self.shares = network, shares
        self.mirrorings = [tuple(axis + 2 for axis in axes) for axes in mirrorings]

    def forward(self, image: Tensor) -> Tensor:
        """(B, C or 2 C, *spatial) of a patch. Sums are formed as in nnU-Net, for the same rounding."""
        logits, shares = torch.zeros(()), torch.zeros(())
        for number, axes in enumerate(self.mirrorings):
            found = self.network(image.flip(axes)).flip(axes)
            share = found.softmax(dim=1) if self.shares else None
            logits = logits.add_(found) if number else found
            if share is not None:
                shares = shares.add_(share) if number else share
        logits = logits.div_(len(self.mirrorings))
        if not self.shares:
            return logits
        return torch.cat([logits, shares.mul_(FINER / len(self.mirrorings)).to(logits.dtype)], dim=1)


class _Frame:
    """An image as nnU-Net prepares it, and the way back from there."""

    def __init__(self, plans: Plans, classes: int, volume: Volume) -> None:
        self._nnunet, self._classes = nnunet_library(), classes
        content = plans.model_dump(mode="json")
        (name,) = plans.configurations
        self._manager = self._nnunet.plans_manager(content)
        self._configuration = self._manager.get_configuration(name)
        channels = volume.array if volume.array.ndim == 4 else volume.array[np.newaxis]
        spacing = _thick_enough(volume, plans)
        prepare = self._nnunet.preprocessor(verbose=False)
        image, _, self._properties = prepare.run_case_npy(
            finite(channels), None, {"spacing": spacing}, self._manager, self._configuration, {}
        )
        self.image = torch.from_numpy(np.ascontiguousarray(image, np.float32))

    def predictor(self, device: torch.device, *, shares: bool) -> Any:
        """nnU-Net's sliding window on a device, with room for `shares`; its network is set by who runs it."""
        with redirect_stdout(io.StringIO()):
            made = self._nnunet.predictor(device=torch.device("cpu"), verbose=False, allow_tqdm=False)
        made.device, made.perform_everything_on_device = device, device.type == "cuda"
        made.configuration_manager, made.use_mirroring = self._configuration, False
        made.label_manager = SimpleNamespace(num_segmentation_heads=self._classes * (1 + shares))
        return made

    def back(self, maps: Tensor, background: float, others: float) -> NDArray[np.float32]:
        """Maps (C, *prepared) on the volume's grid, with these values outside the crop. By nnU-Net's own resampling."""
        kept, order = self._properties, self._manager.transpose_forward
        own = [kept["spacing"][axis] for axis in order]
        spacing = self._configuration.spacing
        prepared = spacing if len(spacing) == len(own) else [own[0], *spacing]
        box = tuple(slice(start, stop) for start, stop in kept["bbox_used_for_cropping"])
        whole = np.full((len(maps), *kept["shape_before_cropping"]), others, np.float32)
        whole[0] = background
        for number in range(len(maps)):  # one at a time: it works on copies with twice the bytes
            whole[number][box] = self._configuration.resampling_fn_probabilities(
                maps[number : number + 1].numpy(), kept["shape_after_cropping_and_before_resampling"], prepared, own
            )[0]
        return whole.transpose(0, *(axis + 1 for axis in self._manager.transpose_backward))


def _thick_enough(volume: Volume, plans: Plans) -> list[float]:
    """Spacing (z, y, x) for nnU-Net. An image thinner than half of a voxel of the network's counts as one voxel."""
    spacing = list(volume.geometry.spacing_zyx)
    wanted = plans.configuration.spacing
    for axis, target in zip(plans.transpose_forward[-len(wanted) :], wanted, strict=True):
        if round(volume.geometry.shape[axis] * spacing[axis] / target) < 1:
            spacing[axis] = target / volume.geometry.shape[axis]
    return spacing


def exchange(logits: NDArray[np.float32], mask: NDArray[np.uint16]) -> None:
    """Make the mask the best class of logits (C, z, y, x), in place, by exchanging its value with the best one.

    It gets a little more than that: of two equals the first would win, also after scaling.
    """
    best = logits.argmax(axis=0)
    z, y, x = np.nonzero(best != mask)
    own, top = mask[z, y, x], best[z, y, x]
    highest = logits[top, z, y, x]
    logits[top, z, y, x] = logits[own, z, y, x]
    logits[own, z, y, x] = highest + MARGIN


def completed(config: NnunetConfig) -> NnunetConfig:
    """Settings with plans, data set and folds of the folder; InputError as `read_folder` and `nnunet_library`."""
    nnunet_library()
    return read_folder(config)


def make_network(config: NnunetConfig) -> nn.ModuleList:
    """Networks of all folds as the plans describe them, frozen, without weights.

    Raises
    ------
    InputError
        nnU-Net is not installed, or there is no such network.
    """
    plans, dataset = _known(config)
    make = nnunet_library().network_from_plans
    shape = plans.configuration.architecture
    try:
        with redirect_stdout(io.StringIO()):
            made = [
                make(
                    shape.network_class_name,
                    shape.arch_kwargs,
                    shape.layers,
                    len(dataset.channel_names),
                    len(dataset.names) + 1,
                    allow_init=False,
                    deep_supervision=False,
                )
                for _ in config.folds
            ]
    except Exception as error:  # whatever a constructor does with such arguments
        raise InputError(f"the plans describe no network: {first_line(error)}; copy nnU-Net's folder again") from error
    return nn.ModuleList(made).eval().requires_grad_(False)


def load_weights(network: nn.ModuleList, config: NnunetConfig) -> None:
    """Load every weight of every fold; InputError as `read_checkpoint`, or where they are of another network."""
    assert config.folder is not None
    for fold, part in zip(config.folds, network, strict=True):
        path = checkpoint_of(config.folder, fold, config.checkpoint)
        fill(part, read_checkpoint(path)["network_weights"], path)


def segmentor_over(
    network: nn.ModuleList, config: NnunetConfig, table: LabelTable, spacing_mm: Vector | None
) -> NnunetSegmentor:
    """Segmentor of the networks. InputError as `classes_of`."""
    return NnunetSegmentor(network, config, classes_of(_known(config)[1].names, table), spacing_mm)


def _known(config: NnunetConfig) -> tuple[Plans, Dataset]:
    """Plans and data set of completed settings."""
    if config.plans is None or config.dataset is None or not config.folds:
        raise InputError("the model says nothing of its nnU-Net's plans, data set or folds; copy the model again")
    return config.plans, config.dataset
