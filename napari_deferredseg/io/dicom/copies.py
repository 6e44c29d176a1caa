"""Copies of a slice: proven by their pixels and their place, never by a UID."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.io.dicom.pixels import read_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.io.dicom.coding.decoder import Decoder
    from napari_deferredseg.io.dicom.tags import Slice


def without_copies(slices: Sequence[Slice], decoder: Decoder) -> list[Slice]:
    """Slices, each of them once: the first of those at one place with the same values.

    Slices that state no place are copies only where they also carry one SOPInstanceUID.

    Raises
    ------
    InputError
        Two files may be copies and one cannot be decoded.
    """
    kept: dict[tuple[object, ...], list[Slice]] = {}
    for s in slices:
        here = kept.setdefault(_place(s), [])
        if not any(_same_values(s, other, decoder) for other in here):
            here.append(s)
    wanted = {id(s) for group in kept.values() for s in group}
    return [s for s in slices if id(s) in wanted]


def without_equal_files(slices: Sequence[Slice]) -> list[Slice]:
    """Files with several frames, each of them once: the first of those that are the same to the last byte."""
    kept: list[Slice] = []
    for s in slices:
        alike = (k for k in kept if s.frames > 1 and k.frames == s.frames and k.instance == s.instance)
        if not any(filecmp.cmp(k.path, s.path, shallow=False) for k in alike):
            kept.append(s)
    return kept


def count_once(slices: Sequence[Slice]) -> int:
    """How many slices there are, copies once, as far as headers tell."""
    return len({(*_place(s), s.instance) for s in slices})


def _place(s: Slice) -> tuple[object, ...]:
    return (s.position, s.orientation, s.pixel, s.size) if s.position else (s.instance or s.path, s.size)


def _same_values(a: Slice, b: Slice, decoder: Decoder) -> bool:
    if a.frame is not None or b.frame is not None:
        return False
    x, y = read_values(a, decoder), read_values(b, decoder)
    return x.dtype == y.dtype and np.array_equal(x, y)
