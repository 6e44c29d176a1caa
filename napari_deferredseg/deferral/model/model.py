"""A deferral model as a folder: weights as safetensors, everything else as JSON, and a card for people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.model.spec import CARD, CONFIG, WEIGHTS, read_spec
from napari_deferredseg.deferral.model.trust import require_trusted
from napari_deferredseg.deferral.routers.network import NetworkRouter
from napari_deferredseg.deferral.routers.tokens import WIDTH, TokenRouter
from napari_deferredseg.deferral.segmentors.adapters import adapter_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from napari_deferredseg.deferral.data.model_shape import ModelShape
    from napari_deferredseg.deferral.model.spec import ModelSpec
    from napari_deferredseg.deferral.routers.base import Router
    from napari_deferredseg.deferral.segmentors.base import Segmentor


@dataclass(frozen=True)
class DeferralModel:
    """A segmentor and a router (None in a joint model, whose one network has the agents' channels too)."""

    spec: ModelSpec
    segmentor: Segmentor
    router: Router | None

    def to(self, device: torch.device) -> Self:
        """Move the networks to a device; returns the model itself."""
        self.segmentor.network.to(device)
        if self.router is not None:
            self.router.module.to(device)
        return self


def new_networks(shape: ModelShape) -> tuple[nn.Module, Router | None]:
    """Untrained networks of a model."""
    config = shape.config
    segmentor = adapter_of(config.segmentor.kind).make_network(config.segmentor, shape)
    if config.mode == "joint":
        return segmentor, None
    if config.routes_by_tokens:
        return segmentor, TokenRouter(shape.experts, WIDTH)
    dims = config.data.spatial_dims
    return segmentor, NetworkRouter(config.router.network, dims, shape.channels, shape.classes, shape.experts)


def segmentor_of(shape: ModelShape, network: nn.Module) -> Segmentor:
    """Segmentor that runs a network; that of a joint mode has its agents' channels too.

    Raises
    ------
    InputError
        It knows other labels than the model.
    """
    config = shape.config.segmentor
    return adapter_of(config.kind).segmentor_over(network, config, shape)


def save_model(model: DeferralModel, folder: Path, card: str) -> None:
    """Write a model into a folder that exists."""
    tensors: dict[str, Tensor] = {}
    for part, module in (("segmentor", model.segmentor.network), ("router", _module_of(model.router))):
        if module is not None:
            tensors |= {f"{part}.{k}": v for k, v in weights_of(module).items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(model.spec.model_dump_json(indent=1), encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def _module_of(router: Router | None) -> nn.Module | None:
    return None if router is None else router.module


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Copy of all weights; those that two layers share are there twice, since safetensors knows no sharing."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}


def fingerprint(folder: Path) -> str:
    """Digest of a model's settings and weights: tells two trainings under one name apart.

    Raises
    ------
    InputError
        It is no model folder.
    """
    digest = hashlib.blake2b(digest_size=6)
    try:
        for name in (CONFIG, WEIGHTS):
            digest.update((folder / name).read_bytes())
    except OSError as error:
        raise InputError(f"{folder}: is no model folder ({error.filename} cannot be read); train makes one") from None
    return digest.hexdigest()


def load_model(folder: Path) -> DeferralModel:
    """Read a model folder. Weights are safetensors; code that it names runs only where somebody allowed that here.

    Raises
    ------
    InputError
        As `read_spec`; weights are missing, damaged or of another network.
    """
    spec = read_spec(folder)
    if spec.config.segmentor.kind == "module":
        require_trusted(spec.config.segmentor, folder)
    network, router = new_networks(spec.shape)
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        raise InputError(f"{path}: is missing or no safetensors file; only safetensors weights are read") from None
    for part, module in (("segmentor", network), ("router", _module_of(router))):
        if module is None:
            continue
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(
                f"{path}: the weights are not of this {part}: {str(error).splitlines()[-1].strip()}"
            ) from None
        module.eval()
    segmentor = segmentor_of(spec.shape, network)
    return DeferralModel(spec, segmentor, None if router is None else router.over(segmentor))
