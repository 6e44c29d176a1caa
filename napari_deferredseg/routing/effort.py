"""How long a reader will need for a region: a declared formula, the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.routing.acquired import Acquired, slice_axis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry, Vector

SECONDS_PER_VISIT = 25.0
"""To jump there, find one's bearings, decide and submit."""

SECONDS_PER_MM = 0.5
"""To look through each millimetre that the region extends across the slices."""

SECONDS_PER_CM2 = 2.0
"""To follow or redraw one square centimetre of its surface: its outlines, each as far as the next slice."""

SECONDS_PER_PICTURE = 27.5
"""On an image of a single slice: to find one's bearings, look, decide and submit."""

SECONDS_PER_CM = 1.0
"""On an image of a single slice: to follow or redraw one centimetre of the outline."""


@dataclass(frozen=True)
class Pace:
    """Seconds for what a region has on one grid: for the visit, for each slice, for each mm of outline on a slice."""

    visit: float
    slice: float
    outline_mm: float

    def minutes(self, slices: int, outline_mm: float) -> float:
        """Minutes for a region on so many slices with outlines of that length (all slices together, mm)."""
        return (self.visit + self.slice * slices + self.outline_mm * outline_mm) / 60


def pace(geometry: Geometry) -> Pace:
    """Pace on a grid: by millimetres across slices and surface, so that finer storage does not cost a reader time."""
    across = slice_axis(geometry)
    if geometry.shape[across] == 1:
        return Pace(SECONDS_PER_PICTURE, 0.0, SECONDS_PER_CM / 10)
    distance = geometry.spacing_zyx[across]
    return Pace(SECONDS_PER_VISIT, SECONDS_PER_MM * distance, SECONDS_PER_CM2 * distance / 100)


def estimated_minutes(mask: NDArray[np.bool_], geometry: Geometry) -> float:
    """Estimate the reading time of a region: a fixed part, one for its extent, one for its surface.

    Parameters
    ----------
    mask : (dz, dy, dx) bool
        The region, axes as in the geometry.
    geometry : Geometry
        Grid that it is a crop of; an image of one slice is read as a picture.

    Returns
    -------
    float
        Minutes. Nothing is learned from how long anybody took.
    """
    acquired = Acquired.of(geometry)
    mask = acquired.array(mask)
    slices = int(mask.any(axis=(1, 2)).sum())
    return pace(geometry).minutes(slices, outline_mm(mask, acquired.geometry.spacing_zyx))


def outline_mm(mask: NDArray[np.bool_], spacing_zyx: Vector) -> float:
    """Length of a mask's outlines (dz, dy, dx), summed over its slices, mm.

    Counts the voxel edges and takes off what a staircase is longer than a circle of the same extent (pi / 4).
    """
    count = np.count_nonzero
    across_y = count(mask[:, 1:] != mask[:, :-1]) + count(mask[:, 0]) + count(mask[:, -1])
    across_x = count(mask[:, :, 1:] != mask[:, :, :-1]) + count(mask[:, :, 0]) + count(mask[:, :, -1])
    along_y, along_x = edge_mm(spacing_zyx)
    return across_y * along_y + across_x * along_x


def edge_mm(spacing_zyx: Vector) -> tuple[float, float]:
    """Length of outline, mm, that an edge between two neighbours along y, and one along x, stands for."""
    _, sy, sx = spacing_zyx
    return float(np.pi / 4 * sx), float(np.pi / 4 * sy)
