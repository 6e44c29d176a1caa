"""Why a budget leaves something out, in words that are true of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.routing.atoms import SPECK_VOXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Points = NDArray[np.int32]

NO_ROOM = "for which the budget has no room"
BELOW_THRESHOLD = "in which the map is below the threshold that validation fixed"
EQUAL = 1e-6
"""Values of a map that differ by less are equally high."""

AROUND = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)


def why_of_map(values: NDArray[np.float32], left: NDArray[np.bool_], regions: Sequence[Points], limit: int) -> str:
    """Why a share of voxels leaves out what a map reaches.

    Parameters
    ----------
    values : (z, y, x) float32
        The map.
    left : (z, y, x) bool
        What is left out.
    regions : sequence of (voxels, 3) int32
        What is sent.
    limit : int
        Voxels that the budget pays for.
    """
    if limit < SPECK_VOXELS:
        return f"{NO_ROOM}: it is smaller than the smallest piece that is sent, {SPECK_VOXELS} voxels"
    if not regions:
        return f"{NO_ROOM}: where the map is highest are specks only"
    lowest = min(float(values[tuple(points.T)].min()) for points in regions)
    equal, count = int(np.count_nonzero(left & (values >= lowest - EQUAL))), int(np.count_nonzero(left))
    if not equal:
        return f"{NO_ROOM}: the map is lower there than in the regions"
    if equal == count:
        return f"{NO_ROOM}: it is spent, though the map is equally high there"
    return f"{NO_ROOM}: it is spent, the map is equally high in {equal:,} of them and lower in the others"


def why_specks(unpaid: int, next_piece: str) -> str:
    """Why a budget that also pays for specks, after all else, leaves some out."""
    if unpaid:
        return "far from anything larger, which come last,"
    return f"{NO_ROOM} (the next piece takes {next_piece})"


def ended_specks(specks: Sequence[Points], left: NDArray[np.bool_]) -> int:
    """Voxels of specks that go on in what is left out (26 neighbours), so that the budget makes them specks."""
    if not specks:
        return 0
    at = np.concatenate(specks)
    near = np.clip(at[:, None] + AROUND, 0, np.array(left.shape) - 1)
    touches = left[tuple(np.moveaxis(near, -1, 0))].any(axis=1)
    owner = np.repeat(np.arange(len(specks)), [len(points) for points in specks])
    return sum(len(specks[n]) for n in np.unique(owner[touches]))
