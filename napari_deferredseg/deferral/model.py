"""A deferral model as a folder: weights as safetensors, everything else as JSON, and a card for people."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.deferral.calibration import Scaling, Temperature
from napari_deferredseg.deferral.config import TrainConfig
from napari_deferredseg.deferral.networks import build_network
from napari_deferredseg.deferral.policy import Policy
from napari_deferredseg.deferral.router import Router
from napari_deferredseg.deferral.segmentors.adapters import adapter_of
from napari_deferredseg.deferral.segmentors.monai import MonaiSegmentor
from napari_deferredseg.deferral.token_router import WIDTH, TokenRouter
from napari_deferredseg.deferral.trust import require_trusted

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from napari_deferredseg.deferral.segmentors.base import Segmentor

FORMAT = 1
CONFIG, WEIGHTS, CARD = "model.json", "model.safetensors", "CARD.md"


class ModelSpec(BaseModel):
    """Everything of a model but its weights and its card.

    `temperature` scales the segmentor's logits; `competence` scales the router's one-versus-all logits, the AI first.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    name: str
    config: TrainConfig
    table: LabelTable
    experts: tuple[str, ...]
    channels: int
    seed: int
    data_digest: str
    temperature: Temperature
    competence: tuple[Scaling, ...]
    policy: Policy

    @model_validator(mode="after")
    def _fits(self) -> Self:
        agents = len(self.experts) + 1
        if not self.table.labels or agents < 2 or self.channels < 1:
            raise ValueError("a model has a label, a reader and an image channel at least")
        if self.config.mode == "two-stage" and len(self.competence) != agents:
            raise ValueError(f"competence has {len(self.competence)} scalings for {agents} agents")
        if len(self.policy.record) not in (0, agents - 1):
            raise ValueError(f"policy.record has {len(self.policy.record)} shares for {agents - 1} readers")
        return self

    @property
    def classes(self) -> int:
        """Number of classes, background counted."""
        return len(self.table.labels) + 1


@dataclass(frozen=True)
class DeferralModel:
    """A segmentor and a router (None in a joint model, whose one network has the agents' channels too)."""

    spec: ModelSpec
    segmentor: Segmentor
    router: Router | TokenRouter | None

    def to(self, device: torch.device) -> Self:
        """Move the networks to a device; returns the model itself."""
        self.segmentor.network.to(device)
        if self.router is not None:
            self.router.to(device)
        return self


def new_networks(
    config: TrainConfig, channels: int, classes: int, experts: int
) -> tuple[nn.Module, Router | TokenRouter | None]:
    """Untrained networks of a model."""
    dims = config.data.spatial_dims
    if config.mode == "joint":
        return build_network(config.network, dims, channels, classes + experts + 1), None
    if config.segmentor.kind == "monai":
        segmentor = build_network(config.network, dims, channels, classes)
    else:
        segmentor = adapter_of(config.segmentor.kind).make_network(config.segmentor)
    if config.routes_by_tokens:
        return segmentor, TokenRouter(experts, WIDTH)
    return segmentor, Router(config.router.network, dims, channels, classes, experts)


def segmentor_of(config: TrainConfig, network: nn.Module, table: LabelTable, channels: int, experts: int) -> Segmentor:
    """Segmentor that runs a network; that of a joint mode has its agents' channels too.

    Raises
    ------
    InputError
        It knows other labels than the table's.
    """
    if config.segmentor.kind == "monai":
        outputs = len(table.labels) + 1 + (experts + 1 if config.mode == "joint" else 0)
        return MonaiSegmentor(network, config.data, channels, outputs)
    return adapter_of(config.segmentor.kind).segmentor_over(network, config.segmentor, table, config.data.spacing_mm)


def save_model(model: DeferralModel, folder: Path, card: str) -> None:
    """Write a model into a folder that exists."""
    tensors: dict[str, Tensor] = {}
    for part, module in (("segmentor", model.segmentor.network), ("router", model.router)):
        if module is not None:
            tensors |= {f"{part}.{k}": v for k, v in weights_of(module).items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(model.spec.model_dump_json(indent=1), encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Copy of all weights; those that two layers share are there twice, since safetensors knows no sharing."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}


def read_spec(folder: Path) -> ModelSpec:
    """Read what a model folder says of itself; no weights.

    Raises
    ------
    InputError
        It is no model folder, or one of a newer version.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{folder}: is no model folder ({CONFIG} is missing or damaged); give one made by train"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{folder}: was written in another format than {FORMAT}; use the version that made it")
    try:
        return ModelSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; copy the model again") from None


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
    network, router = new_networks(spec.config, spec.channels, spec.classes, len(spec.experts))
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        raise InputError(f"{path}: is missing or no safetensors file; only safetensors weights are read") from None
    for part, module in (("segmentor", network), ("router", router)):
        if module is None:
            continue
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(
                f"{path}: the weights are not of this {part}: {str(error).splitlines()[-1].strip()}"
            ) from error
        module.eval()
    segmentor = segmentor_of(spec.config, network, spec.table, spec.channels, len(spec.experts))
    return DeferralModel(spec, segmentor, None if router is None else router.over(segmentor))
