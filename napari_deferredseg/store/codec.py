"""Arrays as bytes: raw values, compressed, with shape, dtype and hash; masks as packed bits."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import Damaged

if TYPE_CHECKING:
    from napari_deferredseg.core.geometry import Shape
    from napari_deferredseg.core.volume import Array

MAGIC = b"DSA1"
DTYPES = ("|b1", "|u1", "<u2")
HEAD = struct.Struct("<4sB3I16s")
LARGEST = 2**31


def encode(array: Array) -> bytes:
    """Pack an array.

    Parameters
    ----------
    array : (z, y, x) bool, uint8 or uint16

    Raises
    ------
    ValueError
        Another dtype or number of axes.
    """
    raw = _raw(array)
    return HEAD.pack(MAGIC, _code(array), *array.shape, _hash(raw)) + zlib.compress(raw, 1)


def decode(data: bytes) -> Array:
    """Unpack what `encode` made, same shape and dtype.

    Raises
    ------
    Damaged
        The bytes are cut short, changed, or not ours.
    """
    if len(data) < HEAD.size:
        raise Damaged("too short for an array")
    magic, code, z, y, x, digest = HEAD.unpack_from(data)
    if magic != MAGIC or code >= len(DTYPES):
        raise Damaged("no array of ours")
    dtype, shape = np.dtype(DTYPES[code]), (z, y, x)
    raw = _inflate(data[HEAD.size :], _raw_size(shape, dtype))
    if _hash(raw) != digest:
        raise Damaged("the values do not match their hash")
    if dtype == np.bool_:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=z * y * x)
        return bits.view(np.bool_).reshape(shape)
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def fingerprint(array: Array) -> str:
    """SHA-256 of dtype, shape and values of a bool, uint8 or uint16 array (z, y, x)."""
    head = f"{DTYPES[_code(array)]} {tuple(map(int, array.shape))} ".encode()
    return hashlib.sha256(head + _raw(array)).hexdigest()


def _code(array: Array) -> int:
    name = array.dtype.newbyteorder("<").str
    if array.ndim != 3 or name not in DTYPES:
        raise ValueError(f"a {array.dtype} array {array.shape} is neither a mask nor a label crop")
    return DTYPES.index(name)


def _raw(array: Array) -> bytes:
    if array.dtype == np.bool_:
        return np.packbits(array, axis=None).tobytes()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _raw_size(shape: Shape, dtype: np.dtype[np.generic]) -> int:
    voxels = shape[0] * shape[1] * shape[2]
    size = (voxels + 7) // 8 if dtype == np.bool_ else voxels * dtype.itemsize
    if size > LARGEST:
        raise Damaged(f"an array of {shape} voxels is no crop")
    return size


def _inflate(data: bytes, size: int) -> bytes:
    # Bounded, so that a few forged bytes cannot fill the memory.
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise Damaged(str(error)) from error
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise Damaged("the values do not fill their shape")
    return raw


def _hash(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()
