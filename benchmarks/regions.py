"""What ten minutes of reading show of an AI's errors: `python regions.py`.

Labels are generated (organs, lesions; five grids), then perturbed as a first mask: organs shifted, eroded on one side,
with a ragged border, lesions missing and false ones added. The second mask is the label itself, or the label perturbed
in other ways. The unperturbed label is the truth. Readers get what `deferredseg run --budget "10 minutes"` proposes, or
the connected components of what differs, the largest first, as many as fit in ten minutes by the same formula. What is
compared is the share of the first mask's errors within 3 mm of what is sent. Pairs for which the components' share is
not between .3 and .8 are drawn again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.core.volume import LabelMap
from napari_deferredseg.masks.components import components
from napari_deferredseg.masks.external import from_labels
from napari_deferredseg.routing.effort import estimated_minutes, outline_mm
from napari_deferredseg.routing.regions import make_regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINUTES, SEEN_MM = 10.0, 3.0
TIMES, ENOUGH = 1.3, 0.9
GRIDS = ((1.5, 1.5, 1.5), (3.0, 1.2, 1.2), (5.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 3.0, 3.0))
LESION = 9
KINDS = ("shift", "erosion", "missing lesions", "false lesions", "ragged border")


@dataclass(frozen=True)
class Scene:
    """A label and what it was drawn from."""

    labels: NDArray[np.uint8]
    lesions: list[NDArray[np.bool_]]
    spacing: tuple[float, float, float]

    def ball(self, rng: np.random.Generator, radius: tuple[float, float]) -> NDArray[np.bool_]:
        """An ellipsoid somewhere; radii in mm."""
        at = self.grid()
        extent = np.array(self.labels.shape) * self.spacing
        middle = extent * rng.uniform(0.1, 0.9, 3)
        radii = rng.uniform(*radius) * rng.uniform(0.8, 1.2, 3)
        return np.asarray(sum(((x - m) / r) ** 2 for x, m, r in zip(at, middle, radii, strict=True)) < 1)

    def grid(self) -> list[NDArray[np.float64]]:
        """Positions along each axis, mm, to be broadcast."""
        axes = (np.arange(n) * s for n, s in zip(self.labels.shape, self.spacing, strict=True))
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def make_scene(rng: np.random.Generator) -> Scene:
    """Four to seven organs, some smooth, some not, and 8 to 24 lesions."""
    spacing = GRIDS[int(rng.integers(len(GRIDS)))]
    extent = rng.uniform(140, 190)
    shape = tuple(int(extent / s) for s in spacing)
    scene = Scene(np.zeros(shape, np.uint8), [], spacing)
    size = np.array(shape) * spacing
    for value in range(1, int(rng.integers(4, 8)) + 1):
        middle, radii = size * rng.uniform(0.2, 0.8, 3), size.min() * rng.uniform(0.08, 0.2, 3)
        away = np.sqrt(sum(((x - m) / r) ** 2 for x, m, r in zip(scene.grid(), middle, radii, strict=True)))
        scene.labels[away + 0.12 * smooth_field(shape, spacing, size.min() / 6, rng) < 1] = value
    for _ in range(int(rng.integers(8, 25))):
        lesion = scene.ball(rng, (3, 8))
        scene.labels[lesion] = LESION
        scene.lesions.append(lesion)
    return scene


def perturbed(scene: Scene, rng: np.random.Generator, likely: float) -> NDArray[np.uint8]:
    """The label with errors of some kinds, each with that probability, at least one."""
    kinds = [kind for kind in KINDS if rng.random() < likely] or [KINDS[0]]
    mask = scene.labels.copy()
    organs = [v for v in np.unique(scene.labels) if 0 < v < LESION]
    if "shift" in kinds:
        for value in _some(organs, rng):
            way = rng.normal(size=3)
            way *= rng.uniform(2, 7) / np.linalg.norm(way)
            depth = _depth(scene.labels == value, scene)
            moved = ndimage.shift(depth, way / scene.spacing, order=1, mode="nearest") > 0
            mask[mask == value] = 0
            mask[moved & (mask == 0)] = value
    if "erosion" in kinds:
        for value in _some(organs, rng):
            width, way = rng.uniform(1, 4), rng.normal(size=3)
            middle = np.argwhere(scene.labels == value).mean(axis=0) * scene.spacing
            side = sum((x - m) * w for x, m, w in zip(scene.grid(), middle, way, strict=True)) > 0
            mask[(mask == value) & (_depth(mask == value, scene) < width) & side] = 0
    if "missing lesions" in kinds:
        for number in rng.permutation(len(scene.lesions))[: int(rng.integers(2, 8))]:
            mask[scene.lesions[number] & (mask == LESION)] = 0
    if "false lesions" in kinds:
        for _ in range(int(rng.integers(2, 8))):
            mask[scene.ball(rng, (3, 9)) & (mask == 0)] = LESION
    if "ragged border" in kinds:
        for value in _some(organs, rng):
            field = smooth_field(mask.shape, scene.spacing, rng.uniform(2, 6), rng)
            ragged = _depth(mask == value, scene) + 1.5 * rng.uniform(0.5, 1.5) * field > 0
            mask[(mask == value) & ~ragged] = 0
            mask[ragged & (mask == 0)] = value
    return mask


def _some(values: list[int], rng: np.random.Generator) -> NDArray[np.integer]:
    return rng.permutation(values)[: int(rng.integers(1, 4))]


def _depth(mask: NDArray[np.bool_], scene: Scene) -> NDArray[np.float64]:
    """Distance to the border, mm; negative outside."""
    inside, outside = (ndimage.distance_transform_edt(m, sampling=scene.spacing) for m in (mask, ~mask))
    return np.asarray(inside - outside)


@dataclass(frozen=True)
class Sent:
    """What is sent to readers: where, how many regions, minutes by today's formula and by the earlier one."""

    mask: NDArray[np.bool_]
    regions: int
    minutes: float
    earlier: float

    def share(self, errors: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
        """Share of errors within `SEEN_MM`."""
        if not self.mask.any():
            return 0.0
        return float((ndimage.distance_transform_edt(~self.mask, sampling=spacing)[errors] <= SEEN_MM).mean())


def earlier_minutes(mask: NDArray[np.bool_], geometry: Geometry) -> float:
    """The formula before: 25 s, 2.5 s a slice, 1 s for each cm of outline."""
    return (25 + 2.5 * int(mask.any(axis=(1, 2)).sum()) + outline_mm(mask, geometry.spacing_zyx) / 10) / 60


def largest_first(first: NDArray[np.uint8], second: NDArray[np.uint8], geometry: Geometry) -> Sent:
    """Connected components of what differs, the largest first; what does not fit any more is skipped."""
    parts = components(first != second)
    sent = np.zeros(first.shape, bool)
    minutes = earlier = 0.0
    count = 0
    for number in np.argsort(-parts.voxels, kind="stable"):
        if minutes + 25 / 60 > MINUTES:
            break
        mask = parts.mask(int(number) + 1)
        cost = estimated_minutes(mask, geometry)
        if minutes + cost <= MINUTES:
            minutes, earlier, count = minutes + cost, earlier + earlier_minutes(mask, geometry), count + 1
            sent[slices(parts.boxes[number])] |= mask
    return Sent(sent, count, minutes, earlier)


def proposed(first: NDArray[np.uint8], second: NDArray[np.uint8], geometry: Geometry) -> Sent:
    """What a run proposes."""
    prediction = from_labels(LabelMap(first, geometry, "first"), [LabelMap(second, geometry, "second")])
    regions = make_regions(prediction, "case", "run", Budget(amount=MINUTES, unit="minutes")).regions
    sent = np.zeros(first.shape, bool)
    for region in regions:
        sent[slices(region.box)] |= region.mask
    earlier = sum(earlier_minutes(region.mask, geometry) for region in regions)
    return Sent(sent, len(regions), sum(region.minutes for region in regions), earlier)


def compare(second: str, wanted: int, seed: int) -> list[tuple[float, float]]:
    """Print a line for each pair; the shares of components and of what is proposed."""
    found: list[tuple[float, float]] = []
    print(f"second mask: {second}")
    print(" seed  spacing mm      errors cm3  components: share  n  min (earlier)  regions: share  n  min (earlier)")
    while len(found) < wanted:
        rng = np.random.default_rng(seed)
        scene = make_scene(rng)
        first = perturbed(scene, rng, 0.7)
        other = scene.labels if second == "the label" else perturbed(scene, rng, 0.4)
        geometry = Geometry(shape=first.shape, spacing=scene.spacing[::-1])
        errors = first != scene.labels
        if not errors.any():
            seed += 1
            continue
        base = largest_first(first, other, geometry)
        share = base.share(errors, scene.spacing)
        if 0.3 <= share <= 0.8:
            ours = proposed(first, other, geometry)
            found.append((share, ours.share(errors, scene.spacing)))
            cm3 = errors.sum() * geometry.voxel_volume / 1000
            print(
                f"{seed:5d}  {scene.spacing!s:16}{cm3:9.1f} {_row(share, base)} {_row(found[-1][1], ours)}", flush=True
            )
        seed += 1
    return found


def _row(share: float, sent: Sent) -> str:
    return f"{share:17.2f} {sent.regions:3d} {sent.minutes:5.1f} ({sent.earlier:5.1f})"


def main() -> None:
    """Compare on both kinds of pairs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=26)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    for second in ("the label", "perturbed otherwise"):
        shares = np.array(compare(second, given.pairs, given.seed))
        base, ours = shares.mean(axis=0)
        held = "holds" if ours >= min(TIMES * base, ENOUGH) else "MISSED"
        print(f"mean of {len(shares)}: components {base:.3f}, regions {ours:.3f}, {ours / base:.2f} times")
        print(f"promised {TIMES} times, or at least {ENOUGH}: {held}\n")


if __name__ == "__main__":
    main()
