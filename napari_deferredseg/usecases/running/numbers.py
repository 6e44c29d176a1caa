"""What is said of two masks whose label numbers do not, or may not, mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.masks.numbering import compare_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deferredseg.core.volume import LabelMap, LabelTable
    from napari_deferredseg.masks.numbering import Numbering, Twin

TOLD = 6
"""Pairs of numbers that one sentence names."""
MOSTLY = 0.5


def number_notes(first: LabelMap, other: LabelMap) -> tuple[str, ...]:
    """Compare the numbers of two masks on one grid.

    Returns
    -------
    tuple of str
        Sentences, mostly none: a number with two names, no number in common, structures that differ by number
        alone, also where the tables agree: left and right are exchanged that way.

    Raises
    ------
    InputError
        Nothing could come of comparing them: no number is in both, and half or more of the first mask is drawn in the
        other too, under a number that no name tells from its own.
    """
    found = compare_numbers(first.array, other.array)
    twins = tuple(t for t in found.twins if not _one_numbering(t, first.table, other.table))
    here, there = _short_names(first, other)
    if found.nothing_in_common:
        unnamed = sum(t.voxels for t in twins if not _named_apart(t, first.table, other.table))
        if unnamed >= MOSTLY * sum(found.here.values()):
            raise InputError(
                f"{other.source} and {first.source} have no label in common, and draw the same under other numbers: "
                f"{_pairs(twins, first.table, other.table, here, there)}; number the labels alike"
            )
    return (
        *_two_names(found, first.table, other.table, here, there),
        *_nothing_in_common(found, here, there),
        *_twins(found.twins, first.table, other.table, here, there),
    )


def _two_names(found: Numbering, first: LabelTable, other: LabelTable, here: str, there: str) -> Iterator[str]:
    for value in sorted(found.here.keys() & found.there.keys()):
        names = first.name(value), other.name(value)
        if first.is_named(value) and other.is_named(value) and names[0].casefold() != names[1].casefold():
            yield f"Label {value} is {names[0]!r} in {here} and {names[1]!r} in {there}: the first name is kept."


def _nothing_in_common(found: Numbering, here: str, there: str) -> Iterator[str]:
    if found.nothing_in_common:
        yield (
            f"{here} and {there} have no label in common ({_listed(found.here)} against {_listed(found.there)}): all "
            "that either draws counts as disagreement."
        )


def _twins(twins: tuple[Twin, ...], first: LabelTable, other: LabelTable, here: str, there: str) -> Iterator[str]:
    if twins:
        yield (
            f"Whole structures differ by number alone: {_pairs(twins, first, other, here, there)}. If the same is "
            "meant, number the labels alike and run again: else all of it counts as disagreement."
        )


def _pairs(twins: tuple[Twin, ...], first: LabelTable, other: LabelTable, here: str, there: str) -> str:
    said = [f"{_label(t.value, first)} of {here} is {_label(t.other, other)} of {there}" for t in twins[:TOLD]]
    return ", ".join(said) + (f" and {len(twins) - TOLD} more" if len(twins) > TOLD else "")


def _one_numbering(twin: Twin, first: LabelTable, other: LabelTable) -> bool:
    """Whether both tables name one of the two numbers, and alike: then the masks differ in what they say."""
    return any(
        first.is_named(v) and other.is_named(v) and first.name(v).casefold() == other.name(v).casefold()
        for v in (twin.value, twin.other)
    )


def _named_apart(twin: Twin, first: LabelTable, other: LabelTable) -> bool:
    """Whether both masks say what they have drawn, and say another thing."""
    return first.is_named(twin.value) and other.is_named(twin.other)


def _label(value: int, table: LabelTable) -> str:
    return f"label {value} ({table.name(value)})" if table.is_named(value) else f"label {value}"


def _listed(values: dict[int, int]) -> str:
    some = [str(v) for v in sorted(values)]
    return ", ".join(some[:TOLD]) + (", ..." if len(some) > TOLD else "")


def _short_names(first: LabelMap, other: LabelMap) -> tuple[str, str]:
    """Names of two files, as short as tells them apart."""
    here, there = Path(first.source).name, Path(other.source).name
    return (here, there) if here != there else (first.source, other.source)
