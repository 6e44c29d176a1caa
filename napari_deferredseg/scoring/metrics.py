"""How well one mask agrees with another, per label and over labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.volume import Array

    Distances = tuple[NDArray[np.float64], NDArray[np.float64]]

DEFINITIONS: dict[str, str] = {
    "Dice, IoU": (
        "per label; the figure of a case is the mean over the labels present in the truth or in the mask. Two empty "
        "masks agree: 1. One empty mask: 0."
    ),
    "Sensitivity": (
        "share of the truth that is found, mean over the labels present in the truth. Undefined, and left out of "
        "means, where the truth is empty."
    ),
    "HD95": (
        "95th percentile of the distances from each surface to the other, the larger of both directions, mm; within "
        "the plane for flat images; mean over labels as for Dice. Two empty masks: 0 mm. One empty mask: the diagonal "
        "of the image."
    ),
    "NSD": (
        "normalised surface Dice at a tolerance (Nikolov et al. 2018): (|S within t of M| + |M within t of S|) / "
        "(|S| + |M|), S and M the surface voxels of truth and mask as for HD95, each counted once, t in mm (in "
        "metrics.json); a voxel right at t is within. Mean over labels as for Dice. Two empty masks: 1. One: 0."
    ),
}
_HAIR = 1e-6  # mm: a distance of 3 x 0.7 is 2.1


def confusion(truth: Array, mask: Array, classes: int) -> NDArray[np.int64]:
    """Count voxels by label.

    Parameters
    ----------
    truth, mask : int, same shape
        Values 0 to `classes` - 1.

    Returns
    -------
    (classes, classes) int64
        Rows are the truth, columns the mask.
    """
    code = truth.ravel().astype(np.intp) * classes + mask.ravel()
    return np.bincount(code, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def dice_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice of each label but 0, from a confusion (C, C): (C - 1,), nan for a label that is in neither mask."""
    both, truth, mask = _sizes(counts)
    return _ratio(2 * both, truth + mask)


def iou_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each label but 0, as `dice_of`."""
    both, truth, mask = _sizes(counts)
    return _ratio(both, truth + mask - both)


def sensitivity_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share found of each label but 0, (C - 1,), nan for a label that the truth does not have."""
    both, truth, _ = _sizes(counts)
    return _ratio(both, truth)


def mean_of(values: NDArray[np.float64], empty: float) -> float:
    """Mean of the values that are defined, `empty` when none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else empty


def dice(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Dice of two bool masks of one shape, see `DEFINITIONS`."""
    return mean_of(dice_of(confusion(truth, mask, 2)), 1.0)


def iou(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of two bool masks of one shape, see `DEFINITIONS`."""
    return mean_of(iou_of(confusion(truth, mask, 2)), 1.0)


def sensitivity(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Share of the truth that a mask of the same shape finds, nan where the truth is empty."""
    return mean_of(sensitivity_of(confusion(truth, mask, 2)), float("nan"))


def hd95(truth: NDArray[np.bool_], mask: NDArray[np.bool_], spacing_zyx: Vector) -> float:
    """95th percentile Hausdorff distance of two masks (z, y, x), mm, see `DEFINITIONS`."""
    apart = surface_distances(surface(truth, spacing_zyx), surface(mask, spacing_zyx))
    return hd95_of(apart, diagonal(truth, spacing_zyx))


def nsd(
    truth: NDArray[np.bool_], mask: NDArray[np.bool_], spacing_zyx: Vector, tolerance_mm: float = TOLERANCE_MM
) -> float:
    """Normalised surface Dice of two masks (z, y, x) at a tolerance in mm, 0 to 1, see `DEFINITIONS`."""
    return nsd_of(surface_distances(surface(truth, spacing_zyx), surface(mask, spacing_zyx)), tolerance_mm)


def surface(mask: NDArray[np.bool_], spacing_zyx: Vector) -> NDArray[np.float64]:
    """Positions (n, 3) in mm of the voxels of (z, y, x) that have a face neighbour outside.

    The outside of the array counts as outside, but not across an axis of one slice.
    """
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3))
    margins = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
    part = np.pad(mask[slices(box)], margins)
    inner = part.copy()
    for axis in np.flatnonzero([m[0] for m in margins]):
        for step in (1, -1):
            inner &= np.roll(part, step, axis=axis)
    corner = np.array([lo - m for (lo, _), (m, _) in zip(box, margins, strict=True)])
    return np.asarray((np.argwhere(part & ~inner) + corner) * np.array(spacing_zyx))


def surface_distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> Distances:
    """How far each point of two surfaces (n, 3) and (m, 3) is from the other, (n,) and (m,) mm.

    Infinite where the other one is empty.
    """
    if not len(first) or not len(second):
        return np.full(len(first), np.inf), np.full(len(second), np.inf)
    there, back = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    return np.asarray(there), np.asarray(back)


def hd95_of(distances: Distances, apart: float) -> float:
    """HD95 of two surfaces, mm; `apart` when only one of them is empty."""
    there, back = distances
    if not len(there) or not len(back):
        return 0.0 if len(there) == len(back) else apart
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def nsd_of(distances: Distances, tolerance_mm: float) -> float:
    """Share of the points of both surfaces that lie within the tolerance of the other, 1 where both are empty."""
    both = np.concatenate(distances)
    return float(np.count_nonzero(both <= tolerance_mm + _HAIR) / both.size) if both.size else 1.0


def diagonal(array: Array, spacing_zyx: Vector) -> float:
    """Distance between opposite corner voxels of (z, y, x), mm."""
    return float(np.linalg.norm((np.array(array.shape) - 1) * np.array(spacing_zyx)))


def _sizes(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return np.diag(counts)[1:], counts.sum(axis=1)[1:], counts.sum(axis=0)[1:]


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
