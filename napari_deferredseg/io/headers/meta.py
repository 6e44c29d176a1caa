"""Checks of a MetaImage that ITK leaves out, or prints to the user's terminal."""

from __future__ import annotations

import math
from os import SEEK_END
from pathlib import Path
from typing import IO

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.detached import beside
from napari_deferredseg.io.headers.facts import Facts, axis_lengths, numbers, require_millimetres
from napari_deferredseg.io.headers.limits import require_fits
from napari_deferredseg.io.headers.packed import check_packed, check_raw, check_text

LONGEST_HEADER = 1 << 20
BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4, "FLOAT": 4}
BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "DOUBLE": 8}
UNSCALED = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}


def check_meta(path: Path) -> Facts:
    """Read and check the header and the data length of a .mha or .mhd.

    Raises
    ------
    InputError
        Not a MetaImage, empty, truncated or damaged, without a sound spacing, with voxels of an unknown type, or with
        voxels in several files or in one that is not beside it.
    """
    with path.open("rb") as f:
        fields = _fields(path, f)
        size = axis_lengths(path, "DimSize", fields["DimSize"].split())
        if fields.get("NDims", str(len(size))) != str(len(size)):
            raise InputError(f"{path}: has {fields['NDims']} axes, but lengths for {len(size)}; correct the header")
        width = _width(path, fields)
        require_fits(path, (*size, _channels(path, fields)), width)
        _check_lengths(path, fields)
        detached = _detached(path, fields["ElementDataFile"])
        skip = _skip(path, fields)
        if detached is None:
            if skip:
                raise InputError(f"{path}: HeaderSize = {skip} does not go with voxels in the same file; leave it out")
            _check_data(path, str(path), f, fields, size)
    if detached is not None:
        with beside(path, str(detached)).open("rb") as f:
            f.seek(max(0, skip))
            _check_data(path, f"{path} ({detached})", f, fields, size)
    known = any(key in fields for key in ("TransformMatrix", "Orientation", "Rotation"))
    return Facts(orientation_known=known, detached=detached)


def _fields(path: Path, f: IO[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields and f.tell() < LONGEST_HEADER:
        line = f.readline(LONGEST_HEADER)
        key, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
        if not line or not equals:
            break
        fields[key.strip()] = value.strip()
    missing = [key for key in ("DimSize", "ElementType", "ElementDataFile") if not fields.get(key)]
    if missing:
        raise InputError(f"{path}: is not a whole MetaImage file, its header lacks {missing[0]}; save it again")
    return fields


def _check_lengths(path: Path, fields: dict[str, str]) -> None:
    for key in ("ElementSpacing", "ElementSize"):
        if not all(math.isfinite(v) and v > 0 for v in numbers(path, key, fields.get(key, "").split())):
            raise InputError(f"{path}: its spacing {fields[key]} mm is not positive; correct the header")
    require_millimetres(path, fields.get("DistanceUnits", "").split())
    for key, plain in UNSCALED.items():
        if any(v != plain for v in numbers(path, key, fields.get(key, "").split())):
            raise InputError(f"{path}: scales its values ({key} = {fields[key]}), which is not read; save it as floats")


def _width(path: Path, fields: dict[str, str]) -> int:
    """Bytes of one value."""
    name = fields["ElementType"]
    width = BYTES.get(name.removeprefix("MET_").removesuffix("_ARRAY"))
    if width is None:
        raise InputError(f"{path}: its voxels are of type {name}, which is not read; save them as 32-bit floats")
    return width


def _channels(path: Path, fields: dict[str, str]) -> int:
    text = fields.get("ElementNumberOfChannels", "1")
    return math.prod(axis_lengths(path, "ElementNumberOfChannels", text.split()))


def _skip(path: Path, fields: dict[str, str]) -> int:
    """Bytes before the voxels of a detached file; -1 where the voxels are its end."""
    found = numbers(path, "HeaderSize", fields.get("HeaderSize", "0").split()) or [0.0]
    if not (math.isfinite(found[0]) and found[0] >= -1):
        raise InputError(f"{path}: HeaderSize = {fields['HeaderSize']} in its header cannot be; correct it")
    return int(found[0])


def _detached(path: Path, text: str) -> Path | None:
    """Name of the voxel file; None where the voxels follow the header."""
    if text.casefold() == "local":
        return None
    if text.casefold().startswith("list") or "%" in text:
        raise InputError(f"{path}: spreads its voxels over several files ({text}); save it as one .mha")
    return Path(text)


def _check_data(path: Path, name: str, f: IO[bytes], fields: dict[str, str], size: tuple[int, ...]) -> None:
    count = math.prod(size) * _channels(path, fields)
    if fields.get("BinaryData", "True").casefold() != "true":
        check_text(name, f, count, least=1)
    elif fields.get("CompressedData", "False").casefold() == "true":
        here = f.tell()
        left = f.seek(0, SEEK_END) - here
        f.seek(here)
        packed = check_packed(name, f, count * _width(path, fields), zlib_too=True)
        said = numbers(path, "CompressedDataSize", fields.get("CompressedDataSize", "").split())
        if not said or not packed <= said[0] <= left:
            # ITK gives whatever was in memory, or asks for as much of it.
            told = f"{said[0]:.0f}" if said else "nothing"
            raise InputError(f"{path}: its voxels take {packed} bytes, CompressedDataSize says {told}; save it again")
    else:
        check_raw(name, f, count * _width(path, fields))
