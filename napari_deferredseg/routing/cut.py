"""Which voxels of a deferral map are worth a reader's time, and which label each of them is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_deferredseg.core.boxes import Box, bounding_box, grown, slices
from napari_deferredseg.masks.components import structure_radius
from napari_deferredseg.masks.smoothing import TRUNCATE, smooth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import Array

SIGMAS_PER_RADIUS = 4.0  # a small structure must survive the smoothing
FAINT = 0.01  # what is less adds nothing that a floor would keep


@dataclass(frozen=True)
class SmoothMap:
    """A smoothed deferral map and what it is about.

    Attributes
    ----------
    values : (z, y, x) float32
        0 to 1.
    subject : (z, y, x) uint8 or uint16
        Label with the largest part in the value; 0 where the value is 0, or where nothing names a label.
    sigma_mm : dict of label to float
        Smoothing of each label under review, mm.
    """

    values: NDArray[np.float32]
    subject: Array
    sigma_mm: dict[int, float]


def smooth_map(prediction: Prediction, sigma_mm: float, floor: float) -> SmoothMap:
    """Smooth a deferral map for each label under review: the AI's, or the alternative where it says background.

    The map is the sum of one map for each of these labels, so smoothing them gives the values and their subject at
    once. A label of small structures (lesions) is smoothed by at most a quarter of their radius.
    """
    defer, labels, spacing = prediction.defer, prediction.labels, prediction.geometry.spacing_zyx
    named = np.where(labels > 0, labels, prediction.alternative)
    high = labels > 0
    high |= defer >= floor
    radius = structure_radius(named * high, spacing)
    sigmas = {value: min(sigma_mm, r / SIGMAS_PER_RADIUS) for value, r in radius.items()}
    values, most, subject = np.zeros_like(defer), np.zeros_like(defer), np.zeros_like(named)
    reach = [int(TRUNCATE * sigma_mm / s + 1) for s in spacing]
    seen = np.where(defer > FAINT, defer, 0)
    for value, box in _extents(named, seen > 0):
        crop = slices(grown(box, (reach[0], reach[1], reach[2]), prediction.geometry.shape))
        raw = (named[crop] == value) * seen[crop]
        own = smooth(raw, spacing, sigmas.setdefault(value, sigma_mm))
        values[crop] += own
        wins = own > most[crop]
        np.copyto(most[crop], own, where=wins)
        subject[crop][wins] = value
    return SmoothMap(np.minimum(values, 1, out=values), subject, sigmas)


def pair_codes(prediction: Prediction) -> tuple[Array, list[int]]:
    """Number the pairs of labels in which masks differ.

    Returns
    -------
    codes : (dz, dy, dx) uint8, uint16 or uint32
        The crop that holds all of them. A number from 1 for each pair of the mask's label and the one most voted for
        against it; 0 where nobody does.
    corner : list of int
        Index of the crop's first voxel.
    """
    differs = prediction.defer > 0
    box = bounding_box(differs) or ((0, 1), (0, 1), (0, 1))
    crop = slices(box)
    labels, other, differs = prediction.labels[crop], prediction.alternative[crop], differs[crop]
    pairs = [_pairs(a, b, where) for a, b, where in zip(labels, other, differs, strict=True)]
    known = np.unique(np.concatenate(pairs))
    codes = np.zeros(differs.shape, np.min_scalar_type(len(known) + 1))
    for code, where, found in zip(codes, differs, pairs, strict=True):
        code[where] = np.searchsorted(known, found) + 1
    return codes, [low for low, _ in box]


def _pairs(labels: Array, other: Array, where: NDArray[np.bool_]) -> Array:
    return labels[where].astype(np.uint32) << 16 | other[where].astype(np.uint32)


def _extents(named: Array, where: NDArray[np.bool_]) -> Iterator[tuple[int, Box]]:
    """Values found there, with the box that holds them; 0 is a value too."""
    shifted = named.astype(np.min_scalar_type(int(named.max()) + 1))
    shifted += 1
    shifted *= where
    for value, found in enumerate(ndimage.find_objects(shifted)):
        if found is not None:
            a, b, c = ((s.start, s.stop) for s in found)
            yield value, (a, b, c)


def cut(
    values: NDArray[np.float32], limit: int | None, floor: float, spacing_zyx: Vector, sigma_mm: float
) -> NDArray[np.bool_]:
    """Choose the highest voxels.

    Parameters
    ----------
    values : (z, y, x) float32
        A smoothed map.
    limit : int, optional
        Voxels to choose at most.
    floor : float
        Lower values are never chosen, nor are zeros.
    spacing_zyx, sigma_mm
        Spacing and smoothing, mm. Of equal values, as on a plateau, those deepest among high ones come first: where
        twice the smoothing leaves most.

    Returns
    -------
    (z, y, x) bool
        Exactly `limit` voxels when so many reach the floor, otherwise all that do.
    """
    reached = (values >= floor) & (values > 0)
    count = int(np.count_nonzero(reached))
    if limit is None or count <= limit:
        return reached
    if limit == 0:
        return np.zeros_like(reached)
    threshold = np.partition(values[reached], count - limit)[count - limit]
    chosen = np.asarray(values > threshold)
    missing = limit - int(np.count_nonzero(chosen))
    tied = np.flatnonzero(values == threshold)
    if missing < len(tied):
        wider = smooth(values, spacing_zyx, 2 * max(sigma_mm, *spacing_zyx)).ravel()[tied]
        tied = tied[np.argsort(-wider, kind="stable")[:missing]]
    chosen.ravel()[tied] = True
    return chosen
