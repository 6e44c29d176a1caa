"""Axis-aligned boxes of array indices, half open, in array order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_deferredseg.core.geometry import Shape

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def slices(box: Box) -> tuple[slice, slice, slice]:
    """Index of a box, for an array (z, y, x)."""
    (a, b), (c, d), (e, f) = box
    return slice(a, b), slice(c, d), slice(e, f)


def size(box: Box) -> Shape:
    """Shape of a box, in voxels."""
    (a, b), (c, d), (e, f) = box
    return b - a, d - c, f - e


def union(a: Box, b: Box) -> Box:
    """Smallest box that holds both."""
    return _box((min(p[0], q[0]), max(p[1], q[1])) for p, q in zip(a, b, strict=True))


def intersection(a: Box, b: Box) -> Box | None:
    """Common part of both, or None."""
    common = _box((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True))
    return common if all(lo < hi for lo, hi in common) else None


def grown(box: Box, margin: tuple[int, int, int], shape: Shape) -> Box:
    """Box with `margin` voxels more on each side, within an array of `shape`."""
    return _box((max(0, lo - m), min(n, hi + m)) for (lo, hi), m, n in zip(box, margin, shape, strict=True))


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box that holds every true voxel of (z, y, x), or None when there is none."""
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        if hit.size == 0:
            return None
        spans.append((int(hit[0]), int(hit[-1]) + 1))
    return _box(spans)


def within(inner: Box, outer: Box) -> tuple[slice, slice, slice]:
    """Index of `inner` for an array that covers `outer`."""
    return slices(_box((p[0] - q[0], p[1] - q[0]) for p, q in zip(inner, outer, strict=True)))


def _box(spans: Iterable[tuple[int, int]]) -> Box:
    z, y, x = ((int(lo), int(hi)) for lo, hi in spans)
    return z, y, x
