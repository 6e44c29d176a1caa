"""What a trained nnU-Net's files say of it, as far as it is used. Whatever they call by name is nnU-Net's own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, PositiveFloat, model_validator

NETWORK = r"^dynamic_network_architectures\.architectures\.\w+\.(PlainConvUNet|ResidualEncoderUNet|ResidualUNet)$"
LAYER = re.compile(r"torch\.nn\.(modules\.[a-z]+\.)?[A-Z]\w*")

Normalization = Literal[
    "CTNormalization",
    "NoNormalization",
    "ZScoreNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
]
Resampling = Literal[
    "resample_data_or_seg_to_shape", "resample_torch_fornnunet", "resample_torch_simple", "no_resampling_hack"
]
Options = dict[str, bool | int | float | str | None]


def _of_axes(order: list[int]) -> list[int]:
    if sorted(order) != [0, 1, 2]:
        raise ValueError("must hold each of 0, 1, 2 once")
    return order


Axes = Annotated[list[int], AfterValidator(_of_axes)]


class NnunetSection(BaseModel):
    """Part of a file of nnU-Net: what is not used of it is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Architecture(NnunetSection):
    """Network by name, a class of nnU-Net's library, made of layers of torch."""

    network_class_name: str = Field(pattern=NETWORK)
    arch_kwargs: dict[str, Any]
    layers: list[str] = Field(validation_alias=AliasChoices("_kw_requires_import", "layers"))

    @model_validator(mode="after")
    def _layers_of_torch(self) -> Self:
        for name in self.layers:
            value = self.arch_kwargs.get(name)
            if value is not None and not (isinstance(value, str) and LAYER.fullmatch(value)):
                raise ValueError(f"{name} is {value!r}, no layer of torch.nn")
        return self


class Configuration(NnunetSection):
    """One way that the plans know to train: voxels (after the transpose), patch, how images are prepared."""

    spacing: list[PositiveFloat] = Field(min_length=2, max_length=3)
    patch_size: list[int] = Field(min_length=2, max_length=3)
    preprocessor_name: Literal["DefaultPreprocessor"]
    normalization_schemes: list[Normalization]
    use_mask_for_norm: list[bool]
    resampling_fn_data: Resampling
    resampling_fn_data_kwargs: Options
    resampling_fn_seg: Resampling
    resampling_fn_seg_kwargs: Options
    resampling_fn_probabilities: Resampling
    resampling_fn_probabilities_kwargs: Options
    architecture: Architecture
    previous_stage: str | None = None

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.previous_stage is not None:
            raise ValueError("the second stage of a cascade needs the first one's masks; train 3d_fullres, or 2d")
        if len(self.patch_size) != len(self.spacing) or min(self.patch_size) < 1:
            raise ValueError(f"patch_size {self.patch_size} does not fit spacing {self.spacing}")
        return self


class Plans(NnunetSection):
    """What applies to all configurations, and the one that was trained.

    nnU-Net's other readers turn images to axes of their own, or hold pictures rather than volumes.
    """

    image_reader_writer: Literal["SimpleITKIO", "NibabelIO"]
    transpose_forward: Axes
    transpose_backward: Axes
    label_manager: Literal["LabelManager"] = "LabelManager"
    foreground_intensity_properties_per_channel: dict[str, dict[str, float]] = Field(
        validation_alias=AliasChoices(
            "foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"
        )
    )
    configurations: dict[str, Configuration] = Field(min_length=1, max_length=1)

    @property
    def configuration(self) -> Configuration:
        """The one that was trained."""
        return next(iter(self.configurations.values()))


class Dataset(NnunetSection):
    """Channels and labels of `dataset.json`."""

    channel_names: dict[str, str] = Field(min_length=1, validation_alias=AliasChoices("channel_names", "modality"))
    labels: dict[str, int | list[int]]

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        if any(isinstance(value, list) for value in self.labels.values()):
            raise ValueError("trained on regions, which overlap; train it on labels")
        values = sorted(v for name, v in self.labels.items() if name != "ignore" and isinstance(v, int))
        if self.labels.get("background") != 0 or values != list(range(len(values))) or len(values) < 2:
            raise ValueError("must number background 0 and the others from 1 without gaps")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Labels in the order of the network's channels, after the background."""
        numbers = {name: v for name, v in self.labels.items() if name not in ("background", "ignore")}
        return tuple(sorted(numbers, key=lambda name: str(numbers[name]).zfill(6)))
