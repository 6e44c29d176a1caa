"""From a deferral map to a few smooth regions, each about one label and worth a reader's time."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import Box, bounding_box, slices
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.records import Region
from napari_deferredseg.masks.components import Components, components, counted, deepest_index, without_specks
from napari_deferredseg.routing.budget import Budget, fixed_for, most_voxels
from napari_deferredseg.routing.cut import cut, smooth_map
from napari_deferredseg.routing.effort import estimated_minutes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry, Vector
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import Array

SIGMA_MM = 3.0
FLOOR = 0.2
MAX_MINUTES = 2.5

FWHM = 2.355  # full width at half maximum of a Gaussian, in sigmas
SPECK_VOXELS = 8
PARTS = 10  # a small budget is not lost to specks: a tenth of it is always enough for a region
MINOR = 0.05  # a label with a smaller share of a region is not named


def make_regions(
    prediction: Prediction,
    case_key: str,
    prediction_id: str,
    budget: Budget,
    progress: Progress = silent,
    *,
    sigma_mm: float = SIGMA_MM,
    floor: float = FLOOR,
    min_volume_mm3: float | None = None,
    max_minutes: float = MAX_MINUTES,
) -> list[Region]:
    """Choose what readers should look at.

    The deferral map is smoothed (less for labels of small structures, such as lesions), cut at the budget, separated
    by the label under review (the AI's, or the alternative where the AI says background) and into connected parts.
    Parts that would take too long are halved across their longest extent; specks join a part that they touch, or are
    dropped.

    Parameters
    ----------
    prediction : Prediction
        Raw deferral map with the AI's labels and the alternative.
    case_key, prediction_id : str
        Written into the regions; the region ids follow from `prediction_id` and the regions' voxels.
    budget : Budget
        Never exceeded. Shares cut the map; minutes and regions keep the regions with most expected errors.
    sigma_mm : float
        Standard deviation of the smoothing, mm; at most a quarter of the radius of the label's structures.
    floor : float
        Smoothed values below it are never read, whatever the budget has left; a lower threshold that validation fixed
        takes its place.
    min_volume_mm3 : float, optional
        Smallest region worth a reader's visit. By default a ball (on a single slice, a disc) as large as the smoothing
        makes of a point: its radius is the Gaussian's full width at half maximum.
    max_minutes : float
        Estimated reading time above which a part is halved.

    Returns
    -------
    list of Region
        By falling sum of `prediction.defer`, numbered from 1.

    Raises
    ------
    InputError
        As `most_voxels`.
    """
    geometry = prediction.geometry
    limit = most_voxels(prediction, budget)
    if budget.mode == "fixed_threshold":
        floor = min(floor, fixed_for(prediction, budget).threshold)
    progress(0.0, "smoothing the deferral map")
    smoothed = smooth_map(prediction, sigma_mm, floor)
    progress(0.4, "cutting it at the budget")
    chosen = cut(smoothed.values, limit, floor, geometry.spacing_zyx, sigma_mm)
    box = bounding_box(chosen)
    if box is None:
        return []
    # Where nothing names a label the parts still need a number of their own, hence the shift by one.
    about = smoothed.subject[slices(box)].astype(np.min_scalar_type(int(smoothed.subject.max()) + 1))
    about += 1
    about *= chosen[slices(box)]
    progress(0.7, "making regions")
    parts, values = _halved(about, geometry, max_minutes)
    if min_volume_mm3 is None:
        volume = _point_volume([smoothed.sigma_mm[v] for v in values], geometry)
    else:
        volume = np.full(len(values), min_volume_mm3)
    least = np.ceil(volume / geometry.voxel_volume - 1e-6).astype(np.int64)
    if limit is not None:
        least = np.minimum(least, limit // PARTS)
    found = [
        _region(prediction, case_key, prediction_id, _shifted(part, box), mask, smoothed.subject)
        for part, mask in _each(counted(without_specks(parts, least)))
    ]
    return _kept(found, budget)


def _point_volume(sigma_mm: Sequence[float], geometry: Geometry) -> NDArray[np.float64]:
    """Volume that a Gaussian makes of a point, and at least a few voxels', mm3."""
    radius = FWHM * np.array(sigma_mm)
    flat = geometry.shape[0] == 1
    volume = np.pi * radius**2 * geometry.spacing_zyx[0] if flat else 4 / 3 * np.pi * radius**3
    return np.asarray(np.maximum(volume, SPECK_VOXELS * geometry.voxel_volume))


def _halved(about: Array, geometry: Geometry, max_minutes: float) -> tuple[Array, list[int]]:
    """Numbered parts of one label each, none of over `max_minutes`, and the label of part i + 1."""
    ids = np.zeros(about.shape, np.uint32)
    values: list[int] = []
    for box, mask in _each(components(about)):
        value = int(about[slices(box)][mask][0]) - 1
        todo = [(box, mask)]
        while todo:
            where, piece = todo.pop()
            if piece.sum() > 1 and estimated_minutes(piece, geometry.spacing_zyx) > max_minutes:
                todo.extend(_pieces(where, piece, geometry.spacing_zyx))
                continue
            values.append(value)
            ids[slices(where)][piece] = len(values)
    return ids, values


def _pieces(box: Box, mask: NDArray[np.bool_], spacing_zyx: Vector) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Connected pieces of the two halves of a mask, cut at the median across its longest extent."""
    points = np.argwhere(mask)
    where = (points - points.mean(axis=0)) * spacing_zyx
    axis = np.linalg.eigh(where.T @ where)[1][:, -1]
    axis *= np.sign(axis[np.argmax(np.abs(axis))])
    order = np.argsort(np.round(where @ axis, 6), kind="stable")
    halves = np.zeros(mask.shape, np.uint8)
    halves[tuple(points.T)] = 1
    halves[tuple(points[order[len(order) // 2 :]].T)] = 2
    for part, piece in _each(components(halves)):
        yield _shifted(part, box), piece


def _each(parts: Components) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    return ((box, parts.mask(i)) for i, box in enumerate(parts.boxes, start=1))


def _shifted(inner: Box, outer: Box) -> Box:
    z, y, x = ((lo + start, hi + start) for (lo, hi), (start, _) in zip(inner, outer, strict=True))
    return z, y, x


def _region(
    prediction: Prediction,
    case_key: str,
    prediction_id: str,
    box: Box,
    mask: NDArray[np.bool_],
    subject: Array,
) -> Region:
    geometry = prediction.geometry
    crop = slices(box)
    defer = prediction.defer[crop][mask]
    middle = deepest_index(mask, geometry.spacing_zyx)
    x, y, z = geometry.lps([i + lo for i, (lo, _) in zip(middle, box, strict=True)]).tolist()
    digest = hashlib.blake2b(f"{prediction_id}{box}".encode() + np.packbits(mask).tobytes(), digest_size=16)
    return Region(
        id=digest.hexdigest(),
        case_key=case_key,
        prediction_id=prediction_id,
        number=1,
        labels=_labels(subject[crop][mask], prediction.labels[crop][mask], prediction.alternative[crop][mask], defer),
        box=box,
        mask=mask,
        volume=float(mask.sum() * geometry.voxel_volume),
        center=(x, y, z),
        gain=float(defer.mean(dtype=float)),
        minutes=estimated_minutes(mask, geometry.spacing_zyx),
        scores=_scores(prediction, crop, mask),
    )


def _labels(subject: Array, own: Array, other: Array, weight: NDArray[np.float32]) -> tuple[int, ...]:
    """Label that most of the region is about, then the others that it is between, by their weight."""
    principal = int(np.argmax(np.bincount(subject)[1:]) + 1) if subject.any() else 0
    mass = np.bincount(np.concatenate((own, other)), np.concatenate((weight, weight)))
    mass[0] = 0
    named = np.flatnonzero(mass > MINOR * mass.sum())
    rest = [int(v) for v in named[np.argsort(-mass[named], kind="stable")] if v != principal]
    return (principal, *rest) if principal else tuple(rest)


def _scores(prediction: Prediction, crop: tuple[slice, slice, slice], mask: NDArray[np.bool_]) -> tuple[float, ...]:
    if prediction.gain is None:
        return ()
    return tuple(float(gain[crop][mask].mean(dtype=float)) for gain in prediction.gain)


def _kept(regions: Sequence[Region], budget: Budget) -> list[Region]:
    """Regions by falling expected errors, as many as the budget pays for, numbered."""
    kept: list[Region] = []
    minutes = 0.0
    for region in sorted(regions, key=lambda r: (-r.gain * r.mask.sum(), r.box, r.id)):
        if budget.unit == "regions" and len(kept) == budget.amount:
            break
        if budget.unit == "minutes" and minutes + region.minutes > budget.amount:
            continue
        minutes += region.minutes
        kept.append(replace(region, number=len(kept) + 1))
    return kept
