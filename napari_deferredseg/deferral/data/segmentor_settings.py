"""What a run is told about its segmentor, as part of a TOML file. No torch is loaded to read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from napari_deferredseg.deferral.data.nnunet_plans import Dataset, Plans

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Section(BaseModel):
    """Part of a configuration: unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(Section):
    """A network of `monai.networks.nets` by name. Its channels in and out follow from the data."""

    name: str = "UNet"
    arguments: dict[str, Any] = Field(
        default_factory=lambda: {"channels": [16, 32, 64, 64], "strides": [2, 2, 2], "num_res_units": 1}
    )


class View(Section):
    """How an image reaches a network."""

    spatial_dims: Literal[2, 3] = 3
    patch: tuple[int, ...] = (48, 96, 96)
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="voxels (z, y, x) that images are resampled to; as they are when missing"
    )
    intensity: Literal["z-score", "window"] = "z-score"
    window: tuple[float, float] = (-160.0, 240.0)

    @model_validator(mode="after")
    def _patch_fits(self) -> Self:
        if len(self.patch) != self.spatial_dims or min(self.patch, default=0) < 8:
            raise ValueError(f"patch {list(self.patch)} must give {self.spatial_dims} sizes of 8 voxels or more")
        if self.window[0] >= self.window[1]:
            raise ValueError(f"window {list(self.window)} must rise")
        return self


class SegmentorSection(Section):
    """Settings of a segmentor. `FILES` names those that are paths: a model folder does without them.

    One that is `PROMPTED` must be told by boxes where to look; one that is not `TRAINED_HERE` stays as it is.
    """

    FILES: ClassVar[tuple[str, ...]] = ()
    PROMPTED: ClassVar[bool] = False
    TRAINED_HERE: ClassVar[bool] = False

    @property
    def described(self) -> str:
        """What it is, in a few words, for a model card."""
        return "network of MONAI"

    def located(self, folder: Path) -> Self:
        """Copy whose paths are no longer relative to a folder."""
        paths = {name: getattr(self, name) for name in self.FILES}
        return self.model_copy(update={k: (folder / v).resolve() for k, v in paths.items() if v is not None})

    def without_files(self) -> Self:
        """Copy that does not tell where a computer keeps files."""
        return self.model_copy(update=dict.fromkeys(self.FILES))


class TrainedSegmentor(SegmentorSection):
    """A network of MONAI that is trained here: `network` and `fit` say how."""

    TRAINED_HERE: ClassVar = True

    kind: Literal["monai"] = "monai"


def _require_labels_fit(labels: Sequence[str], output: str | None) -> None:
    if len({name.casefold() for name in labels}) < len(labels):
        raise ValueError("labels has a name twice")
    if output == "foreground-logit" and len(labels) > 1:
        raise ValueError("labels names several, one foreground-logit has one")


class ModuleConfig(SegmentorSection):
    """Any `nn.Module` that was trained elsewhere and stays as it is; only a router is trained on it.

    `factory` makes it when called with `arguments`. What it returns is a map of the patch, or the first of several:
    "logits" of background and `labels`, or one "foreground-logit".
    """

    FILES: ClassVar = ("checkpoint",)

    kind: Literal["module"]
    factory: str = Field(pattern=FACTORY, description="package.module:name")
    arguments: dict[str, Any] = Field(default_factory=dict)
    checkpoint: Path | None = Field(default=None, description="weights: safetensors, or a state dict without code")
    labels: tuple[str, ...] = Field(min_length=1, description="names of its classes after the background")
    channels: int = Field(default=1, ge=1)
    output: Literal["logits", "foreground-logit"] = "logits"
    view: View = View()

    @property
    def described(self) -> str:
        """Name of what makes it."""
        return self.factory

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        _require_labels_fit(self.labels, self.output)
        return self


class BundleConfig(SegmentorSection):
    """A MONAI bundle, a folder or a zip. What is left out here is read from it.

    `transforms` and `patch` are in the bundle's own axes, x, y, z. Expressions in the bundle's configuration are never
    run; where one stands for something that is left out here, it must be written here. `ignore_expressions` says
    nothing any more and is read for the sake of earlier files.
    """

    FILES: ClassVar = ("bundle",)

    kind: Literal["bundle"]
    bundle: Path | None = None
    ignore_expressions: bool = False
    network: NetworkConfig | None = None
    transforms: tuple[dict[str, Any], ...] | None = Field(default=None, description="name and arguments of each")
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    overlap: float | None = Field(default=None, ge=0, lt=1, description="of windows; a quarter where nobody says")
    labels: tuple[str, ...] | None = Field(default=None, description="names of its classes after the background")
    channels: int | None = Field(default=None, ge=1)
    output: Literal["logits", "foreground-logit"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _require_labels_fit(self.labels or (), self.output)
        if self.network is not None and self.network.arguments.get("spatial_dims", 3) != 3:
            raise ValueError(f"network {self.network.name} sees slices; bundles for volumes can be used")
        return self

    @property
    def described(self) -> str:
        """Name of its network."""
        return f"MONAI bundle ({self.network.name if self.network else 'network not said'})"


class SamConfig(SegmentorSection):
    """Segment Anything or MedSAM, asked by boxes: one box a structure and slice.

    The classes are those of the cases. `propagate` is how many slices beyond a box its structure is followed.
    """

    FILES: ClassVar = ("checkpoint",)
    PROMPTED: ClassVar = True

    kind: Literal["sam"]
    size: Literal["vit_b", "vit_l", "vit_h"] = "vit_b"
    checkpoint: Path | None = Field(default=None, description="weights in the published format")
    input: Literal["sam", "medsam"] = "sam"
    window: tuple[float, float] | None = Field(default=None, description="the 0.5 to 99.5 percentiles when missing")
    path: Literal["fast", "plain"] = "fast"
    propagate: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _window_rises(self) -> Self:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window {list(self.window)} must rise")
        return self

    @property
    def described(self) -> str:
        """Its size and family."""
        return f"{'MedSAM' if self.input == 'medsam' else 'Segment Anything'} ({self.size}, asked by boxes)"


class NnunetConfig(SegmentorSection):
    """A trained nnU-Net v2: the folder `nnUNet_results/DatasetNNN_Name/Trainer__Plans__configuration`.

    Everything from `plans` on is read from its files when training starts, and kept with the model.
    """

    FILES: ClassVar = ("folder",)

    kind: Literal["nnunet"]
    folder: Path | None = Field(default=None, description="holds plans.json, dataset.json and fold_N")
    folds: tuple[int | Literal["all"], ...] = Field(default=(), description="those that are there when empty")
    checkpoint: str = "checkpoint_final.pth"
    mirror: bool = Field(default=True, description="run it on mirrored images too: where they disagree it doubts")
    plans: Plans | None = None
    dataset: Dataset | None = None
    mirror_axes: tuple[Literal[0, 1, 2], ...] = Field(default=(), description="axes of the transposed image")

    @property
    def described(self) -> str:
        """Its folds."""
        return f"nnU-Net (folds {', '.join(map(str, self.folds))})"

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if len(set(self.folds)) < len(self.folds):
            raise ValueError(f"folds {list(self.folds)} has one twice")
        if Path(self.checkpoint).name != self.checkpoint:
            raise ValueError(f"checkpoint {self.checkpoint!r} must be the name of a file in the folders of the folds")
        return self


KINDS: dict[str, type[SegmentorSection]] = {
    "monai": TrainedSegmentor,
    "module": ModuleConfig,
    "bundle": BundleConfig,
    "sam": SamConfig,
    "nnunet": NnunetConfig,
}
