"""Cases to learn from, as a MONAI datalist names them: images, what experts drew on them, who the patient is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napari_deferredseg.core.names import LabelName, Name
from napari_deferredseg.core.volume import LabelTable, table_from_names

Split = Literal["training", "validation", "test"]
LabelValue = Annotated[int, Field(ge=0, le=65535)]
SPLITS: tuple[Split, ...] = ("training", "validation", "test")


class DataCase(BaseModel):
    """One image with what is known of it. Further text fields, such as `site` or `sex`, are its subgroups.

    Attributes
    ----------
    image : tuple of Path
        One file, or several on one grid: the channels.
    label : Path, optional
        The reference mask; without it the experts' consensus is the reference.
    experts : dict of name to Path
        Each reader's mask; who is not named has not read this case.
    support : dict of name to Path
        Masks of the voxels a reader answers for; who is not named answers for all of the case.
    prompt : Path, optional
        Mask of which each part in a slice gives a box, for segmentors that must be told where to look.
    patient : str, optional
        Key that a split must not tear apart; the image's path when missing.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    image: tuple[Path, ...] = Field(min_length=1)
    label: Path | None = None
    experts: dict[Name, Path] = Field(default_factory=dict)
    support: dict[Name, Path] = Field(default_factory=dict)
    prompt: Path | None = None
    patient: str | None = None

    @field_validator("image", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @model_validator(mode="before")
    @classmethod
    def _one_support_for_all(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("support"), str):
            return {**value, "support": dict.fromkeys(value.get("experts") or {}, value["support"])}
        return value

    @model_validator(mode="after")
    def _known_readers(self) -> Self:
        if self.label is None and not self.experts:
            raise ValueError("has neither a label nor an expert's mask")
        if unknown := sorted(set(self.support) - set(self.experts)):
            raise ValueError(f"support names {', '.join(unknown)}, of whom there is no mask")
        return self

    @property
    def key(self) -> str:
        """Patient key, or the first image's path."""
        return self.patient or str(self.image[0])

    @property
    def groups(self) -> dict[str, str]:
        """Further text fields of the case."""
        return {k: v for k, v in (self.model_extra or {}).items() if isinstance(v, str)}

    def files(self) -> list[Path]:
        """Every file the case names."""
        single = [path for path in (self.label, self.prompt) if path]
        return [*self.image, *single, *self.experts.values(), *self.support.values()]


class Datalist(BaseModel):
    """Cases in three parts. `labels` names label values, as in {"1": "liver"}."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    training: tuple[DataCase, ...] = ()
    validation: tuple[DataCase, ...] = ()
    test: tuple[DataCase, ...] = ()
    labels: dict[LabelValue, LabelName] = Field(default_factory=dict)

    @property
    def table(self) -> LabelTable:
        """Names of the labels."""
        return table_from_names(self.labels)

    def split(self, name: Split) -> tuple[DataCase, ...]:
        """Cases of one part."""
        cases: tuple[DataCase, ...] = getattr(self, name)
        return cases

    def experts(self) -> tuple[str, ...]:
        """Names of all who drew on any case, sorted."""
        return tuple(sorted({name for split in SPLITS for case in self.split(split) for name in case.experts}))
