"""Cases made ready to learn from, on disk: what is in memory does not grow with their number."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from napari_deferredseg.core.scan import Scan
from napari_deferredseg.deferral.data.images import read_image
from napari_deferredseg.masks.prompts import boxes_of

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import DataclassInstance
    from numpy.typing import NDArray

    from napari_deferredseg.core.datalist import Split
    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array, LabelTable

D = TypeVar("D", bound=np.generic)
K = TypeVar("K", bound="DataclassInstance")


@dataclass(frozen=True)
class ArrayFile(Generic[D]):
    """An array of one dtype as a .npy file."""

    path: Path

    def load(self) -> NDArray[D]:
        """Return the array, mapped from disk."""
        array: NDArray[D] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array

    def exists(self) -> bool:
        """Whether it is kept."""
        return self.path.exists()

    def save(self, array: NDArray[D]) -> None:
        """Keep the array, whole or not at all."""
        unfinished = self.path.with_name(f"{self.path.stem}.{os.getpid()}.part.npy")
        np.save(unfinished, array, allow_pickle=False)
        unfinished.replace(self.path)

    def remove(self) -> None:
        """Keep it no longer."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class CaseArrays:
    """What preparing leaves of a case.

    Attributes
    ----------
    image : (c, z, y, x) float32
        Normalised.
    reference : (z, y, x) uint8
        Classes.
    known : (z, y, x) bool
        Where there is a reference.
    experts : (K, z, y, x) uint8
        Classes.
    valid, right : (K, z, y, x) bool
        Where expert j answers, and where rightly.
    prompt : (z, y, x)
        Label values on the image's own grid; not every case has one.
    """

    image: ArrayFile[np.float32]
    reference: ArrayFile[np.uint8]
    known: ArrayFile[np.bool_]
    experts: ArrayFile[np.uint8]
    valid: ArrayFile[np.bool_]
    right: ArrayFile[np.bool_]
    prompt: ArrayFile[np.integer[Any]]


@dataclass(frozen=True)
class SegmentorOutput:
    """What a segmentor says of a case: (C, z, y, x), a joint network's agents after its classes.

    Attributes
    ----------
    logits : float32, or float16 of a network that is trained here
    scaled : float16
        After temperature scaling.
    """

    logits: ArrayFile[np.floating[Any]]
    scaled: ArrayFile[np.float16]


@dataclass(frozen=True)
class PreparedCase:
    """One case in a folder. Classes are counted 0 (background), 1, 2 ... in the order of the table."""

    folder: Path
    key: str
    patient: str
    split: Split
    geometry: Geometry
    groups: dict[str, str]
    files: tuple[Path, ...]

    @property
    def arrays(self) -> CaseArrays:
        """What preparing left."""
        return arrays_in(self.folder, CaseArrays)

    @property
    def output(self) -> SegmentorOutput:
        """What a segmentor said."""
        return arrays_in(self.folder, SegmentorOutput)

    def image(self) -> Array:
        """Return the image (c, z, y, x) as networks get it, mapped from disk."""
        return self.arrays.image.load()

    def scan(self) -> Scan:
        """Read the image as it is stored, on its own grid, and the boxes of its prompt."""
        volume, prompt = read_image(self.files), self.arrays.prompt
        return Scan(volume, boxes_of(np.array(prompt.load())) if prompt.exists() else None)


@dataclass(frozen=True)
class Prepared:
    """All cases, who drew on them, and what the classes are called."""

    cases: tuple[PreparedCase, ...]
    experts: tuple[str, ...]
    table: LabelTable
    channels: int
    digest: str
    """Of all voxels that were read: names the data in a model card."""

    def split(self, name: Split) -> list[PreparedCase]:
        """Cases of one part."""
        return [case for case in self.cases if case.split == name]


def arrays_in(folder: Path, kind: type[K], prefix: str = "") -> K:
    """Arrays of a folder as a dataclass of `ArrayFile`: each lies in a file called by its member."""
    return kind(**{f.name: ArrayFile(folder / f"{prefix}{f.name}.npy") for f in fields(kind)})
