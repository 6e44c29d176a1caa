"""One numbering for the labels of several cases: what has the same name is the same class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError

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


def require_named(tables: Mapping[str, LabelTable], remedy: str) -> None:
    """Check that no case of a data set has names for its labels where another has none.

    Parameters
    ----------
    tables : mapping of case key to LabelTable
    remedy : str
        What else to do, the end of the line.

    Raises
    ------
    InputError
        Some have and some have not: nobody knows which labels are the same.
    """
    named = [key for key, table in tables.items() if any(table.is_named(x.value) for x in table.labels)]
    nameless = [key for key, table in tables.items() if table.labels and key not in named]
    if named and nameless:
        known = tables[named[0]]
        label = next(x for x in known.labels if known.is_named(x.value))
        raise InputError(
            f"label {label.value} is {label.name!r} in {named[0]}, and the labels of {nameless[0]} have no names: put "
            f"a table of names beside its mask and run it again, or {remedy}"
        )


def require_one_numbering(tables: Mapping[str, LabelTable], remedy: str) -> None:
    """Check that in all cases of a data set a value has one name, and a name one value. As `require_named`."""
    names: dict[int, tuple[str, str]] = {}
    values: dict[str, tuple[set[int], str]] = {}
    for key, table in tables.items():
        own: dict[str, set[int]] = {}
        for label in table.labels:
            own.setdefault(label.name.casefold(), set()).add(label.value)
            name, case = names.setdefault(label.value, (label.name, key))
            if name.casefold() != label.name.casefold():
                raise InputError(f"label {label.value} is {name!r} in {case} and {label.name!r} in {key}: {remedy}")
        for name, has in own.items():
            had, case = values.setdefault(name, (has, key))
            if had != has:
                earlier, tells = (", ".join(map(str, sorted(x))) for x in (had, has))
                raise InputError(f"{name!r} is label {earlier} in {case} and label {tells} in {key}: {remedy}")


def renumbered(labels: Array, numbers: Mapping[int, int], highest: int) -> Array:
    """Label map (z, y, x) uint8 or uint16 with each value replaced by its number, or by 0 where it has none.

    The result is uint8, or uint16 when `highest` needs it.
    """
    lookup = np.zeros(int(np.iinfo(labels.dtype).max) + 1, np.uint8 if highest <= 255 else np.uint16)
    lookup[list(numbers)] = list(numbers.values())
    result: Array = lookup[labels]
    return result
