"""A volume as read from disk, the labels drawn on it, and the case they belong to."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry

Array = NDArray[Any]
RGB = tuple[int, int, int]


class Label(BaseModel):
    """One class of a label map: its value in the array, its name, its colour (0-255)."""

    model_config = ConfigDict(frozen=True)

    value: int
    name: str
    color: RGB


def default_label(value: int, name: str | None = None) -> Label:
    """Label with a stable colour of its own: neighbouring values get hues a golden angle apart."""
    hue = (0.02 + value * 0.618033988749895) % 1.0
    r, g, b = colorsys.hsv_to_rgb(hue, 0.75 if value % 2 else 0.55, 0.95)
    return Label(value=value, name=name or f"label {value}", color=(round(r * 255), round(g * 255), round(b * 255)))


class LabelTable(BaseModel):
    """Names and colours of label values. Value 0 is background and never listed."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[Label, ...] = ()

    def __contains__(self, value: int) -> bool:
        return any(x.value == value for x in self.labels)

    def get(self, value: int) -> Label:
        """Label of a value; a generated one where the table has none."""
        return next((x for x in self.labels if x.value == value), default_label(value))

    def name(self, value: int) -> str:
        """Name of a value, "background" for 0."""
        return "background" if value == 0 else self.get(value).name

    def is_named(self, value: int) -> bool:
        """Whether somebody gave this value its name, other than the generated one."""
        return value in self and self.name(value) != default_label(value).name

    def completed(self, values: Iterable[int]) -> LabelTable:
        """Same table with a generated entry for every value it lacks, in order of value."""
        every = {x.value: x for x in self.labels} | {int(v): self.get(int(v)) for v in values if v != 0}
        return LabelTable(labels=tuple(every[v] for v in sorted(every)))

    def find(self, name: str) -> Label:
        """Label with this name (case does not matter) or value.

        Raises
        ------
        InputError
            No label has it.
        """
        for x in self.labels:
            if x.name.casefold() == name.casefold() or str(x.value) == name:
                return x
        known = ", ".join(x.name for x in self.labels) or "none"
        raise InputError(f"no label is called {name!r}; known labels: {known}")


@dataclass(frozen=True)
class Volume:
    """Image on one grid.

    Attributes
    ----------
    array : (z, y, x), or (c, z, y, x) with several channels
        Voxels as stored, any real dtype.
    geometry : Geometry
        Grid of one channel.
    source : str
        Where it was read from, as the user named it.
    channels : tuple of str
        Names of the channels; empty for a single one.
    modality : str
        DICOM code such as CT or MR where known, else "".
    series : str
        UID of the DICOM series that was read from a folder, else "": another may come into the folder later.
    notes : tuple of str
        Sentences: what was decided in reading that the file left open, for whoever uses the result.
    """

    array: Array
    geometry: Geometry
    source: str
    channels: tuple[str, ...] = ()
    modality: str = ""
    series: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape[-3:] != self.geometry.shape or self.array.ndim not in (3, 4):
            raise ValueError(f"array {self.array.shape} does not fit the grid {self.geometry.shape}")
        if (self.array.ndim == 4) != bool(self.channels):
            raise ValueError("channel names go with a (c, z, y, x) array, and only with one")

    def channel(self, number: int) -> Array:
        """Return one channel (z, y, x), a view."""
        return self.array if self.array.ndim == 3 else self.array[number]


@dataclass(frozen=True)
class LabelMap:
    """Integer labels (z, y, x) on a grid, with names and colours; `notes` as those of a volume."""

    array: Array
    geometry: Geometry
    source: str
    table: LabelTable = field(default_factory=LabelTable)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probabilities:
    """Class probabilities (c, z, y, x), float32, summing to one over c; class 0 is background. `notes` as above."""

    array: Array
    geometry: Geometry
    source: str
    notes: tuple[str, ...] = ()


def voxel_hash(array: Array, key: bytes) -> str:
    """Keyed hash of dtype, shape and voxels: equal only for the same image, worth nothing without the key.

    Parameters
    ----------
    array : any shape and dtype
        Hashed in C order.
    key : bytes
        At most 64 bytes; one a project.
    """
    h = hashlib.blake2b(key=key, digest_size=16)
    h.update(f"{array.dtype.str}{array.shape}".encode())
    for plane in array if array.ndim > 2 else (array,):
        h.update(np.ascontiguousarray(plane).data)
    return h.hexdigest()


def labels_present(array: Array) -> tuple[int, ...]:
    """Non-zero values of an array of whole numbers, ascending.

    Quick and in little memory for label maps: only where a value follows another one is it looked at.
    """
    found: set[int] = set()
    for plane in array if array.ndim > 2 else (array,):
        flat = plane.ravel()
        begins = flat[1:][flat[1:] != flat[:-1]]
        found.update(np.unique(begins).tolist(), flat[:1].tolist())
    return tuple(sorted(int(v) for v in found if v))


def narrowed(labels: Array) -> Array:
    """Label map as uint8 where that holds its values: half the memory of uint16 in all that follows."""
    return labels.astype(np.uint8) if labels.dtype != np.uint8 and labels.max(initial=0) <= 255 else labels


def table_from_names(names: Mapping[int, str]) -> LabelTable:
    """Table with these names and generated colours."""
    return LabelTable(labels=tuple(default_label(v, names[v]) for v in sorted(names) if v))
