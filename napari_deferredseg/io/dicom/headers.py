"""Open a DICOM file up to its pixels, with or without preamble, and bounded where it is deflated."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.limits import GIB, most_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

PIXEL_DATA, FLOAT_PIXELS = 0x7FE00010, frozenset((0x7FE00008, 0x7FE00009))
PIXELS = FLOAT_PIXELS | {PIXEL_DATA}
PIXEL_TYPES = (None, "OB", "OW", "OF", "OD", "UN")
UNDEFINED = 0xFFFFFFFF
LARGE = 1 << 20

DAMAGED = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on files that are damaged."""


@dataclass(frozen=True)
class PixelPlace:
    """Where the pixels of a file lie.

    Attributes
    ----------
    syntax : str
        UID of the transfer syntax.
    offset : int or None
        Bytes from the start of the file to the first pixel; None where they do not lie there as they are.
    length : int or None
        Bytes; None for compressed pixels.
    short : int
        Bytes that are missing at the end of the file.
    floating : bool
        Whether they are floating-point numbers.
    """

    syntax: str
    offset: int | None
    length: int | None
    short: int
    floating: bool


@dataclass(frozen=True)
class Header:
    """Tags of a file, and where its pixels lie; `pixels` is None in an object without any."""

    path: Path
    tags: Dataset
    meta: Dataset
    pixels: PixelPlace | None


def read_header(path: Path, tags: Sequence[int] | None) -> Header:
    """Read some tags of a file, or all of them, up to its pixels.

    Raises
    ------
    InputError
        It cannot be opened or parsed.
    """
    found: list[tuple[int, str | None, int]] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            found.append((int(tag), vr, length))
            return True
        return False

    data, meta, file, end = _parse(path, at_pixels, tags)
    if not found:
        return Header(path, data, meta, None)
    tag, vr, length = found[0]
    if vr not in PIXEL_TYPES:
        raise InputError(f"{path}: the header of its pixels is damaged (type {vr}); copy it again")
    return Header(path, data, meta, _place(data, meta, file, end, tag, length))


def read_whole(path: Path, tags: Sequence[int] | None) -> Dataset:
    """Read some tags of a file, or all of them, its pixels too.

    Raises
    ------
    InputError
        It cannot be opened or parsed.
    """
    data, meta, _, _ = _parse(path, None, tags)
    data.file_meta = meta
    if not meta.get("TransferSyntaxUID"):
        meta.TransferSyntaxUID = _syntax(data)
    return data


def _syntax(data: Dataset) -> str:
    """Transfer syntax of a file that does not state it, as pydicom found it."""
    implicit, little = data.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return str(plain if little else ExplicitVRBigEndian)


class _DeflatedError(Exception):
    """The file is deflated: pydicom asks for all the rest of it."""


class _Reader(io.BufferedReader):
    """A file that never gives more than it has, however many bytes a damaged length asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise _DeflatedError
        return super().read(size if size < LARGE else min(size, max(self.size - self.tell(), 0)))

    def rest(self) -> bytes:
        return super().read()


def _parse(
    path: Path, stop: Callable[[Any, str | None, int], bool] | None, tags: Sequence[int] | None
) -> tuple[Dataset, Dataset, int, int]:
    """Dataset, file meta information, size of the file, and where parsing stopped; -1 in a deflated file."""
    wanted = None if tags is None else list(tags)
    try:
        with _Reader(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data = read_partial(file, stop, force=True, specific_tags=wanted)
            except _DeflatedError:
                inflated = io.BytesIO(_inflated(path, file.rest()))
                found = read_dataset(inflated, False, True, stop_when=stop, specific_tags=wanted)
                found.set_original_encoding(False, True)
                return found, _deflated_meta(), len(inflated.getvalue()), -1
            return data, data.file_meta, file.size, file.tell()
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror or e})") from e
    except InputError:
        raise
    except (*DAMAGED, MemoryError) as e:  # a damaged length asks for more memory than there is
        raise InputError(f"{path}: its DICOM header is damaged or incomplete; copy it again, or move it away") from e


def _deflated_meta() -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return meta


def _inflated(path: Path, packed: bytes) -> bytes:
    unpack, most = zlib.decompressobj(-zlib.MAX_WBITS), most_bytes()
    data = unpack.decompress(packed, most)
    if unpack.unconsumed_tail and not unpack.eof:
        raise InputError(f"{path}: unpacks to more than the {most / GIB:g} GiB that may be unpacked")
    if not unpack.eof:
        raise InputError(f"{path}: is cut off or damaged within its deflated data; copy it again")
    return data


def _place(data: Dataset, meta: Dataset, size: int, start: int, tag: int, length: int) -> PixelPlace:
    implicit = bool(data.original_encoding[0])
    syntax = str(meta.get("TransferSyntaxUID") or _syntax(data))
    compressed = length == UNDEFINED
    offset = None if start < 0 or compressed else start + (8 if implicit else 12)
    short = 0 if offset is None else max(offset + length - size, 0)
    return PixelPlace(syntax, offset, None if compressed else length, short, tag in FLOAT_PIXELS)
