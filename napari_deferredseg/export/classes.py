"""One numbering for the labels of several cases: what has the same name is the same class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_deferredseg.core.volume import Array, LabelTable

RESERVED = frozenset({"background", "ignore"})


@dataclass(frozen=True)
class Classes:
    """Classes 1, 2, ... by name; 0 is background."""

    names: tuple[str, ...]

    def numbers(self, names: Mapping[int, str]) -> dict[int, int]:
        """Class of each label value of a case, by the names that `class_names` gave it."""
        known = {name.casefold(): number for number, name in enumerate(self.names, start=1)}
        return {value: known[name.casefold()] for value, name in names.items()}


def class_names(table: LabelTable, present: Iterable[int]) -> dict[int, str]:
    """Name of each label that is present, unlike every other of the table and unlike "background" and "ignore".

    Where a name would not do, the value is added to it: "ignore (3)". Capitals make no difference.
    """
    values = sorted({int(v) for v in present if v})
    names = {x.value: x.name for x in table.completed(values).labels}
    while clash := {n for n, count in Counter(map(str.casefold, names.values())).items() if count > 1 or n in RESERVED}:
        names = {v: f"{name} ({v})" if name.casefold() in clash else name for v, name in names.items()}
    return {v: names[v] for v in values}


def number_classes(cases: Iterable[Mapping[int, str]]) -> Classes:
    """Number the classes of all cases, in the order of their smallest label value, then of their names.

    The order in which the cases are given does not matter.
    """
    first: dict[str, tuple[int, str]] = {}
    for names in cases:
        for value, name in names.items():
            first[name.casefold()] = min(first.get(name.casefold(), (value, name)), (value, name))
    return Classes(names=tuple(name for _, name in sorted(first.values())))


def renumbered(labels: Array, numbers: Mapping[int, int], highest: int) -> Array:
    """Label map (z, y, x) uint8 or uint16 with each value replaced by its number, or by 0 where it has none.

    The result is uint8, or uint16 when `highest` needs it.
    """
    lookup = np.zeros(int(np.iinfo(labels.dtype).max) + 1, np.uint8 if highest <= 255 else np.uint16)
    lookup[list(numbers)] = list(numbers.values())
    result: Array = lookup[labels]
    return result
