"""From a NIfTI file to an array: every byte is unpacked once, straight to where it stays."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.formats import suffix_of
from napari_deferredseg.io.headers.detached import beside
from napari_deferredseg.io.headers.limits import GIB
from napari_deferredseg.io.headers.unpacking import CHUNK, GZIP_MARK, Unpacked, require_no_more
from napari_deferredseg.io.itk import LoadedImage
from napari_deferredseg.io.nifti.header import LONGEST_HEADER, NiftiHeader, parse_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


Stream = Unpacked | IO[bytes]
FITS_FLOAT32 = 1e15


def load_nifti(path: Path) -> LoadedImage:
    """Read a .nii, a .nii.gz, or one of a pair of .hdr and .img.

    Raises
    ------
    InputError
        No NIfTI, truncated or damaged, or voxels or a grid that are of no use here.
    """
    path = header_of(path)
    with _opened(path) as stream:
        first = _exactly(stream, LONGEST_HEADER)
        header = parse_header(path, first)
        if not header.detached:
            # The header is shorter than what was read for it, or an extension follows.
            _skip(path, stream, header.offset - len(first))
            return _loaded(path, stream, header, first[header.offset :])
    if suffix_of(path) != ".hdr":
        raise InputError(f"{path}: says that its voxels lie in another file; give both as a pair of .hdr and .img")
    data = beside(path, path.with_suffix(".IMG" if path.suffix.isupper() else ".img").name)
    with _opened(data) as stream:
        _skip(data, stream, header.offset)
        return _loaded(data, stream, header, b"")


def nifti_header(path: Path) -> NiftiHeader:
    """What a file's header says; InputError as `load_nifti`, its voxels apart."""
    path = header_of(path)
    with _opened(path) as stream:
        return parse_header(path, _exactly(stream, LONGEST_HEADER))


def header_of(path: Path) -> Path:
    """Where the header of an image lies: for a .img beside it."""
    if suffix_of(path) != ".img":
        return path
    return beside(path, path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr").name)


@contextmanager
def _opened(path: Path) -> Iterator[Stream]:
    with path.open("rb") as f:
        if f.read(2) != GZIP_MARK:
            f.seek(0)
            yield f
            return
        if path.suffix.casefold() != ".gz":
            raise InputError(f"{path}: is not a NIfTI file but one packed with gzip; give it the ending .nii.gz")
        f.seek(0)
        yield Unpacked(f, path)


def _exactly(stream: Stream, size: int) -> bytes:
    """Return the next bytes; fewer only where the stream ends."""
    found = b""
    while len(found) < size and (block := stream.read(size - len(found))):
        found += block
    return found


def _skip(path: Path, stream: Stream, size: int) -> None:
    """Leave bytes out, which need not fit the memory."""
    while size > 0:
        block = stream.read(min(size, CHUNK))
        if not block:
            raise InputError(f"{path}: is cut off before its first voxel; copy it again, or correct its vox_offset")
        size -= len(block)


def _loaded(path: Path, stream: Stream, header: NiftiHeader, first: bytes) -> LoadedImage:
    if not isinstance(stream, Unpacked):
        there = len(first) + os.fstat(stream.fileno()).st_size - stream.tell()
        if there < header.data_bytes:
            raise _cut_off(path, there, header)
    try:
        array, finite, surplus = _voxels(path, stream, header, first)
    except MemoryError as e:
        needed = math.prod(header.shape) * 4 / GIB
        raise InputError(f"{path}: there is no memory for its voxels, about {needed:.1f} GiB") from e
    surplus = require_no_more(path, stream, surplus, header.data_bytes)
    if isinstance(stream, Unpacked) and stream.left_over:
        raise InputError(
            f"{path}: {stream.left_over} bytes follow its compressed data and belong to nothing; copy it again"
        )
    notes = header.notes
    if surplus:
        notes = (*notes, f"{path}: {surplus} bytes follow its voxels and were not read")
    return LoadedImage(
        array=array,
        geometry=header.geometry,
        frames=header.frames,
        metadata={},
        finite=finite,
        step=abs(header.scale[0]) if header.scale and header.dtype.kind != "f" else 0.0,
        notes=notes,
    )


def _voxels(path: Path, stream: Stream, header: NiftiHeader, block: bytes) -> tuple[NDArray[Any], bool, int]:
    """Values of all voxels, whether none is NaN or infinite, and how many bytes were read too far.

    `block` is what of them was read already.
    """
    values = np.empty(math.prod(header.shape), _value_type(header))
    size, done, finite = header.dtype.itemsize, 0, True
    while done < values.size:
        if len(block) < size:
            more = stream.read(min(CHUNK, (values.size - done) * size))
            if not more:
                raise _cut_off(path, done * size + len(block), header)
            block += more
        count = min(len(block) // size, values.size - done)
        stored: NDArray[Any] = np.frombuffer(block, header.dtype, count)
        here = values[done : done + count]
        if header.scale is None:
            here[...] = stored
        else:
            here[...] = stored.astype(np.float64) * header.scale[0] + header.scale[1]
        if values.dtype.kind == "f":
            finite = finite and bool(np.isfinite(here).all())
        block, done = block[count * size :], done + count
    return values.reshape(header.shape), finite, len(block)


def _value_type(header: NiftiHeader) -> np.dtype[Any]:
    """Type of the values: as stored; of scaled ones 32-bit floats, as others read them, where these hold them."""
    if header.scale is None:
        return header.dtype.newbyteorder("=")
    slope, inter = (abs(v) for v in header.scale)
    small = header.dtype.itemsize < 8 or header.dtype.kind != "f"
    return np.dtype(np.float32 if small and 1 / FITS_FLOAT32 < slope < FITS_FLOAT32 > inter else np.float64)


def _cut_off(path: Path, there: int, header: NiftiHeader) -> InputError:
    return InputError(f"{path}: is cut off, {there} of {header.data_bytes} bytes of voxels are there; copy it again")
