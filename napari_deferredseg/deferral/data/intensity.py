"""Grey values as the networks get them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array


def normalised(
    channels: Array, intensity: Literal["z-score", "window"], window: tuple[float, float]
) -> NDArray[np.float32]:
    """Scale an image (C, z, y, x) to float32.

    "z-score" gives each channel mean 0 and standard deviation 1; "window" maps the window's ends (for CT in HU) to -1
    and 1 and cuts what is beyond. Voxels that are not finite count as the darkest of
    their channel.
    """
    array = finite(channels)
    axes = tuple(range(1, array.ndim))
    if intensity == "window":
        low, high = window
        return np.asarray(np.clip((array - low) / (high - low) * 2 - 1, -1, 1), np.float32)
    mean = array.mean(axis=axes, keepdims=True, dtype=np.float64)
    deviation = array.std(axis=axes, keepdims=True, dtype=np.float64)
    return np.asarray((array - mean) / np.maximum(deviation, 1e-6), np.float32)


def finite(channels: Array) -> NDArray[np.float32]:
    """Copy of an image (C, z, y, x) as float32, where voxels that are not finite are the darkest of their channel."""
    array = channels.astype(np.float32)
    known = np.isfinite(array)
    if not known.all():
        darkest = np.where(known, array, np.inf).min(axis=tuple(range(1, array.ndim)), keepdims=True)
        array = np.where(known, array, np.where(np.isfinite(darkest), darkest, 0))
    return np.asarray(array, np.float32)
