"""Which voxels a reader is answerable for, and the AI's labels with everybody's corrections written in."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_deferredseg.core.boxes import Box, grown, intersection, size, slices, union, within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.records import Correction, Region
    from napari_deferredseg.core.volume import Array

MARGIN_MM = 3.0

MARGIN, CHANGED, OWN = 1, 2, 3


def support_of(
    region: Region,
    box: Box,
    before: Array,
    after: Array,
    geometry: Geometry,
    margin_mm: float = MARGIN_MM,
) -> tuple[Box, NDArray[np.bool_]]:
    """Find the voxels a reader is answerable for: the region with a margin, and everything they changed.

    Parameters
    ----------
    region : Region
        What they were asked about.
    box : Box
        Crop that the arrays cover; outside of it nothing has changed.
    before, after : (dz, dy, dx) uint8 or uint16
        Labels of the crop as found and as left.
    geometry : Geometry
        Grid of the whole volume.
    margin_mm : float
        The margin reaches every voxel whose centre is as near as this to the centre of one of the region's.

    Returns
    -------
    box : Box
        Smallest box that holds the crop and the region with its margin.
    support : (dz, dy, dx) bool
        The support inside that box.
    """
    area, margin = with_margin(region, geometry, margin_mm)
    outer = union(area, box)
    support = np.zeros(size(outer), bool)
    support[within(area, outer)] = margin
    support[within(box, outer)] |= before != after
    return outer, support


def with_margin(region: Region, geometry: Geometry, margin_mm: float = MARGIN_MM) -> tuple[Box, NDArray[np.bool_]]:
    """Box and mask (dz, dy, dx) of a region and the voxels whose centres are within a margin of one of its own."""
    z, y, x = (int(margin_mm / s + 1e-6) for s in geometry.spacing_zyx)
    area = grown(region.box, (z, y, x), geometry.shape)
    mask = np.zeros(size(area), bool)
    mask[within(region.box, area)] = region.mask
    if max(z, y, x) == 0:
        return area, mask
    distance = ndimage.distance_transform_edt(~mask, sampling=geometry.spacing_zyx)
    return area, np.asarray(distance <= margin_mm + 1e-6)


def compose(labels: Array, corrections: Sequence[Correction], regions: Mapping[str, Region]) -> Array:
    """Write corrections into the AI's labels.

    Where supports overlap, a region's own mask beats a voxel changed outside of it, which beats an unchanged voxel of
    a margin. Among equals the later submission wins, and of two at the same time the one with the larger id. A
    correction that another of them supersedes is left out. The order in which they are given does not matter.

    Parameters
    ----------
    labels : (z, y, x) uint8 or uint16
        The AI's labels; not modified.
    corrections : sequence of Correction
        Of this volume.
    regions : mapping of region id to Region
        At least the regions that were corrected.

    Returns
    -------
    (z, y, x) uint8, or uint16 when the labels or a correction need it
        A new array.

    Raises
    ------
    KeyError
        A corrected region is missing.
    """
    z, y, x = labels.shape
    return compose_box(labels, corrections, regions, ((0, z), (0, y), (0, x)))


def compose_box(labels: Array, corrections: Sequence[Correction], regions: Mapping[str, Region], box: Box) -> Array:
    """Compose, as `compose` does, only a box of the volume: `compose(...)[slices(box)]`, in less time."""
    amended = {c.supersedes for c in corrections}
    valid = sorted((c for c in corrections if c.id not in amended), key=lambda c: (c.submitted, c.id))
    result = labels[slices(box)].astype(np.result_type(labels, *(c.after for c in valid)))
    seen = [common for c in valid if (common := intersection(c.box, box))]
    if not seen:
        return result
    outer = reduce(union, seen)
    tiers = np.zeros(size(outer), np.uint8)
    for c in valid:
        common = intersection(c.box, box)
        if common is None:
            continue
        crop = within(common, c.box)
        tier = _tiers(c, regions[c.region_id])[crop]
        known = tiers[within(common, outer)]
        wins = (tier > 0) & (tier >= known)
        known[wins] = tier[wins]
        result[within(common, box)][wins] = c.after[crop][wins]
    return result


def _tiers(correction: Correction, region: Region) -> NDArray[np.uint8]:
    """How much a correction counts at each voxel of its box, 0 outside its support."""
    tier = np.where(correction.before != correction.after, CHANGED, MARGIN).astype(np.uint8)
    common = intersection(correction.box, region.box)
    if common is not None:
        tier[within(common, correction.box)][region.mask[within(common, region.box)]] = OWN
    tier[~correction.support] = 0
    return tier
