"""Networks of MONAI by their names."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from monai.networks import nets
from torch import nn

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from napari_deferredseg.deferral.data.segmentor_settings import NetworkConfig


def build_network(config: NetworkConfig, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """Build a network of `monai.networks.nets`.

    Returns
    -------
    nn.Module
        (B, in_channels, *spatial) to (B, out_channels, *spatial).

    Raises
    ------
    InputError
        MONAI has no such network, or it does not take these arguments.
    """
    given = {"spatial_dims": spatial_dims, "in_channels": in_channels, "out_channels": out_channels}
    known = inspect.signature(_kind_of(config.name)).parameters
    if missing := [name for name in given if name not in known]:
        raise InputError(f"network.name = {config.name!r}: takes no {missing[0]}, so it is no segmentation network")
    if twice := sorted(given.keys() & config.arguments.keys()):
        raise InputError(f"network.arguments of {config.name}: {twice[0]} follows from the data; leave it out")
    return named_network(config.name, given | config.arguments)


def named_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a network of `monai.networks.nets` with all its arguments. InputError as `build_network`."""
    kind = _kind_of(name)
    known = inspect.signature(kind).parameters
    if "spatial_dims" not in known:
        raise InputError(f"network.name = {name!r}: takes no spatial_dims, so it is no segmentation network")
    if any(value for key, value in arguments.items() if key.startswith(("pretrained", "weights"))):
        # would be fetched from the network, by a name that came with a file
        raise InputError(f"network.arguments of {name}: pretrained weights are not fetched; leave it out")
    plain = {"pretrained": False} if "pretrained" in known else {}
    try:
        network: nn.Module = kind(**(plain | arguments))
    except Exception as error:
        raise InputError(f"network.arguments of {name}: {first_line(error)}") from error
    return network


def _kind_of(name: str) -> type[nn.Module]:
    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise InputError(f"network.name = {name!r}: is no network of MONAI; write for example UNet or SegResNet")
    return kind


def try_network(network: nn.Module, in_channels: int, out_channels: int, patch: tuple[int, ...]) -> None:
    """Run an untrained network on an empty patch, before hours are spent on it.

    Raises
    ------
    InputError
        It cannot take such a patch, or what it returns is no map of the patch.
    """
    name = type(network).__name__
    try:
        with torch.inference_mode():
            found = network.eval()(torch.zeros(1, in_channels, *patch))
    except Exception as error:
        raise InputError(f"network {name} cannot take a patch of {list(patch)} voxels: {first_line(error)}") from error
    finally:
        network.train()
    shape = getattr(found, "shape", None)
    if shape != (1, out_channels, *patch):
        got = f"shape {list(shape)}" if shape is not None else f"a {type(found).__name__}"
        raise InputError(
            f"network {name} makes {got} of a patch of {list(patch)} voxels, not a map of the patch; give sizes that "
            "its strides divide, or a segmentation network such as UNet or SegResNet"
        )


def first_line(error: Exception) -> str:
    """First line of what an error says, or its kind."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
