"""Pixels of DICOM files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_fragments
from pydicom.pixels import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.coding.codestreams import size_in_stream
from napari_deferredseg.io.dicom.coding.decoder import CannotDecode
from napari_deferredseg.io.dicom.coding.values import number_type, values, without_unused_bits
from napari_deferredseg.io.dicom.headers import DAMAGED, PIXEL_DATA, read_whole

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.dicom.coding.decoder import Decoder
    from napari_deferredseg.io.dicom.tags import Slice

PLAIN = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
FORM = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
FORM_TAGS = (*(tag for tag in map(tag_for_keyword, FORM) if tag is not None), PIXEL_DATA)


def read_values(s: Slice, decoder: Decoder) -> Array:
    """Values (rows, columns) of a file with one image.

    Raises
    ------
    InputError
        Its pixels cannot be decoded, or are not as many as its header says.
    """
    found = _plain(s) if s.stored.place.syntax in PLAIN and s.stored.place.offset is not None else _decoded(s, decoder)
    if found.size != s.size[0] * s.size[1]:
        raise InputError(f"{s}: its pixels {found.shape} do not fit its header {s.size}; the file is damaged")
    return values(without_unused_bits(found.reshape(s.size), s.stored), s.stored)


def uncompressed(path: Path, data: Dataset, decoder: Decoder) -> Array:
    """Numbers of a compressed file as stored, all its frames; `data` has the tags of `FORM_TAGS`.

    Raises
    ------
    InputError
        They are damaged or of an unknown compression.
    """
    if data.file_meta.TransferSyntaxUID == RLELossless:
        return np.asarray(pixel_array(data, raw=True))
    _check_streams(path, data)
    plain = Dataset()
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    plain.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID = SecondaryCaptureImageStorage
    plain.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID = generate_uid()
    for name in FORM:
        if name in data:
            setattr(plain, name, data[name].value)
    plain.PhotometricInterpretation = "MONOCHROME2"
    plain.add(data[PIXEL_DATA])
    plain["PixelData"].is_undefined_length = True
    try:
        return decoder.decode(plain)
    except CannotDecode as e:
        raise InputError(f"{path}: {e}") from e


def _check_streams(path: Path, data: Dataset) -> None:
    """A picture that is larger than its header says would be unpacked before anyone sees that it does not fit."""
    said = (data.get("Rows"), data.get("Columns"))
    for stream in generate_fragments(data[PIXEL_DATA].value):
        size = size_in_stream(stream)
        if size is not None and size != said:
            raise InputError(f"{path}: its compressed pixels {size} do not fit its header {said}; the file is damaged")


def _plain(s: Slice) -> Array:
    """Numbers that lie in the file as they are."""
    place, kind = s.stored.place, number_type(s.stored).newbyteorder("<")
    expected = s.size[0] * s.size[1] * kind.itemsize
    length = place.length or 0
    if not expected <= length < expected + s.size[1] * kind.itemsize + 2:
        raise InputError(f"{s}: its pixels ({length} bytes) do not fit its header {s.size}; the file is damaged")
    try:
        with s.path.open("rb") as f:
            f.seek(place.offset or 0)
            content = f.read(expected)
    except OSError as e:
        raise InputError(f"{s}: cannot be opened ({e.strerror or e})") from e
    if len(content) < expected:
        raise InputError(f"{s}: is cut off within its pixels; copy it again")
    return np.frombuffer(content, kind).astype(kind.newbyteorder("="), copy=False)


def _decoded(s: Slice, decoder: Decoder) -> Array:
    """Numbers of a compressed, deflated or big-endian file."""
    data = read_whole(s.path, FORM_TAGS)
    if "PixelData" not in data:
        raise InputError(f"{s}: is cut off within its pixels; copy it again")
    try:
        if s.stored.place.length is None:
            return uncompressed(s.path, data, decoder)
        found = np.asarray(pixel_array(data, raw=True))
        return found.astype(found.dtype.newbyteorder("="), copy=False)
    except InputError:
        raise
    except (*DAMAGED, RuntimeError) as e:
        raise InputError(f"{s}: its pixels cannot be decoded; it is damaged, copy it again") from e
