"""Any network that was trained elsewhere, by the name of what makes it."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.special import logsumexp
from torch import Tensor, nn

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.grids import model_geometry, resampled
from napari_deferredseg.deferral.inference import over_volume
from napari_deferredseg.deferral.networks import first_line
from napari_deferredseg.deferral.prepared import prepared_image
from napari_deferredseg.deferral.segmentors.base import require_channels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array, LabelTable
    from napari_deferredseg.deferral.segmentors.settings import ModuleConfig

WRAPPINGS = ("state_dict", "model_state_dict", "model", "network_weights", "network", "net")
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")


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
        """Run the network on an empty patch, before hours are spent on it. InputError when it cannot take one."""
        view = self.config.view
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                self._logits(torch.zeros(1, self.config.channels, *view.patch, device=device))
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{self.config.factory} cannot take a patch of {self.config.channels} channels and {list(view.patch)} "
                f"voxels: {first_line(error)}"
            ) from None

    def _logits(self, image: Tensor) -> Tensor:
        found = map_of(self.network(image))
        wanted = 1 if self.config.output == "foreground-logit" else len(self.config.labels) + 1
        if found.shape[:2] != (len(image), wanted) or found.shape[2:] != image.shape[2:]:
            raise InputError(
                f"{self.config.factory} makes {list(found.shape)} of a patch {list(image.shape)}, not {wanted} "
                f"channels of it; correct segmentor.labels or segmentor.output"
            )
        return torch.cat([torch.zeros_like(found), found], dim=1) if wanted == 1 else found


def map_of(output: Any) -> Tensor:
    """Map of the patch that a network returned: the output itself, or the first of several."""
    while isinstance(output, list | tuple | dict) and output:
        output = next(iter(output.values() if isinstance(output, dict) else output))
    if not isinstance(output, Tensor):
        raise InputError(f"the segmentor's network returns a {type(output).__name__}, not a map of the patch")
    return output


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
    """Load every weight of a network; InputError as `load_checkpoint`."""
    assert config.checkpoint is not None
    load_checkpoint(network, config.checkpoint)


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
        ) from None
    try:
        network = factory(**config.arguments)
    except Exception as error:
        raise InputError(f"segmentor.arguments of {config.factory}: {first_line(error)}") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"segmentor.factory {config.factory} makes a {type(network).__name__}, not a network of torch")
    return network.eval().requires_grad_(False)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Load every weight of a network; wrappings and prefixes that training tools add are taken off.

    Raises
    ------
    InputError
        The file cannot be read, carries code, or holds other weights than the network's.
    """
    load_state(network, _state_of(path), path)


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load every weight of a network from those that a file holds; InputError as `load_checkpoint`."""
    wanted = network.state_dict().keys()
    while not wanted & state.keys() and (shorter := _unwrapped(state)) != state.keys():
        state = dict(zip(shorter, state.values(), strict=True))
    missing, unknown = sorted(wanted - state.keys()), sorted(state.keys() - wanted)
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which the network has not"
        raise InputError(
            f"{path}: {what} ({len(missing)} missing, {len(unknown)} unknown); give this network's weights"
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: {str(error).splitlines()[-1].strip()}; give this network's weights") from None


def _unwrapped(state: dict[str, Tensor]) -> dict[str, None]:
    """Names without what a training tool put before all of them."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return dict.fromkeys(name.removeprefix(prefix) for name in state)
    return dict.fromkeys(state)


def _state_of(path: Path) -> dict[str, Tensor]:
    content = content_of(path)
    for name in WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()) or not content:
        raise InputError(f"{path}: holds no state dict; save the network's state_dict()")
    return {str(k): v for k, v in content.items()}


def content_of(path: Path, allowed: Sequence[Any] = ()) -> Any:
    """What torch or safetensors saved into a file: tensors and plain values, and what is `allowed` beside them.

    Raises
    ------
    InputError
        The file cannot be read, or carries code.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: carries more than weights, and code from files is never run; save its state dict"
        ) from None
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{path}: cannot be read as weights ({first_line(error)}); copy it again") from None
