"""Checks of a PNG that ITK leaves out: it stretches values of few bits, and shifts those that say how many count."""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.facts import Facts
from napari_deferredseg.io.headers.limits import require_fits

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = {
    2: "a colour picture (RGB)",
    3: "a colour picture (a palette)",
    4: "a grey picture with transparency",
    6: "a colour picture (RGB with transparency)",
}


def check_png(path: Path) -> Facts:
    """Check every chunk of a .png, and that it is one grey picture whose values are what is stored.

    Raises
    ------
    InputError
        Not a PNG, truncated or damaged, a colour picture, or one whose values readers change.
    """
    with path.open("rb") as f:
        if f.read(8) != b"\x89PNG\r\n\x1a\n":
            raise InputError(f"{path}: is not a PNG picture")
        kind, first = _chunk(path, f)
        if kind != b"IHDR" or len(first) != 13:
            raise InputError(f"{path}: the PNG picture is damaged; copy it again")
        width, height, bits, colour = struct.unpack(">IIBB", first[:10])
        if colour in COLOURS:
            raise InputError(f"{path}: is {COLOURS[colour]}; save it as grey values, without transparency")
        require_fits(path, (width, height), 2 if bits == 16 else 1)
        if bits not in (1, 8, 16):
            raise InputError(f"{path}: holds values of {bits} bits, which readers stretch; save it with 8 or 16 bits")
        while kind != b"IEND":
            kind, body = _chunk(path, f)
            _check_chunk(path, kind, body, bits)
    stretched = (f"{path}: holds values of one bit; they were read as 0 and 255",) if bits == 1 else ()
    return Facts(notes=stretched)


def _check_chunk(path: Path, kind: bytes, body: bytes, bits: int) -> None:
    if kind == b"tRNS":
        raise InputError(f"{path}: is a grey picture with transparency; save it as grey values, without transparency")
    if kind == b"acTL":
        raise InputError(f"{path}: is a moving picture (several frames); save the one to read by itself")
    if kind == b"sBIT" and body != bytes([bits]):
        raise InputError(f"{path}: says that not all of its {bits} bits count (sBIT); save it again without that")


def _chunk(path: Path, f: IO[bytes]) -> tuple[bytes, bytes]:
    start = f.read(8)
    if len(start) == 8:
        length, kind = struct.unpack(">I4s", start)
        body, check = f.read(length), f.read(4)
        if len(check) == 4 and zlib.crc32(kind + body) == struct.unpack(">I", check)[0]:
            return kind, body
    raise InputError(f"{path}: the PNG picture is damaged or incomplete; copy it again")
