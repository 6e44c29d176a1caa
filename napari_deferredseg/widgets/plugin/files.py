"""Files dropped on napari or saved from it: images and label maps with their exact grid."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_info

from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.frame import frame_of
from napari_deferredseg.core.log import log_failure
from napari_deferredseg.io.formats import SUFFIXES, Format, format_of, stem_of, suffix_of
from napari_deferredseg.io.images import read_labels, read_volume, write_labels
from napari_deferredseg.io.reading import forms_of
from napari_deferredseg.usecases.log import open_log
from napari_deferredseg.widgets.qt.plain import as_tip, unmarked
from napari_deferredseg.widgets.qt.series import choose_series
from napari_deferredseg.widgets.viewer.volume_layers import KEY, LayerInfo, image_options, labels_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import LabelMap, Volume

LayerData = tuple[Any, ...]
log = logging.getLogger(__name__)

NOTHING: list[LayerData] = [(None,)]
"""How a reader tells napari that it dealt with the file but has no layer."""

_FILES_LOOKED_AT = 50
_NAME_HINTS = ("mask", "label", "seg")
_FEW, _MANY = 64, 1024


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Give napari our reader for medical images and folders with DICOM files; None for the rest."""
    return read_layers if isinstance(path, str) and _is_ours(Path(path)) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a file or folder as layers in the patient's frame.

    Whole numbers that look like a label map become a labels layer, everything else image layers. Of several DICOM
    series in a folder the user is asked which. What was decided in reading is shown, and what is wrong with a file too,
    as one line; an error raised here would make napari ask for another reader.
    """
    try:
        file = Path(str(path))
        volume = read_volume(file, choose_series(file))
        labels = _as_labels(file, volume)
    except Exception as error:
        open_log()
        log_failure(log, error, "reading a file")
        if isinstance(error, OSError):
            error = InputError(f"{path}: cannot be read ({error.strerror or error}); check the file and the disk")
        if not isinstance(error, DeferredSegError):
            raise
        show_error(as_tip(str(error)))
        return NOTHING
    for note in volume.notes if labels is None else labels.notes:
        show_info(note)
    if labels is None:
        return [(data, options, "image") for data, options in image_options(volume)]
    options = labels_options(labels.geometry, labels.table, labels.source, unmarked(stem_of(file)))
    return [(frame_of(labels.geometry).view(labels.array), options, "labels")]


def write_labels_layer(path: str, data: NDArray[Any], meta: dict[str, Any]) -> list[str]:
    """Write a labels layer of ours on the exact grid of the image it belongs to.

    Raises
    ------
    InputError
        The layer does not come from us, was given other data, holds values that a label map cannot, or the file cannot
        be written.
    """
    try:
        return _write(path, data, meta)
    except DeferredSegError as error:
        raise type(error)(as_tip(str(error))) from error  # napari's notification takes what looks like HTML for it


def _write(path: str, data: NDArray[Any], meta: dict[str, Any]) -> list[str]:
    info = meta.get("metadata", {}).get(KEY)
    name = meta.get("name", "labels")
    if not isinstance(info, LayerInfo) or info.table is None:
        raise InputError(f"{path}: the layer {name!r} has no grid of an image; open the image or mask with DeferredSeg")
    if tuple(data.shape) != info.frame.shape:
        raise InputError(
            f"{path}: the layer {name!r} is {data.shape}, not {info.frame.shape} as its image; not written"
        )
    labels = np.asarray(data)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(f"{path}: the layer {name!r} holds {low if low < 0 else high}; labels are 0 to 65535")
    dtype = np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16
    labels = np.ascontiguousarray(info.frame.file_order(labels), labels.dtype if labels.dtype == np.uint16 else dtype)
    write_labels(Path(path), labels, info.geometry, info.table, forms_of(Path(info.source), info.geometry))
    return [path]


def _is_ours(path: Path) -> bool:
    try:
        if path.is_dir():
            files = islice((f for f in path.rglob("*") if f.is_file()), _FILES_LOOKED_AT)
            return any(format_of(f) is Format.DICOM for f in files)
        return SUFFIXES.get(suffix_of(path), Format.PNG) is not Format.PNG
    except OSError:
        return False


def _as_labels(path: Path, volume: Volume) -> LabelMap | None:
    if volume.channels or volume.modality or path.is_dir():
        return None
    hinted = any(hint in path.name.casefold() for hint in _NAME_HINTS)
    if volume.array.dtype.kind == "f" and not hinted:
        return None
    count = _values(volume.array)
    if count is None:
        return None
    labels = read_labels(path)
    named = any(x.name != f"label {x.value}" for x in labels.table.labels)
    return labels if hinted or named or count <= _FEW else None


def _values(array: NDArray[Any]) -> int | None:
    """How many values an array holds; None when they cannot be labels: below 0, fractional, or too many."""
    found: NDArray[Any] = np.empty(0, array.dtype)
    for plane in array:
        found = np.union1d(found, plane)
        if len(found) > _MANY or not np.all(np.isfinite(found)) or found[0] < 0 or np.any(found % 1):
            return None
    return len(found) if found[-1] <= np.iinfo(np.uint16).max else None
