"""Whether label numbers mean the same in two masks, by what is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import Array

ALIKE = 0.8
"""Dice from which on two structures count as one and the same."""


@dataclass(frozen=True)
class Twin:
    """A structure that both masks draw, as `value` here and as `other` there; `voxels` of it here."""

    value: int
    other: int
    dice: float
    voxels: int


@dataclass(frozen=True)
class Numbering:
    """Two masks compared: voxels of each label value in either, and the structures that differ by number alone."""

    here: dict[int, int]
    there: dict[int, int]
    twins: tuple[Twin, ...]

    @property
    def nothing_in_common(self) -> bool:
        """Whether both hold labels, and no value is in both."""
        return bool(self.here) and bool(self.there) and not self.here.keys() & self.there.keys()


def compare_numbers(here: Array, there: Array) -> Numbering:
    """Compare the label values of two masks (z, y, x) on one grid; slice by slice, so that little memory is needed.

    A twin is a structure whose voxels are, with a Dice of 0.8 or more, those of another value of the other mask.
    """
    sizes = int(here.max(initial=0)) + 1, int(there.max(initial=0)) + 1
    counts = [np.zeros(size, np.int64) for size in sizes]
    both: Counter[tuple[int, int]] = Counter()
    for mine, other in zip(here, there, strict=True):
        for count, plane, size in zip(counts, (mine, other), sizes, strict=True):
            count += np.bincount(plane.ravel(), minlength=size)
        where = (mine != other) & (mine > 0) & (other > 0)
        if where.any():
            pairs, often = np.unique(mine[where].astype(np.int64) * sizes[1] + other[where], return_counts=True)
            both.update({divmod(int(p), sizes[1]): int(n) for p, n in zip(pairs, often, strict=True)})
    totals = [{int(v): int(count[v]) for v in np.flatnonzero(count) if v} for count in counts]
    twins = (Twin(a, b, 2 * n / (totals[0][a] + totals[1][b]), totals[0][a]) for (a, b), n in both.items())
    found = sorted((t for t in twins if t.dice >= ALIKE), key=lambda t: t.value)
    return Numbering(totals[0], totals[1], tuple(found))
