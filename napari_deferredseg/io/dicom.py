"""Find and read DICOM series: pydicom for the tags, SimpleITK (GDCM) for the pixels.

Names and numbers of patients are never read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.io.dicom_stack import check_alike, stack
from napari_deferredseg.io.dicom_tags import Slice, read_tags
from napari_deferredseg.io.formats import quiet_itk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.core.volume import Array


@dataclass(frozen=True)
class Series:
    """A series of images in a folder.

    Attributes
    ----------
    files : int
        How many images it has.
    size : (rows, columns)
        Of its first image, in pixels.
    """

    uid: str
    number: int | None
    modality: str
    description: str
    files: int
    size: tuple[int, int]

    def __str__(self) -> str:
        number = "no number" if self.number is None else f"number {self.number}"
        modality = self.modality or "unknown modality"
        return f"{number}: {modality} {self.description!r}, {self.files} files, UID {self.uid}"


def list_series(folder: Path) -> list[Series]:
    """List the image series below a folder, by number. Other files, and DICOM objects without an image, are left out.

    Raises
    ------
    InputError
        Not a folder.
    """
    return [_describe(slices) for slices in _series_below(folder)]


def read_series(folder: Path, series: str | None) -> Volume:
    """Read one series of a folder, its slices ordered by their position along the normal.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.
    series : str or None
        UID or number; None takes the only one.

    Returns
    -------
    Volume
        (z, y, x), rescaled by slope and intercept (CT: HU); the z axis runs along row x column.

    Raises
    ------
    InputError
        No series, several and none chosen, or slices that do not make a straight, evenly spaced stack.
    """
    found = _series_below(folder)
    if not found:
        raise InputError(f"{folder}: no DICOM images are in this folder; name an image file, or another folder")
    return _assemble(folder, _choose(folder, found, series))


def read_file(path: Path) -> Volume:
    """Read a single DICOM file with one frame as a volume of one slice.

    Raises
    ------
    InputError
        No DICOM, no image, or several frames or colours.
    """
    found = read_tags(path)
    if found is None:
        raise InputError(f"{path}: is no DICOM file; name an image")
    if not found.is_image:
        raise InputError(f"{path}: is a DICOM object of type {found.modality or 'unknown'}, no image; name an image")
    return _assemble(path, [found])


def _series_below(folder: Path) -> list[list[Slice]]:
    """Slices of each series, by series number."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    groups: dict[str, dict[str, Slice]] = defaultdict(dict)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found = read_tags(path)
        if found is not None and found.is_image and found.series:
            # One image copied twice counts once.
            groups[found.series].setdefault(found.instance or str(path), found)
    every = [list(slices.values()) for slices in groups.values()]
    return sorted(every, key=lambda s: (s[0].number is None, s[0].number or 0, s[0].series))


def _describe(slices: Sequence[Slice]) -> Series:
    s = slices[0]
    return Series(s.series, s.number, s.modality, s.description, len(slices), s.size)


def _choose(folder: Path, found: Sequence[list[Slice]], wanted: str | None) -> list[Slice]:
    known = "; ".join(str(_describe(slices)) for slices in found)
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise InputError(f"{folder}: holds {len(found)} series, choose one with --series UID or number ({known})")
    hits = [slices for slices in found if wanted.strip() in (slices[0].series, str(slices[0].number))]
    if len(hits) > 1:
        raise InputError(f"{folder}: {len(hits)} series have the number {wanted}, choose by UID ({known})")
    if not hits:
        raise InputError(f"{folder}: no series is {wanted!r}, choose one of these by UID or number ({known})")
    return hits[0]


def _assemble(source: Path, slices: Sequence[Slice]) -> Volume:
    check_alike(slices)
    ordered, grid = stack(source, slices)
    planes = [_pixels(s) for s in ordered]
    return Volume(array=np.stack(planes), geometry=grid, source=str(source), modality=slices[0].modality)


def _pixels(s: Slice) -> Array:
    """Rescaled pixels (rows, columns) of one file."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(s.path))
    try:
        with quiet_itk():
            array: Array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as e:
        raise InputError(f"{s.path}: its pixels cannot be read; it is damaged or of an unknown compression") from e
    if array.size != s.size[0] * s.size[1]:
        raise InputError(f"{s.path}: its pixels {array.shape} do not fit its header {s.size}; the file is damaged")
    return array.reshape(s.size)
