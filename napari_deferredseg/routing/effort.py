"""How long a reader will need for a region: a declared formula, the same for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector

SECONDS_PER_REGION = 25.0
"""To jump there, find one's bearings, decide and submit."""

SECONDS_PER_SLICE = 2.5
"""To look at each slice that shows the region."""

SECONDS_PER_CM = 1.0
"""To follow or redraw one centimetre of its outline on those slices."""


def estimated_minutes(mask: NDArray[np.bool_], spacing_zyx: Vector) -> float:
    """Estimate the reading time of a region: a fixed part, one for each slice, one for the length of its outlines.

    Parameters
    ----------
    mask : (dz, dy, dx) bool
        The region, slices along the first axis.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.

    Returns
    -------
    float
        Minutes. Nothing is learned from how long anybody took.
    """
    slices = int(mask.any(axis=(1, 2)).sum())
    seconds = SECONDS_PER_REGION + SECONDS_PER_SLICE * slices + SECONDS_PER_CM * outline_mm(mask, spacing_zyx) / 10
    return seconds / 60


def outline_mm(mask: NDArray[np.bool_], spacing_zyx: Vector) -> float:
    """Length of a mask's outlines (dz, dy, dx), summed over its slices, mm.

    Counts the voxel edges and takes off what a staircase is longer than a circle of the same extent (pi / 4).
    """
    _, sy, sx = spacing_zyx
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    across_y = np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    across_x = np.count_nonzero(padded[:, :, 1:] != padded[:, :, :-1])
    return float(np.pi / 4 * (across_y * sx + across_x * sy))
