"""What every export format is given, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.records import Verdict
from napari_deferredseg.masks.overlap import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.records import CaseRecord, Correction, PredictionRecord, Region
    from napari_deferredseg.core.volume import Array, Volume
    from napari_deferredseg.io.nifti.forms import Forms


@dataclass(frozen=True)
class CaseExport:
    """A case to export. Keep no more than one: it holds a mask and every correction of it.

    Attributes
    ----------
    project : str
        Id of the project that the case is from.
    ai : (z, y, x) uint8 or uint16
        The AI's labels, read only.
    corrections : sequence of Correction
        Those that stand.
    regions : mapping of id to Region
        At least the corrected ones.
    region_count : int
        Regions of the case, read or not.
    source : callable
        Reads the image: (z, y, x) or (c, z, y, x). InputError when it is gone or another one.
    forms : callable
        Reads the forms of the image's header, where it is a NIfTI and there.
    """

    project: str
    case: CaseRecord
    prediction: PredictionRecord
    ai: Array
    corrections: Sequence[Correction]
    regions: Mapping[str, Region]
    region_count: int
    source: Callable[[], Volume]
    forms: Callable[[], Forms | None]

    @cached_property
    def corrected(self) -> Array:
        """The AI's labels (z, y, x) with everybody's corrections written in."""
        return compose(self.ai, self.corrections, self.regions)

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """Logins of those who answer for some voxel, sorted."""
        return tuple(sorted({c.reader for c in self.corrections if _answers(c)}))

    def corrected_by(self, reader: str) -> Array:
        """The AI's labels (z, y, x) with one reader's corrections written in."""
        return compose(self.ai, [c for c in self.corrections if c.reader == reader], self.regions)

    def support_of(self, reader: str) -> NDArray[np.bool_]:
        """Voxels (z, y, x) that one reader answers for; a region said to be indeterminate is not answered."""
        return self._union(c for c in self.corrections if c.reader == reader)

    @cached_property
    def reviewed(self) -> NDArray[np.bool_]:
        """Voxels (z, y, x) that some reader answers for."""
        return self._union(self.corrections)

    def _union(self, corrections: Iterable[Correction]) -> NDArray[np.bool_]:
        support = np.zeros(self.ai.shape, np.bool_)
        for c in corrections:
            if _answers(c):
                support[slices(c.box)] |= c.support
        return support


@dataclass(frozen=True)
class Written:
    """An exported case: its files, the mask first. No files: the format's options leave the case out."""

    case: CaseRecord
    files: tuple[Path, ...]
    corrections: int


class Exporter(Protocol):
    """A format with its options."""

    def check(self, project: str, cases: Sequence[CaseRecord], folder: Path) -> None:
        """Raise InputError when something that is no earlier export of this project is in the way."""

    def write(self, cases: Collection[CaseExport], folder: Path, progress: Progress) -> list[Written]:
        """Write into a folder, made where it is missing. Each pass over `cases` loads them one by one.

        Raises
        ------
        InputError
            The cases cannot be written in this format, or not together.
        OSError
            The folder cannot be written. Nothing half done is left in it then.
        """


def _answers(correction: Correction) -> bool:
    return correction.verdict is not Verdict.INDETERMINATE and bool(correction.support.any())
