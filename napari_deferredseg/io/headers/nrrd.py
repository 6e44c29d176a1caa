"""Checks of an NRRD that ITK leaves out, or tells in words of its own."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.detached import beside
from napari_deferredseg.io.headers.facts import Facts, axis_lengths, require_millimetres
from napari_deferredseg.io.headers.limits import require_fits
from napari_deferredseg.io.headers.packed import check_packed, check_raw, check_text

LONGEST_HEADER = 1 << 20
NAMES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: (
        *("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        *("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    ),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"),
    8: (
        *("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
        *("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
    ),
}
BYTES = {name: width for width, names in NAMES.items() for name in names}
RAW, GZIP, TEXT, HEX = ("raw",), ("gzip", "gz"), ("ascii", "text", "txt"), ("hex",)
CHANNELS = ("vector", "2-vector", "3-vector", "4-vector", "point", "scalar")
COLOURS = ("rgb-color", "hsv-color", "xyz-color", "rgba-color", "3-color", "4-color")
NO_IMAGE = ("matrix", "gradient", "normal", "quaternion", "covariant")


def check_nrrd(path: Path) -> Facts:
    """Read and check the header and the voxels' length of a .nrrd or .nhdr.

    Raises
    ------
    InputError
        Not an NRRD, voxels of a type or packed in a way that is not read, several volumes along an axis that ITK does
        not know, or voxels that are truncated, damaged, in several files, or in one that is not beside it.
    """
    with path.open("rb") as f:
        header = _read(path, f)
        require_fits(path, header.sizes, header.width)
        require_millimetres(path, header.words("space units"))
        volumes = _check_axes(path, header)
        data = _detached(path, header)
        if data is None:
            _check_data(str(path), f, header)
    if data is not None:
        with beside(path, str(data)).open("rb") as f:
            _check_data(f"{path} ({data})", f, header)
    return Facts(volumes=volumes, detached=data)


@dataclass(frozen=True)
class _Header:
    fields: dict[str, str]
    sizes: tuple[int, ...]
    width: int

    def words(self, *names: str) -> list[str]:
        """Words of the first of these fields that there is; quoted ones and vectors count as one."""
        text = next((self.fields[name] for name in names if name in self.fields), "")
        return re.findall(r'"[^"]*"|\([^)]*\)|[^\s"(]+', text)


def _read(path: Path, f: IO[bytes]) -> _Header:
    if re.match(rb"NRRD\d{4}\s", f.readline(16)) is None:
        raise InputError(f"{path}: cannot be read, it is not an NRRD file; save the image again")
    fields: dict[str, str] = {}
    while (line := f.readline(LONGEST_HEADER)).strip() and f.tell() < LONGEST_HEADER:
        key, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
        if colon and not key.startswith("#"):
            # Keys of others ("key:=value") are told from the format's fields.
            own = value.startswith("=")
            fields[key.strip().casefold() + ("=" if own else "")] = value.removeprefix("=").strip()
    missing = [key for key in ("type", "sizes", "encoding") if not fields.get(key)]
    if missing:
        raise InputError(f"{path}: cannot be read, its header lacks {missing[0]}; save the image again")
    sizes = axis_lengths(path, "sizes", fields["sizes"].split())
    width = BYTES.get(fields["type"].casefold())
    if width is None:
        raise InputError(f"{path}: its voxels are of type {fields['type']}, which is not read; save them as floats")
    if fields["encoding"].casefold() not in (*RAW, *GZIP, *TEXT, *HEX):
        raise InputError(
            f"{path}: its voxels are packed with {fields['encoding']}, which is not read; save it as raw or gzip"
        )
    return _Header(fields, sizes, width)


def _check_axes(path: Path, header: _Header) -> bool:
    """Whether the one axis that is not in space counts volumes."""
    kinds = [word.casefold() for word in header.words("kinds")]
    directions = header.words("space directions")
    volumes = header.fields.get("modality=", "").casefold() == "dwmri"
    for axis, size in enumerate(header.sizes):
        kind = kinds[axis] if axis < len(kinds) else ""
        outside = axis < len(directions) and directions[axis].casefold() == "none"
        if kind.startswith("complex"):
            raise InputError(f"{path}: holds complex numbers; save the magnitude image instead")
        if kind in COLOURS:
            raise InputError(f"{path}: is a colour image (RGB); save it as grey values or as a label map")
        if any(word in kind for word in NO_IMAGE):
            raise InputError(f"{path}: holds values of kind {kind}, no image; give the image that they belong to")
        if kind == "list":
            volumes = True
        elif kind == "time" or (outside and kind not in CHANNELS):
            raise InputError(
                f"{path}: holds {size} volumes (its axis {axis + 1} is of kind {kind or 'unknown'}: a time series?), "
                "not one; save the one to read by itself"
            )
    return volumes


def _detached(path: Path, header: _Header) -> Path | None:
    """Name of the voxel file; None where the voxels follow the header."""
    name = header.fields.get("data file", header.fields.get("datafile"))
    if name is None:
        return None
    if not name or re.match(r"LIST\b", name) or re.search(r"%\d*d", name):
        raise InputError(
            f"{path}: spreads its voxels over several files ({name or 'none named'}); save it as one .nrrd"
        )
    return Path(name)


def _check_data(name: str, f: IO[bytes], header: _Header) -> None:
    if {"byte skip", "byteskip", "line skip", "lineskip"} & set(header.fields):
        return  # what is skipped only ITK knows; it reads no more than what was measured
    encoding, values = header.fields["encoding"].casefold(), math.prod(header.sizes)
    if encoding in RAW:
        check_raw(name, f, values * header.width)
    elif encoding in GZIP:
        check_packed(name, f, values * header.width, zlib_too=False)
    elif encoding in HEX:
        check_text(name, f, values, least=2 * header.width)
    else:
        check_text(name, f, values, least=1)
