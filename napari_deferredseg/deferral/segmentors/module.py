"""Any network that was trained elsewhere, by the name of what makes it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor, nn

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.data.images import prepared_image
from napari_deferredseg.deferral.networks.builders import first_line
from napari_deferredseg.deferral.networks.outputs import class_logits, try_window
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.networks.weights import fill, read_state
from napari_deferredseg.deferral.segmentors.base import require_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array, LabelTable
    from napari_deferredseg.deferral.data.segmentor_settings import ModuleConfig


@dataclass(frozen=True)
class ModuleSegmentor:
    """A network of somebody else as a `Segmentor`; it stays as it is.

    `classes` are the numbers of its channels in the order of the model's table; what the table does not name is
    background.
    """

    network: nn.Module
    config: ModuleConfig
    classes: tuple[int, ...]
    spacing_mm: Vector | None

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) on the model's grid."""
        volume = scan.volume
        require_channels(volume, self.config.channels)
        view = self.config.view
        found = over_volume(self._logits, prepared_image(volume, view), view, device, progress)
        shape = model_geometry(volume.geometry, self.spacing_mm).shape
        return resampled(in_table_order(found, self.classes), shape)

    def try_out(self) -> None:
        """Run the network on an empty patch. InputError when it cannot take one."""
        config = self.config
        try_window(self._logits, self.network, config.channels, config.view.patch, config.factory)

    def _logits(self, image: Tensor) -> Tensor:
        config = self.config
        return class_logits(self.network(image), image, len(config.labels), config.output, config.factory)


def in_table_order(logits: Array, classes: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits with the background first and then the chosen channels; the other channels are background too."""
    rest = [c for c in range(len(logits)) if c not in classes]
    background = logits[rest[0]] if len(rest) == 1 else logsumexp(logits[rest], axis=0)
    return np.asarray(np.stack([background, *(logits[c] for c in classes)]), np.float32)


def completed(config: ModuleConfig) -> ModuleConfig:
    """Settings as they are: they hold everything. InputError where they name no weights."""
    if config.checkpoint is None:
        raise InputError("segmentor.checkpoint is missing: name the file with the network's weights")
    return config


def load_weights(network: nn.Module, config: ModuleConfig) -> None:
    """Load every weight of a network; InputError as `read_state` and `fill`."""
    assert config.checkpoint is not None
    fill(network, read_state(config.checkpoint), config.checkpoint)


def segmentor_over(
    network: nn.Module, config: ModuleConfig, table: LabelTable, spacing_mm: Vector | None
) -> ModuleSegmentor:
    """Segmentor of a network. InputError as `classes_of`."""
    return ModuleSegmentor(network, config, classes_of(config.labels, table), spacing_mm)


def classes_of(labels: Sequence[str], table: LabelTable) -> tuple[int, ...]:
    """Channel of each label of a table.

    Raises
    ------
    InputError
        The segmentor has no such class.
    """
    known = {name.casefold(): number for number, name in enumerate(labels, start=1)}
    for label in table.labels:
        if label.name.casefold() not in known:
            raise InputError(
                f"the segmentor knows {', '.join(labels)}, but the cases have {label.name!r}; name the labels "
                "of the cases as the segmentor does, in their list"
            )
    return tuple(known[label.name.casefold()] for label in table.labels)


def make_network(config: ModuleConfig) -> nn.Module:
    """Network as its factory makes it, without weights from the checkpoint.

    Raises
    ------
    InputError
        There is no such factory, or it does not make a network of these arguments.
    """
    name, _, attribute = config.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(name), attribute)
    except Exception as error:  # whatever a package does when it is imported
        raise InputError(
            f"segmentor.factory {config.factory}: {first_line(error)}; install its package, or correct it"
        ) from error
    try:
        network = factory(**config.arguments)
    except Exception as error:
        raise InputError(f"segmentor.arguments of {config.factory}: {first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"segmentor.factory {config.factory} makes a {type(network).__name__}, not a network of torch")
    return network.eval().requires_grad_(False)
