"""Many generated abdomens that differ as patients do, some of them in ways that the image does not show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.core.volume import LabelMap, Volume
from napari_deferredseg.io.phantom import (
    SHAPE,
    SPACING,
    TABLE,
    Anatomy,
    Depths,
    Ellipsoid,
    Field,
    depths_of,
    ellipsoid,
    grid_of,
    hounsfield,
    labels_of,
    millimetres,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.geometry import Geometry, Shape, Vector

Size = Literal["full", "small"]
SIZES: dict[Size, tuple[Shape, Vector]] = {
    "full": (SHAPE, SPACING),
    "small": ((56, 75, 95), (3.8, 3.8, 4.0)),
}

# Share of patients, then HU of liver, spleen, kidneys, aorta. The demo's abdomen is a portal one.
PHASES: dict[str, tuple[float, tuple[float, float, float, float]]] = {
    "portal": (0.65, (108.0, 122.0, 168.0, 185.0)),
    "arterial": (0.25, (82.0, 128.0, 150.0, 270.0)),
    "native": (0.10, (60.0, 50.0, 34.0, 42.0)),
}
ABSENT = -1e3


@dataclass(frozen=True)
class PhantomCase:
    """A generated patient: the scan, the truth, and the phase of contrast: portal, arterial or native."""

    volume: Volume
    truth: LabelMap
    phase: str


def make_case(seed: int, number: int, size: Size = "full") -> PhantomCase:
    """One patient of a family; the same for a seed and a number, whatever else is generated.

    What the image does not tell: three to eight stretches of organs' borders fade and the truth leaves them by up to
    a centimetre or two; some lesions are as bright as the liver; some dark spots are lesions and some are not.

    Parameters
    ----------
    seed, number : int
        Of the family, and of the patient in it; 0 or more.
    size : {"full", "small"}
        "full" is the demo's grid; "small" has half as many voxels in x and in y.

    Returns
    -------
    PhantomCase
        (56, 150, 190) or (56, 75, 95); int16 HU and uint8 labels of `TABLE`.
    """
    rng = np.random.default_rng([seed, number])
    geometry = grid_of(*SIZES[size])
    phase = str(rng.choice(list(PHASES), p=[share for share, _ in PHASES.values()]))
    anatomy = _patient(rng, phase)
    grid = _bent(geometry, rng)
    seen = _apart(depths_of(anatomy, grid), rng)
    spots = _spots(anatomy, seen, grid, rng)
    anatomy = replace(anatomy, lesions=tuple(spots))
    seen = replace(seen, lesions=tuple(ellipsoid(grid, spot) for spot in spots))
    fade, true = _hidden(seen, grid, geometry, rng)
    is_lesion = _told(anatomy, rng)

    def texture(scale_mm: float) -> Field:
        return smooth_field(geometry.shape, geometry.spacing_zyx, 2 * scale_mm, rng)

    array = hounsfield(anatomy, seen, grid, geometry, texture, rng, fade)
    true = replace(true, lesions=tuple(d for d, is_one in zip(seen.lesions, is_lesion, strict=True) if is_one))
    name = f"phantom {seed}-{number}"
    volume = Volume(array=array, geometry=geometry, source=name, modality="CT")
    return PhantomCase(volume, LabelMap(labels_of(true), geometry, name, TABLE), phase)


def _patient(rng: np.random.Generator, phase: str) -> Anatomy:
    """Organs of other places, sizes and levels; the stomach as bright as an organ beside it in two of five."""
    plain = Anatomy()
    liver, spleen, kidney, aorta = (level * rng.uniform(0.92, 1.08) for level in PHASES[phase][1])
    levels = {1: liver, 2: spleen, 3: kidney, 4: kidney}
    organs = {value: _moved(organ, rng, levels[value]) for value, organ in plain.organs.items()}
    eaten = rng.choice([rng.uniform(5, 40), liver - 4, spleen - 4], p=[0.6, 0.2, 0.2])
    stomach = replace(_moved(plain.stomach, rng, float(eaten)), radii=_scaled(plain.stomach.radii, rng, 0.7, 1.2))
    return Anatomy(organs, (), stomach, aorta, plain.noise * rng.uniform(0.7, 1.5))


def _moved(organ: Ellipsoid, rng: np.random.Generator, level: float) -> Ellipsoid:
    x, y, z = (float(c + d) for c, d in zip(organ.centre, rng.normal(0, (4.0, 4.0, 6.0)).clip(-10, 10), strict=True))
    return Ellipsoid((x, y, z), _scaled(organ.radii, rng, 0.82, 1.12), float(level))


def _scaled(radii: Vector, rng: np.random.Generator, low: float, high: float) -> Vector:
    x, y, z = (float(r * s) for r, s in zip(radii, rng.uniform(low, high, 3), strict=True))
    return x, y, z


def _bent(geometry: Geometry, rng: np.random.Generator) -> Field:
    """Coordinates (3, z, y, x) in mm of a smaller or larger body, off the middle, gently bent."""
    shift = rng.uniform((-6, -5, -15), (6, 5, 15)).astype(np.float32)
    scale = np.float32(rng.uniform(0.95, 1.1))
    bend = rng.uniform(3.0, 7.0)
    fields = [smooth_field(geometry.shape, geometry.spacing_zyx, 52.0, rng) for _ in range(3)]
    return (millimetres(geometry) - shift[:, None, None, None]) * scale + np.float32(bend) * np.stack(fields)


def _apart(depths: Depths, rng: np.random.Generator) -> Depths:
    """Let the liver press the right kidney and the spleen the left one; an operation took an organ from a few."""
    organs = dict(depths.organs)
    for kidney, neighbour in ((4, 1), (3, 2)):
        organs[kidney] = np.minimum(organs[kidney], -organs[neighbour] - 1.0)
    for value in (2, 3, 4):
        if rng.random() < 0.03:
            organs[value] = np.full_like(organs[value], ABSENT)
    return replace(depths, organs=organs)


def _spots(anatomy: Anatomy, depths: Depths, grid: Field, rng: np.random.Generator) -> list[Ellipsoid]:
    """Up to six spots in the liver: dark, bright, or hardly different from it."""
    liver = anatomy.organs[1].level
    contrasts = (rng.uniform(-60, -25), rng.uniform(25, 50), rng.uniform(-6, 6))
    return [
        Ellipsoid(
            _somewhere(depths.organs[1] > 5, grid, rng),
            _scaled((r, r, r), rng, 0.75, 1.25),
            float(liver + rng.choice(contrasts, p=[0.7, 0.15, 0.15])),
        )
        for r in rng.uniform(6, 17, rng.integers(0, 7))
    ]


def _told(anatomy: Anatomy, rng: np.random.Generator) -> list[bool]:
    """Which spots are lesions: of the dark ones of middling contrast only three in five, of all others each."""
    liver = anatomy.organs[1].level
    return [bool(not -45 < spot.level - liver < -20 or rng.random() < 0.6) for spot in anatomy.lesions]


def _hidden(depths: Depths, grid: Field, geometry: Geometry, rng: np.random.Generator) -> tuple[Field, Depths]:
    """Where borders fade, 0 to 1, and the depths of the truth, which leaves the visible border there."""
    fade = np.zeros(geometry.shape, np.float32)
    organs = dict(depths.organs)
    drift = smooth_field(geometry.shape, geometry.spacing_zyx, 24.0, rng) * np.float32(4.0)
    for _ in range(rng.integers(3, 9)):
        value = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.2, 0.15, 0.15]))
        surface = np.abs(depths.organs[value]) < 2.5
        if not surface.any():
            continue
        away = _distance(grid, _somewhere(surface, grid, rng)) / np.float32(rng.uniform(18, 40))
        weight = np.exp(-(away**2))
        organs[value] = organs[value] + weight * (drift + np.float32(rng.normal() * 11.0))
        np.maximum(fade, weight * np.float32(0.9), out=fade)
    for value in (1, 2):
        organs[value] = np.minimum(organs[value], depths.body - 12)
    return fade, replace(depths, organs=organs)


def _distance(grid: Field, centre: Sequence[float]) -> Field:
    squares = sum((axis - np.float32(c)) ** 2 for axis, c in zip(grid, centre, strict=True))
    return np.sqrt(np.asarray(squares, np.float32))


def _somewhere(where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], grid: Field, rng: np.random.Generator) -> Vector:
    """Coordinates (x, y, z) in mm of a random voxel of a mask; of the first voxel when it is empty."""
    found = np.flatnonzero(where)
    index = int(rng.choice(found)) if found.size else 0
    x, y, z = (float(axis.ravel()[index]) for axis in grid)
    return x, y, z
