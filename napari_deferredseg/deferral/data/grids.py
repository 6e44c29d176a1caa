"""From the grid of an image to the one a model works on, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from napari_deferredseg.core.geometry import Geometry, Shape, Vector
    from napari_deferredseg.core.volume import Array


def model_geometry(geometry: Geometry, wanted_zyx: Vector | None) -> Geometry:
    """Grid over the same box with voxels of about the wanted size (z, y, x), mm; a single slice stays one."""
    if wanted_zyx is None:
        return geometry
    old, spacing = geometry.shape, geometry.spacing_zyx
    shape = tuple(max(round(n * s / w), 1) if n > 1 else n for n, s, w in zip(old, spacing, wanted_zyx, strict=True))
    size = tuple(s * n / m for s, n, m in zip(spacing, old, shape, strict=True))
    shift = [(new - own) / 2 for new, own in zip(size[::-1], geometry.spacing, strict=True)]
    origin = np.array(geometry.origin) + np.array(geometry.direction) @ shift
    return geometry.model_copy(update={"shape": shape, "spacing": size[::-1], "origin": tuple(origin.tolist())})


def resampled(array: Array, shape: Shape) -> Array:
    """Resample the last three axes onto another number of voxels in the same box.

    Floating-point arrays are interpolated linearly, averaging where the grid gets coarser; integers and booleans take
    the nearest voxel. The dtype stays.
    """
    if array.shape[-3:] == shape:
        return array
    lead = array.shape[:-3]
    tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32)).reshape(1, -1, *array.shape[-3:])
    coarser = all(m <= n for n, m in zip(array.shape[-3:], shape, strict=True))
    mode = ("area" if coarser else "trilinear") if array.dtype.kind == "f" else "nearest-exact"
    tensor = functional.interpolate(tensor, size=shape, mode=mode)
    return np.asarray(tensor.reshape(*lead, *shape).numpy().astype(array.dtype))
