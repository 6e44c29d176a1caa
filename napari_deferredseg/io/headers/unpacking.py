"""Read compressed voxels in blocks, checked to the end of the stream; never more of them in memory than one block."""

from __future__ import annotations

import zlib
from os import SEEK_END
from typing import IO, TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
PACKED_CHUNK = 1 << 16
"""Bytes unpacked at once: what follows the end of one of many small members is copied each time."""
GZIP_MARK = b"\x1f\x8b"
SLACK = 512
"""Bytes that may follow the voxels in any case; some writers pad."""


class Unpacked:
    """Bytes of gzip members, or of one zlib stream.

    Parameters
    ----------
    f : binary file
        At the start of the stream.
    name : str
        For the messages.

    Attributes
    ----------
    left_over : int
        Bytes that follow the last stream and are no stream, known at the end.
    """

    def __init__(self, f: IO[bytes], name: Path | str) -> None:
        self._file, self._name = f, name
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._waiting = b""
        self._ended = False
        self.left_over = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end.

        Raises
        ------
        InputError
            The stream is damaged, or ends too early.
        """
        try:
            while not self._ended:
                packed = self._inflate.unconsumed_tail or self._waiting or self._file.read(PACKED_CHUNK)
                self._waiting = b""
                block = self._inflate.decompress(packed, size)
                if self._inflate.eof:
                    self._next_member()
                elif not packed and not block:
                    raise InputError(f"{self._name}: is cut off, its compressed voxels are incomplete; copy it again")
                if block:
                    return block
        except zlib.error as e:
            raise InputError(f"{self._name}: its compressed voxels are damaged; copy it again") from e
        return b""

    def _next_member(self) -> None:
        rest = self._inflate.unused_data.lstrip(b"\0")
        while len(rest) < len(GZIP_MARK) and (more := self._file.read(PACKED_CHUNK)):
            rest = (rest + more).lstrip(b"\0")
        if rest.startswith(GZIP_MARK):
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            self._waiting = rest
        else:
            here = self._file.tell()
            self.left_over = len(rest) + self._file.seek(0, SEEK_END) - here
            self._ended = True


def require_no_more(path: Path | str, stream: Unpacked | IO[bytes], surplus: int, voxels: int) -> int:
    """Go to the end of a stream, where its checksum is, and count what follows the voxels.

    Parameters
    ----------
    surplus : int
        Bytes after the voxels that were read already.
    voxels : int
        Bytes of the voxels.

    Returns
    -------
    int
        Bytes that follow them.

    Raises
    ------
    InputError
        As much again as the voxels, or more: then the header does not say what the file holds. Or the rest is damaged.
    """
    most = max(SLACK, voxels)
    while surplus < most and (block := stream.read(CHUNK)):
        surplus += len(block)
    if surplus >= most:
        raise InputError(
            f"{path}: its header counts {voxels} bytes of voxels, as many again or more follow; correct its size"
        )
    return surplus
