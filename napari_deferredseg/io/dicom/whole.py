"""Whether a series is whole at its ends, as far as its files tell; in between, positions tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.io.dicom.tags import Slice

OF_A_VOLUME = ("NumberOfSlices", "NumberOfFrames", "Philips (2001,1018)", "GE (0021,104F)")
"""Tags that count the slices of one volume; the others may count those of several phases."""


def check_whole(source: Path, ordered: Sequence[Slice], step: float, listed: bool) -> tuple[str, ...]:
    """Check what the files state about how many they are.

    Parameters
    ----------
    ordered : sequence of Slice
        By position, evenly spaced.
    step : float
        Their distance, mm.
    listed : bool
        Whether a table of contents lists them, all of them here.

    Returns
    -------
    tuple of str
        Sentences on what stays open.

    Raises
    ------
    InputError
        A tag states more slices than there are, or the instance numbers show that some are missing.
    """
    n = len(ordered)
    stated = [(count, tag, s) for s in ordered for tag, count in s.counts]
    for count, tag, s in sorted(stated, key=lambda t: -t[0]):
        if count > n and (tag in OF_A_VOLUME or count % n):
            raise InputError(
                f"{source}: slices are missing, {s.name} states {count} ({tag}), {n} are here; copy the whole series"
            )
    notes = [*_by_numbers(source, ordered, step)]
    more = max((t for t in stated if t[0] > n), key=lambda t: t[0], default=None)
    images = f"{source.name}: {n} slice{'' if n == 1 else 's'}"
    if listed:
        return tuple(notes)
    if more is not None:
        notes.insert(
            0, f"{images}, the series states {more[0]} images ({more[1]}): several phases, or some are missing"
        )
    elif not any(count == n for count, _, _ in stated):
        notes.insert(0, f"{images}, the series does not state its length")
    return tuple(notes)


def _by_numbers(source: Path, ordered: Sequence[Slice], step: float) -> tuple[str, ...]:
    """Judge by the instance numbers, where every slice has one of its own."""
    given = [s.instance_number for s in ordered]
    numbers = np.array([v for v in given if v is not None])
    if len(numbers) < len(given) or len(set(given)) < len(given):
        return ()
    by_number = sorted(ordered, key=lambda s: s.instance_number or 0)
    rising, steps = np.sort(numbers), np.diff(np.sort(numbers))
    stride = int(steps[0]) if len(steps) > 1 and (steps == steps[0]).all() else 1
    in_order = bool((np.diff(numbers) > 0).all() or (np.diff(numbers) < 0).all())
    gaps = np.flatnonzero(steps > stride)
    if gaps.size and (not in_order or len(ordered) == 2):
        a, b = by_number[int(gaps[0])], by_number[int(gaps[0]) + 1]
        raise InputError(
            f"{source}: slices are missing, instance numbers jump from {a.instance_number} ({a.name}) to "
            f"{b.instance_number} ({b.name}); copy the whole series"
        )
    apart = ordered[0].apart
    if stride > 1 and apart > 0 and abs(step - stride * apart) < 0.01 * apart:
        raise InputError(
            f"{source}: slices are missing, every {stride}. is here: instance numbers go by {stride}, and "
            f"{ordered[0].name} states a distance of {apart:g} mm where it is {step:.4g}; copy the whole series"
        )
    before = (int(rising[0]) - 1) // stride
    if before > 0 and before % len(ordered):
        raise InputError(
            f"{source}: slices are missing, instance numbers begin at {rising[0]} ({by_number[0].name}); "
            "copy the whole series, or convert what is here with dcm2niix"
        )
    if before > 0:
        return (f"{source.name}: instance numbers begin at {rising[0]}; taken to be a later phase of its series",)
    return ()
