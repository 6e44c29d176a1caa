"""Checks of MetaImage, NRRD and PNG files that ITK leaves out, or prints to the user's terminal."""

from __future__ import annotations

import math
import re
import struct
import zlib
from os import SEEK_END
from typing import IO, TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
LONGEST_HEADER = 1 << 20
BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}
GREY = 0


def check_meta(path: Path) -> bool:
    """Read and check the header and the data length of a .mha or .mhd.

    Returns
    -------
    bool
        Whether the header says how the axes lie in the patient.

    Raises
    ------
    InputError
        Not a MetaImage, empty, truncated or damaged, or without a sound spacing.
    """
    with path.open("rb") as f:
        fields = _meta_fields(path, f)
        size = _numbers(path, fields, "DimSize")
        if not size or min(size) < 1:
            raise InputError(f"{path}: its size {fields['DimSize']} has an empty axis; there are no voxels to read")
        for key in ("ElementSpacing", "ElementSize"):
            if not all(math.isfinite(v) and v > 0 for v in _numbers(path, fields, key)):
                raise InputError(f"{path}: its spacing {fields[key]} mm is not positive; correct the header")
        if fields["ElementDataFile"] == "LOCAL":
            _check_meta_data(str(path), f, fields, size)
        elif re.search(r"^LIST|%", fields["ElementDataFile"]) is None:
            _check_detached(path, fields, size)
    return any(key in fields for key in ("TransformMatrix", "Orientation", "Rotation"))


def _meta_fields(path: Path, f: IO[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields and f.tell() < LONGEST_HEADER:
        line = f.readline(LONGEST_HEADER)
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        if not line or not equals:
            break
        fields[key.strip()] = value.strip()
    missing = [key for key in ("DimSize", "ElementType", "ElementDataFile") if not fields.get(key)]
    if missing:
        raise InputError(f"{path}: is not a whole MetaImage file, its header lacks {missing[0]}; save it again")
    return fields


def _numbers(path: Path, fields: dict[str, str], key: str) -> list[float]:
    try:
        return [float(v) for v in fields.get(key, "").split()]
    except ValueError as e:
        raise InputError(f"{path}: {key} = {fields[key]} in its header is not a list of numbers") from e


def _data_bytes(fields: dict[str, str], size: list[float]) -> int:
    """Bytes of the voxels; 0 when the header does not tell."""
    if fields.get("BinaryData", "True").casefold() != "true":
        return 0
    width = BYTES.get(fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY"), 0)
    return int(math.prod(size)) * width * int(fields.get("ElementNumberOfChannels", "1"))


def _check_meta_data(name: str, f: IO[bytes], fields: dict[str, str], size: list[float]) -> None:
    zipped = fields.get("CompressedData", "False").casefold() == "true"
    there = _inflated_length(name, f) if zipped else _bytes_left(f)
    needed = _data_bytes(fields, size)
    if there < needed:
        raise InputError(f"{name}: is cut off, {there} of {needed} bytes of voxels are there; copy it again")


def _check_detached(path: Path, fields: dict[str, str], size: list[float]) -> None:
    data = path.parent / fields["ElementDataFile"]
    if not data.is_file():
        raise InputError(f"{path}: its voxel file {data.name} is not beside it; copy both")
    with data.open("rb") as f:
        _check_meta_data(f"{path} ({data.name})", f, fields, size)


def check_nrrd(path: Path) -> None:
    """Check the compressed voxels of a .nrrd; all else in it ITK reports itself.

    Raises
    ------
    InputError
        They are truncated or damaged.
    """
    fields: dict[str, str] = {}
    with path.open("rb") as f:
        while (line := f.readline(LONGEST_HEADER)).strip() and f.tell() < LONGEST_HEADER:
            key, _, value = line.decode("utf-8", "replace").partition(":")
            fields[key.strip().casefold()] = value.strip().casefold()
        plain = not {"data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip"} & set(fields)
        if fields.get("encoding") in ("gzip", "gz") and plain:
            _inflated_length(str(path), f)


def _bytes_left(f: IO[bytes]) -> int:
    here = f.tell()
    return f.seek(0, SEEK_END) - here


def _inflated_length(name: str, f: IO[bytes]) -> int:
    # ITK shows a damaged stream as noise; the checksum at its end tells.
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    length = 0
    try:
        while not stream.eof and (block := f.read(CHUNK)):
            length += len(stream.decompress(block))
    except zlib.error as e:
        raise InputError(f"{name}: its compressed voxels are damaged; copy it again") from e
    if not stream.eof:
        raise InputError(f"{name}: is cut off, its compressed voxels are incomplete; copy it again")
    return length


def check_png(path: Path) -> None:
    """Check every chunk of a .png, and that it is a grey picture.

    Raises
    ------
    InputError
        Not a PNG, truncated or damaged, or a colour picture.
    """
    with path.open("rb") as f:
        if f.read(8) != b"\x89PNG\r\n\x1a\n":
            raise InputError(f"{path}: is not a PNG picture")
        kind, first = _png_chunk(path, f)
        if kind != b"IHDR" or len(first) != 13:
            raise InputError(f"{path}: the PNG picture is damaged; copy it again")
        if first[9] != GREY:
            raise InputError(f"{path}: is a colour picture; save it as grey values, without transparency")
        while kind != b"IEND":
            kind, _ = _png_chunk(path, f)


def _png_chunk(path: Path, f: IO[bytes]) -> tuple[bytes, bytes]:
    start = f.read(8)
    if len(start) == 8:
        length, kind = struct.unpack(">I4s", start)
        body, check = f.read(length), f.read(4)
        if len(check) == 4 and zlib.crc32(kind + body) == struct.unpack(">I", check)[0]:
            return kind, body
    raise InputError(f"{path}: the PNG picture is damaged or incomplete; copy it again")
