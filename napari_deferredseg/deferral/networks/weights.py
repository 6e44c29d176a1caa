"""Weights from files of others: tensors and nothing else, all of them or none."""

from __future__ import annotations

import pickle
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.networks.builders import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

WRAPPINGS = ("state_dict", "model_state_dict", "model", "network_weights", "network", "net")
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")


def fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load every weight of a network; prefixes that training tools add are taken off.

    Raises
    ------
    InputError
        The weights, which came from `path`, are not the network's.
    """
    wanted = network.state_dict().keys()
    while not wanted & state.keys() and (shorter := _unwrapped(state)) != list(state):
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


def _unwrapped(state: dict[str, Tensor]) -> list[str]:
    """Names without what a training tool put before all of them."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return [name.removeprefix(prefix) for name in state]
    return list(state)


def read_state(path: Path, stream: IO[bytes] | None = None) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or what torch saved; what training tools wrap around it is taken off.

    Raises
    ------
    InputError
        As `content_of`, or the file holds no state dict.
    """
    content = content_of(path, stream)
    for name in WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()) or not content:
        raise InputError(f"{path}: holds no state dict; save the network's state_dict()")
    return {str(k): v for k, v in content.items()}


def content_of(path: Path, stream: IO[bytes] | None = None, allowed: Sequence[Any] = ()) -> Any:
    """Read what torch or safetensors saved: tensors and plain values, and what is `allowed` beside them.

    Parameters
    ----------
    stream : binary file, optional
        Where the file lies in an archive; `path` is then only what messages call it.

    Raises
    ------
    InputError
        The file cannot be read, or carries code.
    """
    try:
        if path.suffix == ".safetensors" and stream is None:
            return load_file(path)
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(stream or path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: carries more than weights, and code from files is never run; save its state dict"
        ) from None
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{path}: cannot be read as weights ({first_line(error)}); copy it again") from error
