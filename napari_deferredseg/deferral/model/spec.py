"""What a model folder says of itself. No torch is loaded to read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.deferral.data.model_shape import ModelShape
from napari_deferredseg.deferral.data.train_settings import TrainConfig
from napari_deferredseg.deferral.model.policy import Policy
from napari_deferredseg.deferral.model.scaling import Scaling, Temperature

if TYPE_CHECKING:
    from pathlib import Path

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

    @property
    def shape(self) -> ModelShape:
        """What its networks follow from."""
        return ModelShape(self.config, self.table, self.channels, len(self.experts))


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
