"""The doors of DICOM: list the series of a folder, read one of them, or a single file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError, legible
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.io.dicom.coding.decoder import Decoder
from napari_deferredseg.io.dicom.coding.values import value_type
from napari_deferredseg.io.dicom.copies import count_once, without_copies, without_equal_files
from napari_deferredseg.io.dicom.directory import KIND, check_listed
from napari_deferredseg.io.dicom.folder import look_into, read_slice
from napari_deferredseg.io.dicom.frames import expanded, frame_values
from napari_deferredseg.io.dicom.kinds import refuse_what_is_unlike_a_slice
from napari_deferredseg.io.dicom.pixels import read_values
from napari_deferredseg.io.dicom.stack import check_alike, stack
from napari_deferredseg.io.dicom.whole import check_whole
from napari_deferredseg.io.formats import is_dicom
from napari_deferredseg.io.headers.limits import require_fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.dicom.folder import Contents
    from napari_deferredseg.io.dicom.tags import Slice

LISTED = 8


@dataclass(frozen=True)
class Series:
    """A series of images in a folder.

    Attributes
    ----------
    uid : str
        SeriesInstanceUID; a name of ours, "no-uid-...", where that is empty.
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
    """List the image series below a folder, by number. What cannot be read is left out here: `read_series` names it.

    Raises
    ------
    InputError
        Not a folder.
    """
    return [_describe(uid, slices) for uid, slices in _by_number(look_into(folder).series)]


def read_series(folder: Path, series: str | None) -> Volume:
    """Read one series of a folder, its slices ordered by their position along the normal.

    Every file is a slice of a series, a copy of one (same place and values), known to be no image, or refused by name.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.
    series : str or None
        UID or number; None takes the only one.

    Returns
    -------
    Volume
        (z, y, x), slope x stored number + intercept (CT: HU), whether shown inverted or not; the z axis runs along
        row x column. Its notes say what the files leave open.

    Raises
    ------
    InputError
        No series, several and none chosen, a file that cannot be read and may belong to it, or slices that do not
        make a whole, straight, evenly spaced stack.
    """
    contents = look_into(folder)
    if not contents.series:
        raise InputError(_why_none(folder, contents))
    uid, slices = _choose(folder, _by_number(contents.series), series)
    contents.require_accounted(folder, uid)
    directories = [path for path, kind in contents.others if kind == KIND]
    with Decoder() as decoder:
        ordered, grid = _stacked(folder, slices, decoder)
        notes = check_whole(folder, ordered, grid.spacing[2], check_listed(directories, uid, slices))
        return replace(_assemble(folder, ordered, grid, notes, decoder), series=uid)


def read_file(path: Path) -> Volume:
    """Read a single DICOM file: one slice, or the frames of an enhanced image that make one volume.

    Raises
    ------
    InputError
        No DICOM, no image, or not the grey values of one volume.
    """
    try:
        if not is_dicom(path):
            raise InputError(f"{path}: is no DICOM file; name an image")
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror or e})") from e
    found = read_slice(path)
    if isinstance(found, str):
        raise InputError(f"{path}: is a DICOM object of another kind ({found}), no image; name an image")
    with Decoder() as decoder:
        return _assemble(path, *_stacked(path, [found], decoder), (), decoder)


def _by_number(groups: Mapping[str, list[Slice]]) -> list[tuple[str, list[Slice]]]:
    return sorted(groups.items(), key=lambda g: (g[1][0].number is None, g[1][0].number or 0, g[0]))


def _describe(uid: str, slices: Sequence[Slice]) -> Series:
    s = slices[0]
    return Series(uid, s.number, s.modality, s.description, count_once(slices), s.size)


def _why_none(folder: Path, contents: Contents) -> str:
    if contents.faults:
        more = f" (and {len(contents.faults) - 1} more such files)" if len(contents.faults) > 1 else ""
        return f"{contents.faults[0].line}{more}"
    kinds = "".join(f"; {path.name} is a {kind}" for path, kind in contents.others[:1])
    return f"{folder}: no DICOM images are in this folder{kinds}; name an image file, or another folder"


def _choose(folder: Path, found: Sequence[tuple[str, list[Slice]]], wanted: str | None) -> tuple[str, list[Slice]]:
    lines = [f"{_describe(uid, slices)}, first file {slices[0].path.name}" for uid, slices in found[:LISTED]]
    known = "; ".join(lines) + (f"; and {len(found) - LISTED} more" if len(found) > LISTED else "")
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise InputError(f"{folder}: holds {len(found)} series, choose one with --series UID or number ({known})")
    hits = [(uid, slices) for uid, slices in found if wanted.strip() in (uid, str(slices[0].number))]
    if len(hits) > 1:
        raise InputError(f"{folder}: {len(hits)} series have the number {wanted}, choose by UID ({known})")
    if not hits:
        raise InputError(f"{folder}: no series is {wanted!r}, choose one of these by UID or number ({known})")
    return hits[0]


def _stacked(source: Path, slices: Sequence[Slice], decoder: Decoder) -> tuple[list[Slice], Geometry]:
    for s in slices:
        refuse_what_is_unlike_a_slice(s)
    files = without_equal_files(slices)
    frames = expanded(files)
    for s in frames if len(frames) != len(files) else ():
        refuse_what_is_unlike_a_slice(s)
    check_alike(frames)
    require_fits(source, (len(frames), *frames[0].size), _type(frames).itemsize)
    return stack(source, without_copies(frames, decoder))


def _assemble(source: Path, ordered: Sequence[Slice], grid: Geometry, notes: Iterable[str], decoder: Decoder) -> Volume:
    array: Array = np.empty(grid.shape, _type(ordered))
    framed = any(s.frame is not None for s in ordered)
    planes = frame_values(ordered, decoder) if framed else (read_values(s, decoder) for s in ordered)
    for plane, found in zip(array, planes, strict=True):
        plane[:] = found
    inverted = next((s for s in ordered if s.stored.photometric == "MONOCHROME1"), None)
    if inverted is not None:
        notes = (*notes, f"{inverted.name}: is shown inverted (MONOCHROME1); values are kept as stored")
    return Volume(
        array=array, geometry=grid, source=str(source), modality=ordered[0].modality, notes=tuple(map(legible, notes))
    )


def _type(slices: Sequence[Slice]) -> np.dtype[Any]:
    """Type that holds the values of all slices."""
    return np.result_type(*{value_type(s.stored) for s in slices})
