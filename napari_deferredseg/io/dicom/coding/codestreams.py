"""The size that compressed pixels have by their own account, before anything is unpacked."""

from __future__ import annotations

import struct

SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG and JPEG-LS (0xF7) that give the size of the picture."""
JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"


def size_in_stream(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) of the picture in a JPEG, JPEG-LS or JPEG 2000 stream; None where it is none or does not say."""
    try:
        if stream.startswith(JPEG_2000):
            right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
            return bottom - top, right - left
        return _jpeg(stream) if stream.startswith(JPEG) else None
    except struct.error:
        return None


def _jpeg(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        mark, kind, length = struct.unpack_from(">BBH", stream, at)
        if mark != 0xFF:
            return None
        if kind in SOF or kind == 0xF7:
            rows, columns = struct.unpack_from(">HH", stream, at + 5)
            return rows, columns
        at += 2 + length
