"""Read volumes, label maps and probabilities from files, and write them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_deferredseg.core.errors import InputError, legible
from napari_deferredseg.core.volume import LabelMap, Probabilities, Volume, labels_present
from napari_deferredseg.io.dicom import read_file, read_series
from napari_deferredseg.io.formats import SUFFIXES, Format, format_of, stem_of
from napari_deferredseg.io.itk import no_memory
from napari_deferredseg.io.labels.tables import table_beside, table_from_segment_keys
from napari_deferredseg.io.labels.values import as_labels
from napari_deferredseg.io.reading import load
from napari_deferredseg.io.storage_order import reordering
from napari_deferredseg.io.writing import write_labels, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deferredseg.io.itk import LoadedImage

__all__ = [
    "as_channels",
    "on_grid_of",
    "read_channels",
    "read_labels",
    "read_probabilities",
    "read_volume",
    "write_labels",
    "write_volume",
]

SUM_TOLERANCE = 1e-2
RANGE_TOLERANCE = 1e-3


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read an image as stored.

    Parameters
    ----------
    path : Path
        NIfTI (of a pair .hdr and .img either), NRRD, MetaImage, a grey PNG (one slice of 1 mm, orientation unknown),
        a DICOM file, or a folder with DICOM files.
    series : str, optional
        UID or number of the series, where a folder holds several.

    Returns
    -------
    Volume
        (z, y, x), or (c, z, y, x) for a file with several components; dtype as stored, DICOM rescaled (CT: HU).

    Raises
    ------
    InputError
        What is wrong with the file, in one line.
    """
    if path.is_dir():
        with _told(path):
            return read_series(path, series)
    if series is not None:
        raise InputError(f"{path}: a series can be chosen in a folder of DICOM files only; leave --series out")
    if _format(path) is Format.DICOM:
        with _told(path):
            return read_file(path)
    loaded = _load(path)
    if loaded.frames:
        raise InputError(
            f"{path}: holds {loaded.array.shape[0]} volumes (a time series?), not one; save the one to read by itself"
        )
    names = (
        tuple(legible(f"{stem_of(path)} {i}") for i in range(loaded.array.shape[0])) if loaded.array.ndim == 4 else ()
    )
    notes = loaded.notes
    if not loaded.finite:
        notes = (*notes, f"{path}: holds voxels that are NaN or infinite; they stay as they are")
    return Volume(array=loaded.array, geometry=loaded.geometry, source=str(path), channels=names, notes=notes)


def read_channels(paths: Sequence[Path]) -> Volume:
    """Read several images of one patient on one grid, such as FLAIR and T1, as the channels of one volume.

    Returns
    -------
    Volume
        (c, z, y, x), one channel a file in the order given, named by the file; a common dtype that holds them all.

    Raises
    ------
    InputError
        None given, a file with channels of its own, or one on another grid than the first.
    """
    if not paths:
        raise InputError("no image was given; name at least one file")
    return as_channels([read_volume(path) for path in paths])


def as_channels(volumes: Sequence[Volume]) -> Volume:
    """Make volumes that were read from files the channels of one, as `read_channels` does, on the grid of the first.

    Raises
    ------
    InputError
        As `read_channels`.
    """
    first = volumes[0]
    if len(volumes) == 1:
        return first
    for volume in volumes:
        if volume.channels:
            raise InputError(f"{volume.source}: holds {len(volume.channels)} channels; give files with one each")
    alike = [first, *(on_grid_of(first, volume) for volume in volumes[1:])]
    return Volume(
        array=np.stack([volume.array for volume in alike]),
        geometry=first.geometry,
        source=", ".join(volume.source for volume in alike),
        channels=_channel_names([Path(volume.source) for volume in alike]),
        modality=first.modality,
        series=first.series,
        notes=tuple(note for volume in alike for note in volume.notes),
    )


def read_labels(path: Path) -> LabelMap:
    """Read a label map with the names and colours that its header, or a table beside it, gives.

    Returns
    -------
    LabelMap
        (z, y, x), uint8 or uint16 as stored; other types become the smaller of both that holds the values. Values that
        miss a whole number by no more than rounding, or than the step of a file that stores scaled numbers, are that
        number.

    Raises
    ------
    InputError
        Fractional, negative or too large values, several components, or a file that cannot be read.
    """
    loaded = _load_values(path)
    if loaded.array.ndim == 4:
        raise InputError(f"{path}: holds {loaded.array.shape[0]} layers, a label map has one; do segments overlap?")
    array, rounded = as_labels(path, loaded.array, loaded.step)
    table = table_from_segment_keys(path, loaded.metadata) or table_beside(path)
    present = labels_present(array)
    known = LabelMap(array=array, geometry=loaded.geometry, source=str(path))
    named = (table or known.table).completed(present)
    return LabelMap(array, known.geometry, known.source, named, (*loaded.notes, *rounded))


def read_probabilities(path: Path) -> Probabilities:
    """Read class probabilities.

    Parameters
    ----------
    path : Path
        One volume in 0 to 1, the probability of foreground; or components, or a fourth dimension, that hold one class
        each, background first, and sum to 1 within 0.01.

    Returns
    -------
    Probabilities
        (c, z, y, x) float32, summing to 1.

    Raises
    ------
    InputError
        Whole-number types, values out of 0 to 1, sums that are not 1, or a file that cannot be read.
    """
    loaded = _load_values(path)
    p = loaded.array
    if p.dtype.kind != "f":
        raise InputError(f"{path}: holds {p.dtype} values, no probabilities; is it a label map?")
    low, high = float(p.min()), float(p.max())
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):
        raise InputError(f"{path}: values from {low:.4g} to {high:.4g} are no probabilities; they must lie in 0 to 1")
    p = np.clip(p.astype(np.float32), 0, 1)
    if p.ndim == 3:
        p = np.stack([1 - p, p])
    total = p.sum(axis=0)
    off = float(np.abs(total - 1).max())
    if off > SUM_TOLERANCE:
        raise InputError(f"{path}: its {p.shape[0]} class probabilities do not sum to 1 (off by up to {off:.3g})")
    return Probabilities(array=p / total, geometry=loaded.geometry, source=str(path), notes=loaded.notes)


@overload
def on_grid_of(volume: Volume, other: LabelMap) -> LabelMap: ...
@overload
def on_grid_of(volume: Volume, other: Probabilities) -> Probabilities: ...
@overload
def on_grid_of(volume: Volume, other: Volume) -> Volume: ...
def on_grid_of(volume: Volume, other: LabelMap | Probabilities | Volume) -> LabelMap | Probabilities | Volume:
    """Take a mask, probabilities or a further channel of an image to the grid of the image.

    Returns
    -------
    LabelMap, Probabilities or Volume
        `other`, on the geometry of `volume`. Where it holds the same voxels in another order (axes swapped, or counted
        from the other end) its voxels are put into the image's order, none is resampled, and a note says so.

    Raises
    ------
    InputError
        It lies elsewhere; the line names both files, the difference, and what was decided in reading them.
    """
    difference = volume.geometry.difference(other.geometry)
    if difference is None:
        return other
    order = reordering(volume.geometry, other.geometry)
    if order is not None:
        note = f"{other.source}: holds the voxels of {volume.source} in another order; {order}, nothing was resampled"
        return replace(other, array=order.array(other.array), geometry=volume.geometry, notes=(*other.notes, note))
    known = volume.geometry.orientation_known
    if known != other.geometry.orientation_known and volume.geometry.shape == other.geometry.shape:
        difference = f"{other.source if known else volume.source} does not say how it lies in the patient"
    decided = "".join(f" ({note})" for note in dict.fromkeys((*volume.notes, *other.notes)))
    raise InputError(
        f"{other.source}: is not on the grid of {volume.source}, {difference}; "
        f"give what belongs to this image, or resample it first{decided}"
    )


def _format(path: Path) -> Format:
    if not path.is_file():
        what = "is no regular file; copy it to one" if path.exists() else "there is no such file or folder"
        raise InputError(f"{path}: {what}")
    try:
        found = format_of(path)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror})") from e
    if found is None:
        known = ", ".join(SUFFIXES)
        raise InputError(f"{path}: is no image of a known format; use one of {known}, or a folder of DICOM files")
    return found


def _load(path: Path) -> LoadedImage:
    with _told(path):
        return load(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell in one line what the system has against reading a file."""
    try:
        yield
    except MemoryError as e:
        raise InputError(no_memory(path)) from e
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror or e})") from e


def _load_values(path: Path) -> LoadedImage:
    if path.is_dir() or _format(path) is Format.DICOM:
        raise InputError(f"{path}: masks are not read from DICOM; convert it to .nii.gz or .nrrd first")
    loaded = _load(path)
    if not loaded.finite:
        raise InputError(
            f"{path}: holds voxels that are NaN or infinite, neither labels nor probabilities; set them first"
        )
    return loaded


def _channel_names(paths: Sequence[Path]) -> tuple[str, ...]:
    stems = tuple(legible(stem_of(path)) for path in paths)
    if len(set(stems)) == len(stems):
        return stems
    return tuple(legible(f"{path.parent.name}/{stem_of(path)}") for path in paths)
