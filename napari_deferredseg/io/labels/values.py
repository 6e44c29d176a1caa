"""From the values of a file to labels: whole numbers from 0 to 65535."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.labels.tables import LARGEST

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.volume import Array

ROUNDING = 1e-4
RELATIVE_ROUNDING = 2.5e-7
FARTHEST = 0.25
"""From a whole number, from where on a stored scaled value could be meant for either neighbour."""


def as_labels(path: Path, array: Array, step: float) -> tuple[Array, tuple[str, ...]]:
    """Take the values of a file for labels.

    Parameters
    ----------
    array : (z, y, x)
        Finite values of any real type.
    step : float
        Distance of two neighbouring values of a file that stores scaled whole numbers; else 0.

    Returns
    -------
    array : (z, y, x) uint8 or uint16
        As given, or the smaller type that holds the values.
    notes : tuple of str
        What was rounded.

    Raises
    ------
    InputError
        Fractional, negative or too large values.
    """
    if array.dtype in (np.uint8, np.uint16):
        return array, ()
    off = _check_whole(path, array, step) if array.dtype.kind == "f" else 0.0
    low, high = (np.rint(v) if off else v for v in (array.min(), array.max()))
    if low < 0:
        raise InputError(f"{path}: {low:g} is no label; this looks like probabilities or an image")
    if high > LARGEST:
        raise InputError(f"{path}: the label {high:.12g} is larger than {LARGEST}; renumber the labels")
    labels = np.empty(array.shape, np.uint8 if high <= 255 else np.uint16)
    for plane, values in zip(labels, array, strict=True):
        plane[...] = np.rint(values) if off else values
    if not off:
        return labels, ()
    why = f"its labels are stored scaled, in steps of {step:.3g}" if step else "its labels are stored as fractions"
    return labels, (f"{path}: {why}; values up to {off:.2g} off were taken as whole numbers",)


def _check_whole(path: Path, array: Array, step: float) -> float:
    """Largest distance of a value from a whole number."""
    # Steps of 1 and more could not have held the labels in the first place.
    worst, slack = 0.0, max(ROUNDING, min(step, FARTHEST) if step < 1 else 0.0)
    for plane in array:
        distance = np.abs(plane - np.rint(plane))
        allowed = slack + RELATIVE_ROUNDING * np.abs(plane)
        wrong = distance > allowed
        if wrong.any():
            raise InputError(f"{path}: {_digits(_first(plane, wrong))} is no label{_hint(step)}")
        worst = max(worst, float(distance.max()))
    return worst


def _hint(step: float) -> str:
    if step:
        return f"; the file stores scaled numbers, in steps of {step:.3g} (scl_slope): save whole numbers, unscaled"
    return "; this looks like probabilities or an image"


def _first(array: Array, where: Array) -> Any:
    """First value where a mask holds."""
    return array[np.unravel_index(int(where.argmax()), where.shape)]


def _digits(value: Any) -> str:
    """As many digits as tell the value from its neighbours."""
    return np.format_float_positional(value, unique=True, trim="-")
