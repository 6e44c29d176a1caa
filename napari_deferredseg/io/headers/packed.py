"""Whether the voxels that a header promises are there, raw, packed or as text, before ITK unpacks them."""

from __future__ import annotations

from os import SEEK_END
from typing import IO

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.unpacking import CHUNK, GZIP_MARK, Unpacked, require_no_more

BZIP2_MARK = b"BZh"
ZLIB_MARKS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def check_raw(name: str, f: IO[bytes], needed: int) -> None:
    """Check that so many bytes follow. InputError when there are fewer."""
    here = f.tell()
    there = f.seek(0, SEEK_END) - here
    f.seek(here)
    if there < needed:
        packed = " (they look packed, which the header does not say)" if _mark(f) else ""
        raise InputError(f"{name}: is cut off, {there} of {needed} bytes of voxels are there{packed}; copy it again")


def check_packed(name: str, f: IO[bytes], needed: int, *, zlib_too: bool) -> int:
    """Unpack once, block by block, to find out whether it can be done and gives so many bytes.

    Parameters
    ----------
    zlib_too : bool
        Whether the format allows a bare zlib stream beside gzip.

    Returns
    -------
    int
        Bytes that the packed voxels take.

    Raises
    ------
    InputError
        Packed otherwise or not at all, damaged, cut off, or of another length than the header says.
    """
    kind = _mark(f)
    if kind not in ("gzip", "zlib") or (kind == "zlib" and not zlib_too):
        how = f"packed with {kind}" if kind else "not packed"
        raise InputError(f"{name}: its voxels are {how}, its header says gzip; correct its encoding or save it again")
    here = f.tell()
    stream, there = Unpacked(f, name), 0
    while there < needed and (block := stream.read(CHUNK)):
        there += len(block)
    if there < needed:
        raise InputError(f"{name}: is cut off, {there} of {needed} bytes of voxels are there; copy it again")
    require_no_more(name, stream, there - needed, needed)
    return f.seek(0, SEEK_END) - here - stream.left_over


def check_text(name: str, f: IO[bytes], values: int, least: int) -> None:
    """Check that text of so many values can follow, each of at least so many letters. InputError when it cannot."""
    here = f.tell()
    there = f.seek(0, SEEK_END) - here
    f.seek(here)
    if there < values * least:
        raise InputError(f"{name}: is cut off, {there} letters cannot hold {values} voxels; copy it again")


def _mark(f: IO[bytes]) -> str:
    """How the bytes that follow are packed, told by the first of them; "" when they are not."""
    here = f.tell()
    first = f.read(3)
    f.seek(here)
    if first.startswith(GZIP_MARK):
        return "gzip"
    if first == BZIP2_MARK:
        return "bzip2"
    return "zlib" if first.startswith(ZLIB_MARKS) else ""
