"""What a training run is told, as a TOML file or as defaults. No torch is loaded to read it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from napari_deferredseg.core.budget import FIXED_SHARES, ShareUnit
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.segmentor_settings import (
    KINDS,
    BundleConfig,
    ModuleConfig,
    NetworkConfig,
    NnunetConfig,
    SamConfig,
    Section,
    TrainedSegmentor,
    View,
)

if TYPE_CHECKING:
    from pathlib import Path

RouterLoss = Literal["excess-utility", "collaboration", "picce", "one-versus-all", "deferredseg"]
JointLoss = Literal["script-as-written", "dense-softmax", "joint-one-versus-all"]


class FitConfig(Section):
    """How one network is fitted: AdamW with a cosine schedule, the best weights by validation loss are kept."""

    steps: int = Field(default=1200, ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    validate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=10, ge=1, description="validations without a better one before it stops")


class DataConfig(View):
    """How voxels reach the networks that are trained."""

    foreground_share: float = Field(default=0.5, ge=0, le=1, description="share of patches centred on a labelled voxel")
    flip_axes: tuple[Literal[0, 1, 2], ...] = Field(default=(), description="axes (z 0, y 1, x 2) mirrored at random")
    consensus: Literal["majority", "staple", "leave-one-out"] = "majority"
    workers: int = Field(default=0, ge=0)


class LossWeights(Section):
    """Parts of the router's loss beside the chosen one."""

    one_versus_all: float = Field(default=0.2, ge=0)
    aggregated: float = Field(default=0.4, ge=0)
    coherence: float = Field(default=0.0, ge=0)
    balance: float = Field(default=0.0, ge=0)


class RouterConfig(Section):
    """The router: its network, its loss, how it is fitted.

    `kind` "tokens" is for a segmentor of kind sam, and its default: tokens of their own in a second pass of its
    decoder in place of `network`.
    """

    kind: Literal["network", "tokens"] | None = None
    network: NetworkConfig = NetworkConfig()
    loss: RouterLoss = "excess-utility"
    weights: LossWeights = LossWeights()
    fit: FitConfig = FitConfig(steps=1000)


class PolicyConfig(Section):
    """What is chosen on validation data: budgets get a threshold each."""

    budgets: tuple[float, ...] = FIXED_SHARES
    unit: ShareUnit = "predicted-foreground"
    smoothing_mm: float = Field(default=1.0, ge=0)
    share_ratio: float = Field(default=1.1, ge=1, description="largest over smallest share of an expert when balanced")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not self.budgets or not all(0 < b <= 1 for b in self.budgets):
            raise ValueError(f"budgets {list(self.budgets)} must be shares over 0 and up to 1")
        return self


class TrainConfig(Section):
    """A whole training run.

    `mode` two-stage fits the segmentor first, then the router on predictions for images that the segmentor has not
    seen (`folds` of cross-fitting). A segmentor that was trained elsewhere is left as it is. A joint loss fits one
    network for both, for comparison.
    """

    licence: str = Field(default="", description="of the weights and of the data, for the model's card")
    mode: Literal["two-stage", "joint"] = "two-stage"
    joint_loss: JointLoss = "joint-one-versus-all"
    folds: int = Field(default=3, ge=2, le=20)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    data: DataConfig = DataConfig()
    segmentor: TrainedSegmentor | ModuleConfig | BundleConfig | NnunetConfig | SamConfig = Field(
        default=TrainedSegmentor(), discriminator="kind"
    )
    network: NetworkConfig = NetworkConfig()
    fit: FitConfig = FitConfig()
    router: RouterConfig = RouterConfig()
    policy: PolicyConfig = PolicyConfig()

    @model_validator(mode="after")
    def _modes_fit(self) -> Self:
        if self.mode == "joint" and not self.segmentor.TRAINED_HERE:
            raise ValueError(f"mode joint trains a network of its own; a segmentor of kind {self.segmentor.kind} stays")
        if self.router.kind == "tokens" and self.segmentor.kind != "sam":
            raise ValueError(f"router.kind tokens goes with a segmentor of kind sam, not {self.segmentor.kind}")
        return self

    @model_validator(mode="after")
    def _tokens_see_voxels(self) -> Self:
        if self.routes_by_tokens and self.data.spacing_mm is not None:
            raise ValueError("router.kind tokens sees the image's own voxels: leave data.spacing_mm out")
        return self

    @property
    def routes_by_tokens(self) -> bool:
        """Whether the router is tokens in the segmentor's decoder."""
        return self.segmentor.kind == "sam" and self.router.kind != "network"

    def without_paths(self) -> TrainConfig:
        """Copy for a model folder, which has its weights itself and shall not tell where a computer keeps files."""
        return self.model_copy(update={"segmentor": self.segmentor.without_files()})


def read_config(path: Path | None) -> TrainConfig:
    """Read a TOML file, or take the defaults.

    Raises
    ------
    InputError
        No such file, no TOML, or a field that cannot be used; the line names the field and what it may be.
    """
    if path is None:
        return TrainConfig()
    try:
        return _from_here(TrainConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))), path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML: {error}") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_field_and_values(error)}") from None


def _from_here(config: TrainConfig, folder: Path) -> TrainConfig:
    """Configuration whose paths are no longer relative to its file."""
    return config.model_copy(update={"segmentor": config.segmentor.located(folder)})


def _field_and_values(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(x) for x in first["loc"] if x not in KINDS) or "the file"
    if first["type"].startswith("union_tag"):
        return f"{where}.kind is missing or unknown: write one of {', '.join(KINDS)}"
    if first["type"] == "missing":
        return f"{where} is missing: it has no default"
    if first["type"] == "extra_forbidden":
        return f"{where} is no setting; settings there: {', '.join(_settings(first['loc'][:-1]))}"
    return f"{where} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _settings(place: tuple[int | str, ...]) -> list[str]:
    section: Any = TrainConfig
    for name in place:
        if name != "segmentor":  # its kind comes next
            section = KINDS.get(str(name)) or section.model_fields[str(name)].annotation
    return sorted(section.model_fields)
