"""From the numbers of an image to its values: slope x number + intercept, in the smallest type that holds them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.dicom.tags import Stored

INT32, UINT32 = np.iinfo(np.int32), np.iinfo(np.uint32)


def number_type(stored: Stored) -> np.dtype[Any]:
    """Type of the numbers as stored."""
    return np.dtype(f"{'i' if stored.signed else 'u'}{stored.bits[0] // 8}")


def value_type(stored: Stored) -> np.dtype[Any]:
    """Type of the values.

    That of the numbers where nothing is rescaled; else the smallest whole-number type for all that the bits can hold,
    or float64 where slope or intercept have a fraction or 32 bits are too few. It depends on the header alone.
    """
    if stored.rescale is None or stored.rescale == (1, 0):
        return number_type(stored)
    slope, intercept = stored.rescale
    if slope != int(slope) or intercept != int(intercept):
        return np.dtype(np.float64)
    kept = stored.bits[1]
    ends = (-(2 ** (kept - 1)), 2 ** (kept - 1) - 1) if stored.signed else (0, 2**kept - 1)
    low, high = sorted(int(slope) * end + int(intercept) for end in ends)
    if low < INT32.min or high > (UINT32.max if low >= 0 else INT32.max):
        return np.dtype(np.float64)
    types = (np.uint8, np.uint16, np.uint32) if low >= 0 else (np.int8, np.int16, np.int32)
    return np.dtype(next(t for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max))


def values(numbers: Array, stored: Stored) -> Array:
    """Values of stored numbers, in `value_type`; MONOCHROME1 or 2 does not matter, it tells how to show them."""
    kind = value_type(stored)
    if stored.rescale is None or stored.rescale == (1, 0):
        return numbers.astype(kind, copy=False)
    slope, intercept = stored.rescale
    if kind.kind == "f":
        return numbers * slope + intercept
    fits = slope == 1 and kind != np.uint32 and stored.bits[1] < 32
    wide: Array = numbers.astype(np.int32 if fits else np.int64)
    if slope != 1:
        np.multiply(wide, int(slope), out=wide)
    np.add(wide, int(intercept), out=wide)
    return wide.astype(kind, copy=False)


def without_unused_bits(numbers: Array, stored: Stored) -> Array:
    """Numbers without what lies in bits above theirs (overlays in old files)."""
    allocated, kept, _ = stored.bits
    if kept == allocated:
        return numbers
    unsigned = numbers.view(f"u{allocated // 8}") << (allocated - kept)
    own: Array = unsigned.view(number_type(stored)) >> (allocated - kept)
    return own
