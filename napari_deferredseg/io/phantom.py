"""A CT-like abdomen that is generated, not read: the product's own sample data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_deferredseg.core.geometry import Geometry, Shape, Vector
from napari_deferredseg.core.volume import Label, LabelMap, LabelTable, Volume

if TYPE_CHECKING:
    from collections.abc import Callable

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

FADE_MM = 7.0
SHARPEST = 1.9  # mm; the blur of the scanner and the grain of its noise are given for voxels of this size


@dataclass(frozen=True)
class Ellipsoid:
    """Shape of an organ: centre and radii (x, y, z) in mm from the middle of the body, LPS; its level in HU."""

    centre: Vector
    radii: Vector
    level: float


@dataclass(frozen=True)
class Anatomy:
    """What a patient looks like inside; the defaults are the demo's.

    Attributes
    ----------
    organs : dict of label value to Ellipsoid
        Liver, spleen, left and right kidney.
    lesions : tuple of Ellipsoid
        Spots in the liver.
    stomach : Ellipsoid
        Its level is that of what was eaten; there is air above.
    aorta : float
        HU.
    noise : float
        Standard deviation before the scanner's filter, HU.
    """

    organs: dict[int, Ellipsoid] = field(
        default_factory=lambda: {
            1: Ellipsoid((-62.0, -14.0, 26.0), (76.0, 68.0, 66.0), 108.0),
            2: Ellipsoid((100.0, 44.0, 34.0), (28.0, 42.0, 48.0), 122.0),
            3: Ellipsoid((58.0, 56.0, -34.0), (25.0, 29.0, 50.0), 168.0),
            4: Ellipsoid((-60.0, 58.0, -46.0), (25.0, 29.0, 48.0), 168.0),
        }
    )
    lesions: tuple[Ellipsoid, ...] = (
        Ellipsoid((-92.0, -6.0, 34.0), (15.0, 15.0, 15.0), 62.0),
        Ellipsoid((-52.0, -40.0, 8.0), (11.0, 11.0, 11.0), 62.0),
        Ellipsoid((-80.0, 30.0, 2.0), (9.0, 9.0, 9.0), 62.0),
    )
    stomach: Ellipsoid = field(default_factory=lambda: Ellipsoid((56.0, -22.0, 34.0), (46.0, 36.0, 40.0), 18.0))
    aorta: float = 185.0
    noise: float = 26.0


@dataclass(frozen=True)
class Depths:
    """How deep each voxel lies below the surface of each part, mm, positive inside. Arrays (z, y, x) float32."""

    body: Field
    organs: dict[int, Field]
    aorta: Field
    lesions: tuple[Field, ...]


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
    geometry = grid_of(SHAPE, SPACING)
    anatomy = Anatomy()

    def texture(scale_mm: float) -> Field:
        return _field(rng, geometry, scale_mm)

    grid = millimetres(geometry) + np.stack([texture(26.0) * 5.0 for _ in range(3)])
    depths = depths_of(anatomy, grid)
    array = hounsfield(anatomy, depths, grid, geometry, texture, rng)
    volume = Volume(array=array, geometry=geometry, source="phantom.nii.gz", modality="CT")

    def label_map(values: NDArray[np.uint8], name: str) -> LabelMap:
        return LabelMap(array=values, geometry=geometry, source=name, table=TABLE)

    return Phantom(
        volume=volume,
        truth=label_map(labels_of(depths), "truth.nii.gz"),
        first=label_map(_first_ai(depths, grid, rng), "ai_first.nii.gz"),
        second=label_map(_second_ai(depths, grid, rng), "ai_second.nii.gz"),
    )


def grid_of(shape: Shape, spacing: Vector) -> Geometry:
    """Grid with the middle of the body in its middle."""
    x, y, z = (float(-n * s / 2) for n, s in zip(shape[::-1], spacing, strict=True))
    return Geometry(shape=shape, spacing=spacing, origin=(x, y, z))


def millimetres(geometry: Geometry) -> Field:
    """Coordinates (x, y, z) in mm at each voxel: (3, z, y, x) float32."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    return np.moveaxis(geometry.lps(index), -1, 0).astype(np.float32)


def depths_of(anatomy: Anatomy, grid: Field) -> Depths:
    """Draw the parts on coordinates (3, z, y, x) in mm, which may be bent so that no organ is a perfect ellipsoid."""
    body = _ellipsoid(grid, (0.0, 4.0, 0.0), (160.0, 118.0, 1e4))
    organs = {value: ellipsoid(grid, organ) for value, organ in anatomy.organs.items()}
    organs[1] = np.minimum(organs[1], body - 16)
    organs[2] = np.minimum(organs[2], body - 14)
    aorta = 11.0 - np.hypot(grid[0] - 10.0, grid[1] - 52.0)
    return Depths(body, organs, aorta, tuple(ellipsoid(grid, lesion) for lesion in anatomy.lesions))


def ellipsoid(grid: Field, shape: Ellipsoid) -> Field:
    """Approximate depth (z, y, x) below the surface in mm, positive inside."""
    return _ellipsoid(grid, shape.centre, shape.radii)


def labels_of(depths: Depths) -> NDArray[np.uint8]:
    """Label map (z, y, x); where organs overlap the first has it."""
    out = np.zeros(depths.aorta.shape, np.uint8)
    for value, organ in depths.organs.items():
        out[(organ > 0) & (out == 0)] = value
    out[(depths.aorta > 0) & (out == 0)] = 5
    for lesion in depths.lesions:
        out[(lesion > 0) & (out == 1)] = 6
    return out


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


def _first_ai(depths: Depths, grid: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Misses the third lesion, lets the spleen leak forward into the stomach."""
    spleen = depths.organs[2]
    wander = _wander(spleen.shape, rng, amplitude=2.2)
    leak = np.where((grid[1] < 30) & (grid[2] > 10), 26.0, 0.0).astype(np.float32)
    leaky = np.maximum(spleen, np.minimum(spleen + leak, 30.0 - np.hypot(grid[0] - 86.0, grid[1] - 10.0)))
    changed = {**{k: d + w for (k, d), w in zip(depths.organs.items(), wander, strict=True)}, 2: leaky + wander[1]}
    return labels_of(Depths(depths.body, changed, depths.aorta + 0.8, depths.lesions[:2]))


def _second_ai(depths: Depths, grid: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Misses the second lesion, cuts the right kidney's lower pole, takes a bite out of the liver's dome."""
    wander = _wander(depths.aorta.shape, rng, amplitude=2.2)
    changed = {k: d + w for (k, d), w in zip(depths.organs.items(), wander, strict=True)}
    changed[4] = np.minimum(changed[4], grid[2] + 70.0)
    changed[1] = np.minimum(changed[1], np.hypot(np.hypot(grid[0] + 70.0, grid[1] + 20.0), grid[2] - 96.0) - 26.0)
    return labels_of(Depths(depths.body, changed, depths.aorta - 0.8, (depths.lesions[0] + 2.5, depths.lesions[2])))


def _wander(shape: tuple[int, ...], rng: np.random.Generator, amplitude: float) -> list[Field]:
    """One smooth error of the border, in mm, for each organ; near zero over most of it."""
    geometry = Geometry(shape=(shape[0], shape[1], shape[2]), spacing=SPACING)
    fields = [_field(rng, geometry, 13.0) for _ in range(4)]
    strong = [np.maximum(np.abs(f) - 1.1, 0) ** 1.5 * 3.0 for f in fields]
    return [np.asarray(amplitude * np.sign(f) * s, np.float32) for f, s in zip(fields, strong, strict=True)]


def hounsfield(
    anatomy: Anatomy,
    depths: Depths,
    grid: Field,
    geometry: Geometry,
    texture: Callable[[float], Field],
    rng: np.random.Generator,
    fade: Field | None = None,
) -> NDArray[np.int16]:
    """Scan a body.

    Parameters
    ----------
    anatomy, depths, grid, geometry
        What to draw, where.
    texture : function
        Makes a smooth random field (z, y, x), unit variance, of a scale in mm.
    rng : numpy.random.Generator
        Of the noise.
    fade : (z, y, x) float32, optional
        Where, 0 to 1, borders are blurred beyond recognition.

    Returns
    -------
    (z, y, x) int16, HU
    """
    hu = _tissues(anatomy, depths, grid, texture)
    fine = SHARPEST / geometry.spacing[0]
    scanned = ndi.gaussian_filter(hu, (0.35 * 4.0 / geometry.spacing[2], 0.8 * fine, 0.8 * fine))
    if fade is not None:
        blurred = ndi.gaussian_filter(hu, [FADE_MM / s for s in geometry.spacing_zyx], truncate=2.5)
        scanned += fade * (blurred - scanned)
    noise = ndi.gaussian_filter(rng.standard_normal(geometry.shape, dtype=np.float32), (0, 0.6 * fine, 0.6 * fine))
    return np.clip(np.round(scanned + noise * (anatomy.noise * fine)), -1024, 3071).astype(np.int16)


def _tissues(anatomy: Anatomy, depths: Depths, grid: Field, texture: Callable[[float], Field]) -> Field:
    body, organs = depths.body, depths.organs
    hu = np.full(body.shape, -1000.0, np.float32)
    hu[body > 0] = -95.0
    hu[body > 9] = 48.0 + 6.0 * texture(4.0)[body > 9]
    inside = body > 17
    hu[inside] = np.where(texture(8.0)[inside] > 0.1, 32.0, -88.0)
    _bones(hu, grid, body)
    stomach = ellipsoid(grid, anatomy.stomach) > 0
    air = grid[1][stomach] < anatomy.stomach.centre[1] - 10.0
    hu[stomach] = np.where(air, -850.0, anatomy.stomach.level)
    for value, organ in anatomy.organs.items():
        hu[organs[value] > 0] = organ.level
    hu[depths.aorta > 0] = anatomy.aorta
    for lesion, depth in zip(anatomy.lesions, depths.lesions, strict=True):
        hu[(depth > 0) & (organs[1] > 0)] = lesion.level
    for value, inward in ((3, -16.0), (4, 16.0)):
        hu[(organs[value] > 13) & (np.abs(grid[0] - (anatomy.organs[value].centre[0] + inward)) < 12)] = 60.0
    return hu


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
