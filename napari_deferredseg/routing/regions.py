"""From what speaks against a mask to a few regions worth a reader's time.

Laws, the first ones first: a budget is never exceeded; what a smaller budget sends a larger one sends too; where masks
were compared and the budget has room for all that differs, all of it is sent; a compact part is one region; specks
are looked at with something near or are counted.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_deferredseg.core.boxes import Box, bounding_box, slices
from napari_deferredseg.core.budget import SHARES, Budget
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.records import Region
from napari_deferredseg.masks.components import deepest_index, numbered
from napari_deferredseg.routing.acquired import Acquired
from napari_deferredseg.routing.atoms import Atoms, make_atoms
from napari_deferredseg.routing.budget import lowest_threshold, most_voxels
from napari_deferredseg.routing.cut import cut, pair_codes, smooth_map
from napari_deferredseg.routing.effort import estimated_minutes
from napari_deferredseg.routing.left_out import BELOW_THRESHOLD, NO_ROOM, ended_specks, why_of_map, why_specks
from napari_deferredseg.routing.proposal import FAR, Account, Proposal
from napari_deferredseg.routing.spend import Spent, spend_minutes, spend_regions, spend_voxels, without_specks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import Array

    Points = NDArray[np.int32]

SIGMA_MM = 3.0
FLOOR = 0.2
MINOR = 0.05  # a label with a smaller share of a region is not named


class _Said(NamedTuple):
    """What an account says beside what was sent; names as in `Account`."""

    against: int
    faint: int = 0
    least: float = 0.0
    reason: str = NO_ROOM
    ended: int = 0


def make_regions(
    prediction: Prediction,
    case_key: str,
    prediction_id: str,
    budget: Budget,
    progress: Progress = silent,
    *,
    sigma_mm: float = SIGMA_MM,
    floor: float = FLOOR,
) -> Proposal:
    """Choose what readers should look at.

    Where masks were compared, all voxels in which they differ are candidates, separated by the pair of labels. A map is
    smoothed (less for labels of small structures, such as lesions); a share cuts it at its highest voxels, minutes and
    regions take what reaches the floor. Connected parts that are compact stay whole, others are cut into pieces, and
    what shows most for a reader's minute is taken first.

    Parameters
    ----------
    prediction : Prediction
        Deferral map with the AI's labels and the alternative.
    case_key, prediction_id : str
        Written into the regions; the region ids follow from `prediction_id` and the regions' voxels.
    budget : Budget
        Never exceeded, in its own unit.
    sigma_mm : float
        Standard deviation of a map's smoothing, mm; at most a quarter of the radius of the label's structures.
    floor : float
        Smoothed values of a map below it are never read, whatever the budget has left; a lower threshold that
        validation fixed takes its place.

    Raises
    ------
    InputError
        As `most_voxels`.
    """
    most_voxels(prediction, budget)  # what is wrong with the budget is said before the work
    if prediction.votes:
        return _from_votes(prediction, case_key, prediction_id, budget, progress)
    return _from_map(prediction, case_key, prediction_id, budget, progress, sigma_mm, floor)


def _from_votes(
    prediction: Prediction, case_key: str, prediction_id: str, budget: Budget, progress: Progress
) -> Proposal:
    acquired = Acquired.of(prediction.geometry)
    progress(0.0, "finding what differs")
    codes, corner = pair_codes(prediction)
    count = int(np.count_nonzero(codes))
    atoms = make_atoms(acquired.array(codes), acquired.geometry).moved(acquired.index(corner))
    del codes
    progress(0.5, "making regions")
    found = _paid(atoms, prediction.defer, prediction, budget, acquired)
    regions = [_region(prediction, case_key, prediction_id, acquired.in_file(p), None) for p in found.regions]
    return _proposal(prediction, budget, regions, found, _Said(count))


def _from_map(
    prediction: Prediction,
    case_key: str,
    prediction_id: str,
    budget: Budget,
    progress: Progress,
    sigma_mm: float,
    floor: float,
) -> Proposal:
    geometry = prediction.geometry
    progress(0.0, "smoothing the deferral map")
    smoothed = smooth_map(prediction, sigma_mm, floor)
    lowest = min(floor, lowest_threshold(prediction, budget))
    left = (smoothed.values >= lowest) & (smoothed.values > 0)
    reached = int(np.count_nonzero(left))
    faint = int(np.count_nonzero(smoothed.values)) - reached
    progress(0.4, "cutting it at the budget")
    limit = most_voxels(prediction, budget)
    chosen = cut(smoothed.values, limit, lowest, geometry.spacing_zyx, sigma_mm)
    left &= ~chosen
    box = bounding_box(chosen)
    if box is None:
        why = _why(budget, smoothed.values, left, [], limit)
        return _proposal(prediction, budget, [], Spent(), _Said(reached, faint, lowest, why))
    acquired = Acquired.of(geometry)
    codes = acquired.array(chosen[slices(box)].astype(np.uint8))
    atoms = make_atoms(codes, acquired.geometry).moved(acquired.index([low for low, _ in box]))
    progress(0.7, "making regions")
    if limit is None:
        found = _paid(atoms, smoothed.values, prediction, budget, acquired)
    else:
        found = without_specks(atoms, acquired.array(smoothed.values), acquired.geometry)
    subject, sent, ended = smoothed.subject, [acquired.in_file(points) for points in found.regions], 0
    if limit is not None and budget.mode != "fixed_threshold":
        ended = ended_specks(atoms.specks, acquired.array(left))
    regions = [_region(prediction, case_key, prediction_id, points, subject) for points in sent]
    why = _why(budget, smoothed.values, left, sent, limit)
    return _proposal(prediction, budget, regions, found, _Said(reached, faint, lowest, why, ended))


def _paid(
    atoms: Atoms, weight: NDArray[np.float32], prediction: Prediction, budget: Budget, acquired: Acquired
) -> Spent:
    weight, geometry = acquired.array(weight), acquired.geometry
    if budget.unit == "minutes":
        return spend_minutes(atoms, weight, geometry, budget.amount)
    if budget.unit == "regions":
        return spend_regions(atoms, weight, geometry, int(budget.amount))
    limit = most_voxels(prediction, budget) or 0
    return spend_voxels(atoms, weight, geometry, limit)


def _proposal(
    prediction: Prediction,
    budget: Budget,
    regions: list[Region],
    found: Spent,
    said: _Said,
) -> Proposal:
    ordered = sorted(regions, key=lambda r: (-r.gain * r.mask.sum(), r.box, r.id))
    cut = {region.id for region, within in zip(regions, found.within, strict=True) if within}
    covered = sum(int(region.mask.sum()) for region in regions)
    unpaid = said.against - covered - found.specks
    pays_specks = prediction.votes or budget.unit not in SHARES
    account = Account(
        compared=bool(prediction.votes),
        against=said.against,
        covered=covered,
        specks=found.specks - said.ended,
        speck_reason=why_specks(unpaid, found.next_piece) if pays_specks else FAR,
        ended=said.ended,
        unpaid=unpaid,
        reason=said.reason,
        faint=said.faint,
        foreground=int(np.count_nonzero(prediction.labels)),
        next_piece=found.next_piece,
        within=tuple(number for number, region in enumerate(ordered, start=1) if region.id in cut),
        least=said.least,
    )
    return Proposal(tuple(replace(r, number=n) for n, r in enumerate(ordered, start=1)), account)


def _why(
    budget: Budget, values: NDArray[np.float32], left: NDArray[np.bool_], sent: list[Points], limit: int | None
) -> str:
    if limit is None:
        return NO_ROOM
    if budget.mode == "fixed_threshold":
        return BELOW_THRESHOLD
    return why_of_map(values, left, sent, limit)


def _region(prediction: Prediction, case_key: str, prediction_id: str, points: Points, subject: Array | None) -> Region:
    geometry = prediction.geometry
    low, high = points.min(axis=0), points.max(axis=0) + 1
    (a, b, c), (d, e, f) = low.tolist(), high.tolist()
    box: Box = ((a, d), (b, e), (c, f))
    mask = np.zeros(high - low, bool)
    mask[tuple((points - low).T)] = True
    crop = slices(box)
    defer = prediction.defer[crop][mask]
    own, other = prediction.labels[crop][mask], prediction.alternative[crop][mask]
    about = np.where(own > 0, own, other) if subject is None else subject[crop][mask]
    x, y, z = geometry.lps(np.add(low, _middle(mask, points - low, geometry)).tolist()).tolist()
    digest = hashlib.blake2b(f"{prediction_id}{box}".encode() + np.packbits(mask).tobytes(), digest_size=16)
    return Region(
        id=digest.hexdigest(),
        case_key=case_key,
        prediction_id=prediction_id,
        number=1,
        labels=_labels(about, own, other, defer),
        box=box,
        mask=mask,
        volume=float(mask.sum() * geometry.voxel_volume),
        center=(x, y, z),
        gain=float(defer.mean(dtype=float)),
        minutes=estimated_minutes(mask, geometry),
        scores=_scores(prediction, crop, mask),
    )


def _middle(mask: NDArray[np.bool_], points: Points, geometry: Geometry) -> Points:
    """Deepest voxel of a region's largest connected part: where a reader is taken to. `points` are its voxels."""
    part = numbered(mask)[tuple(points.T)]
    own = points[part == 1 + np.argmax(np.bincount(part)[1:])]
    corner = own.min(axis=0)
    inside = np.zeros(own.max(axis=0) - corner + 1, bool)
    inside[tuple((own - corner).T)] = True
    middle: Points = corner + np.array(deepest_index(inside, geometry.spacing_zyx), np.int32)
    return middle


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
