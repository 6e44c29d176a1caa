"""What the header of a file says that ITK does not pass on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """Facts of a header.

    Attributes
    ----------
    orientation_known : bool
        Whether it says how the axes lie in the patient.
    volumes : bool
        Whether the values of a voxel are volumes of a series rather than channels of one image.
    detached : Path or None
        Name of the file with the voxels, relative to the header's folder, where that is another file.
    notes : tuple of str
        What was decided that the file left open.
    """

    orientation_known: bool = False
    volumes: bool = False
    detached: Path | None = None
    notes: tuple[str, ...] = ()


def numbers(path: Path, name: str, words: Iterable[str]) -> list[float]:
    """Read the numbers of a header's field.

    Raises
    ------
    InputError
        One of them is none.
    """
    plain = list(words)
    try:
        return [float(word) for word in plain]
    except ValueError as e:
        raise InputError(f"{path}: {name} = {' '.join(plain)} in its header is not a list of numbers") from e


def axis_lengths(path: Path, name: str, words: Iterable[str]) -> tuple[int, ...]:
    """Read the lengths of all axes.

    Raises
    ------
    InputError
        One is no whole number over 0, or there are none.
    """
    plain = list(words)
    found = numbers(path, name, plain)
    if not found or not all(math.isfinite(n) and n == int(n) and n >= 1 for n in found):
        raise InputError(f"{path}: its size {' '.join(plain)} has an empty axis; there are no voxels to read")
    return tuple(int(n) for n in found)


def require_millimetres(path: Path, units: Iterable[str]) -> None:
    """Check that lengths are millimetres, as far as a header says.

    Raises
    ------
    InputError
        It names another unit.
    """
    other = [
        unit for unit in units if unit.strip('"').casefold() not in ("", "mm", "millimeter", "millimeters", "???", "?")
    ]
    if other:
        raise InputError(f"{path}: its lengths are not in millimetres ({other[0]}); convert it")
