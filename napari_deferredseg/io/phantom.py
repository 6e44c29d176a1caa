"""A CT-like abdomen that is generated, not read: the product's own sample data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_deferredseg.core.geometry import Geometry, Shape, Vector
from napari_deferredseg.core.volume import Label, LabelMap, LabelTable, Volume

Field = NDArray[np.float32]

TABLE = LabelTable(
    labels=(
        Label(value=1, name="liver", color=(64, 170, 140)),
        Label(value=2, name="spleen", color=(150, 110, 220)),
        Label(value=3, name="left kidney", color=(130, 200, 80)),
        Label(value=4, name="right kidney", color=(95, 160, 60)),
        Label(value=5, name="aorta", color=(220, 70, 70)),
        Label(value=6, name="liver lesion", color=(235, 70, 160)),
    )
)
SHAPE: Shape = (56, 150, 190)
SPACING: Vector = (1.9, 1.9, 4.0)

# name: (centre x, y, z), (radius x, y, z), mm from the middle of the body, LPS; HU
ORGANS: dict[int, tuple[Vector, Vector, float]] = {
    1: ((-62.0, -14.0, 26.0), (76.0, 68.0, 66.0), 108.0),
    2: ((100.0, 44.0, 34.0), (28.0, 42.0, 48.0), 122.0),
    3: ((58.0, 56.0, -34.0), (25.0, 29.0, 50.0), 168.0),
    4: ((-60.0, 58.0, -46.0), (25.0, 29.0, 48.0), 168.0),
}
LESIONS: tuple[tuple[Vector, float], ...] = (
    ((-92.0, -6.0, 34.0), 15.0),
    ((-52.0, -40.0, 8.0), 11.0),
    ((-80.0, 30.0, 2.0), 9.0),
)
LESION_HU = 62.0


@dataclass(frozen=True)
class Phantom:
    """A volume, the truth, and what two AI models make of it."""

    volume: Volume
    truth: LabelMap
    first: LabelMap
    second: LabelMap


def make_phantom(seed: int = 0) -> Phantom:
    """Abdomen (56, 150, 190) at 4.0 x 1.9 x 1.9 mm, int16 HU, and uint8 masks of six labels.

    The second mask and the first err in different, spatially coherent places: borders that wander, a missed lesion, a
    spleen that leaks into the stomach, a kidney cut short.
    """
    rng = np.random.default_rng(seed)
    half = np.array(SHAPE[::-1]) * np.array(SPACING) / 2
    geometry = Geometry(shape=SHAPE, spacing=SPACING, origin=(float(-half[0]), float(-half[1]), float(-half[2])))
    grid = _millimetres(geometry, rng)
    depth = {value: _ellipsoid(grid, centre, radii) for value, (centre, radii, _) in ORGANS.items()}
    body = _ellipsoid(grid, (0.0, 4.0, 0.0), (160.0, 118.0, 1e4))
    depth[1] = np.minimum(depth[1], body - 16)
    depth[2] = np.minimum(depth[2], body - 14)
    aorta = 11.0 - np.hypot(grid[0] - 10.0, grid[1] - 52.0)
    lesions = [_ellipsoid(grid, centre, (r, r, r)) for centre, r in LESIONS]
    array = _hounsfield(grid, body, depth, aorta, lesions, rng)
    volume = Volume(array=array, geometry=geometry, source="phantom.nii.gz", modality="CT")

    def label_map(values: NDArray[np.uint8], name: str) -> LabelMap:
        return LabelMap(array=values, geometry=geometry, source=name, table=TABLE)

    return Phantom(
        volume=volume,
        truth=label_map(_labels(depth, aorta, lesions), "truth.nii.gz"),
        first=label_map(_first_ai(depth, aorta, lesions, grid, rng), "ai_first.nii.gz"),
        second=label_map(_second_ai(depth, aorta, lesions, grid, rng), "ai_second.nii.gz"),
    )


def _millimetres(geometry: Geometry, rng: np.random.Generator) -> Field:
    """Coordinates (x, y, z) in mm at each voxel, gently bent so that no organ is a perfect ellipsoid."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    grid = np.moveaxis(geometry.lps(index), -1, 0).astype(np.float32)
    return grid + np.stack([_field(rng, geometry, 26.0) * 5.0 for _ in range(3)])


def _field(rng: np.random.Generator, geometry: Geometry, scale_mm: float) -> Field:
    """Smooth random field (z, y, x), unit variance, with a correlation length in mm."""
    noise = rng.standard_normal(geometry.shape, dtype=np.float32)
    sigma = [scale_mm / s for s in geometry.spacing_zyx]
    smooth = ndi.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _ellipsoid(grid: Field, centre: Vector, radii: Vector) -> Field:
    """Approximate depth below the surface in mm, positive inside."""
    q = sum(((grid[i] - centre[i]) / radii[i]) ** 2 for i in range(3))
    return np.asarray((1.0 - np.sqrt(q)) * min(radii), np.float32)


def _labels(depth: dict[int, Field], aorta: Field, lesions: list[Field]) -> NDArray[np.uint8]:
    out = np.zeros(aorta.shape, np.uint8)
    for value, organ in depth.items():
        out[(organ > 0) & (out == 0)] = value
    out[(aorta > 0) & (out == 0)] = 5
    for lesion in lesions:
        out[(lesion > 0) & (out == 1)] = 6
    return out


def _first_ai(
    depth: dict[int, Field], aorta: Field, lesions: list[Field], grid: Field, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Misses the third lesion, lets the spleen leak forward into the stomach."""
    wander = _wander(depth[1].shape, rng, amplitude=2.2)
    leak = np.where((grid[1] < 30) & (grid[2] > 10), 26.0, 0.0).astype(np.float32)
    leaky = np.maximum(depth[2], np.minimum(depth[2] + leak, 30.0 - np.hypot(grid[0] - 86.0, grid[1] - 10.0)))
    changed = {**{k: d + w for (k, d), w in zip(depth.items(), wander, strict=True)}, 2: leaky + wander[1]}
    return _labels(changed, aorta + 0.8, lesions[:2])


def _second_ai(
    depth: dict[int, Field], aorta: Field, lesions: list[Field], grid: Field, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Misses the second lesion, cuts the right kidney's lower pole, takes a bite out of the liver's dome."""
    wander = _wander(depth[1].shape, rng, amplitude=2.2)
    changed = {k: d + w for (k, d), w in zip(depth.items(), wander, strict=True)}
    changed[4] = np.minimum(changed[4], grid[2] + 70.0)
    changed[1] = np.minimum(changed[1], np.hypot(np.hypot(grid[0] + 70.0, grid[1] + 20.0), grid[2] - 96.0) - 26.0)
    return _labels(changed, aorta - 0.8, [lesions[0] + 2.5, lesions[2]])


def _wander(shape: tuple[int, ...], rng: np.random.Generator, amplitude: float) -> list[Field]:
    """One smooth error of the border, in mm, for each organ; near zero over most of it."""
    geometry = Geometry(shape=(shape[0], shape[1], shape[2]), spacing=SPACING)
    fields = [_field(rng, geometry, 13.0) for _ in ORGANS]
    strong = [np.maximum(np.abs(f) - 1.1, 0) ** 1.5 * 3.0 for f in fields]
    return [np.asarray(amplitude * np.sign(f) * s, np.float32) for f, s in zip(fields, strong, strict=True)]


def _hounsfield(
    grid: Field,
    body: Field,
    depth: dict[int, Field],
    aorta: Field,
    lesions: list[Field],
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    geometry = Geometry(shape=SHAPE, spacing=SPACING)
    hu = np.full(SHAPE, -1000.0, np.float32)
    hu[body > 0] = -95.0
    hu[body > 9] = 48.0 + 6.0 * _field(rng, geometry, 4.0)[body > 9]
    inside = body > 17
    hu[inside] = np.where(_field(rng, geometry, 8.0)[inside] > 0.1, 32.0, -88.0)
    _bones(hu, grid, body)
    stomach = _ellipsoid(grid, (56.0, -22.0, 34.0), (46.0, 36.0, 40.0))
    hu[stomach > 0] = np.where(grid[1][stomach > 0] < -32.0, -850.0, 18.0)
    for value, (_, _, level) in ORGANS.items():
        hu[(depth[value] > 0)] = level
    hu[aorta > 0] = 185.0
    for lesion in lesions:
        hu[(lesion > 0) & (depth[1] > 0)] = LESION_HU
    for value, pelvis in ((3, 42.0), (4, -44.0)):
        hu[(depth[value] > 13) & (np.abs(grid[0] - pelvis) < 12)] = 60.0
    blurred = ndi.gaussian_filter(hu, (0.35, 0.8, 0.8))
    noise = ndi.gaussian_filter(rng.standard_normal(SHAPE, dtype=np.float32), (0, 0.6, 0.6)) * 26.0
    return np.clip(np.round(blurred + noise), -1024, 3071).astype(np.int16)


def _bones(hu: Field, grid: Field, body: Field) -> None:
    vertebra = 19.0 - np.hypot(grid[0], (grid[1] - 76.0) * 1.15)
    disc = np.abs((grid[2] % 34.0) - 17.0) > 14.0
    hu[vertebra > 0] = np.where(disc[vertebra > 0], 95.0, 330.0)
    hu[(vertebra > 0) & (vertebra < 3) & ~disc] = 620.0
    process = (np.abs(grid[0]) < 5) & (grid[1] > 92) & (grid[1] < 112)
    hu[process | ((np.hypot(np.abs(grid[0]) - 26.0, grid[1] - 92.0) < 9) & ~disc)] = 480.0
    along = np.arctan2(grid[0], grid[1] - 4.0)
    ribs = (np.abs(((grid[2] - 26.0 * np.cos(along)) % 30.0) - 15.0) < 5.0) & (np.abs(body - 13.0) < 4.0)
    hu[ribs & (grid[2] > -60) & (np.abs(along) < 2.5)] = 520.0
