"""Window and level: which intensities are shown from black to white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

WINDOWS: dict[str, tuple[float, float]] = {
    "CT soft tissue": (40, 400),
    "CT lung": (-600, 1500),
    "CT bone": (400, 1800),
    "CT brain": (40, 80),
    "CT liver": (60, 160),
}
"""Level and width of each preset, HU."""

PERCENTILES = "MR"
FULL = "full range"
PRESETS: tuple[str, ...] = (*WINDOWS, PERCENTILES, FULL)

_SAMPLES = 1_000_000


def first_window(array: NDArray[Any], modality: str = "") -> str:
    """Name of the preset to open an image with: soft tissue for CT, percentiles for the rest."""
    return "CT soft tissue" if modality == "CT" or (not modality and _looks_like_hounsfield(array)) else PERCENTILES


def contrast_limits(array: NDArray[Any], preset: str) -> tuple[float, float]:
    """Lowest and highest intensity that a preset shows of an image (any shape and real dtype).

    Raises
    ------
    InputError
        No preset has this name.
    """
    if preset in WINDOWS:
        level, width = WINDOWS[preset]
        return level - width / 2, level + width / 2
    if preset == PERCENTILES:
        some = _sample(array)
        body = some[some > some.min()] if some.size else some
        return _increasing(*np.percentile(body, (1, 99))) if body.size else _increasing(*_extremes(array))
    if preset == FULL:
        return _increasing(*_extremes(array))
    raise InputError(f"no window is called {preset!r}; known windows: {', '.join(PRESETS)}")


def apply_window(layer: Image, preset: str) -> None:
    """Show an image layer in a preset window.

    Raises
    ------
    InputError
        No preset has this name.
    """
    layer.contrast_limits = contrast_limits(layer.data, preset)


def moved_window(limits: tuple[float, float], right: float, up: float, unit: float) -> tuple[float, float]:
    """Contrast limits after a drag: to the right widens the window, upwards brightens the picture.

    `right` and `up` are canvas pixels, `unit` is intensities a pixel.
    """
    low, high = limits
    level, width = (low + high) / 2 - up * unit, max(high - low + right * unit, unit)
    return level - width / 2, level + width / 2


def _looks_like_hounsfield(array: NDArray[Any]) -> bool:
    low, high = _extremes(_sample(array))
    return -4096 <= low <= -500 and 150 <= high <= 32767


def _sample(array: NDArray[Any]) -> NDArray[Any]:
    """Some finite voxels, at regular steps: a window needs no more."""
    step = max(1, round((array.size / _SAMPLES) ** (1 / array.ndim)))
    some = np.asarray(array[(slice(None, None, step),) * array.ndim])
    finite: NDArray[Any] = some[np.isfinite(some)]
    return finite


def _extremes(array: NDArray[Any]) -> tuple[float, float]:
    if array.dtype.kind == "f":
        array = array[np.isfinite(array)]
    return (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)


def _increasing(low: float, high: float) -> tuple[float, float]:
    return float(low), float(high) if high > low else float(low) + 1.0
