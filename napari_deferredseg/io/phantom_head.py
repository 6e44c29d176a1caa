"""A head as T1-weighted MR would show it, generated: the second sample of the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.core.volume import Label, LabelMap, LabelTable, Volume
from napari_deferredseg.io.phantom import Ellipsoid, Phantom, ellipsoid, grid_of, millimetres

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry, Shape, Vector
    from napari_deferredseg.io.phantom import Field

TABLE = LabelTable(
    labels=(
        Label(value=1, name="brain", color=(120, 170, 220)),
        Label(value=2, name="ventricles", color=(230, 200, 90)),
        Label(value=3, name="cerebellum", color=(140, 190, 120)),
        Label(value=4, name="tumour", color=(230, 90, 110)),
    )
)
SHAPE: Shape = (56, 128, 104)
SPACING: Vector = (1.8, 1.8, 3.0)

# Centre and radii in mm, LPS, from the middle of the head; the intensity of the inside.
HEAD = Ellipsoid((0.0, 0.0, 0.0), (86.0, 104.0, 100.0), 0.0)
BRAIN = Ellipsoid((0.0, -2.0, 14.0), (66.0, 82.0, 58.0), 0.0)
CEREBELLUM = Ellipsoid((0.0, 46.0, -42.0), (46.0, 26.0, 22.0), 560.0)
VENTRICLES = (
    Ellipsoid((-13.0, -4.0, 20.0), (8.0, 30.0, 13.0), 170.0),
    Ellipsoid((13.0, -4.0, 20.0), (8.0, 30.0, 13.0), 170.0),
)
TUMOUR = Ellipsoid((36.0, -24.0, 20.0), (19.0, 21.0, 18.0), 380.0)
SCALP, BONE, FLUID, GREY, WHITE, MUSCLE = 880.0, 60.0, 150.0, 480.0, 720.0, 420.0
NOISE = 26.0


@dataclass(frozen=True)
class _Depths:
    """How deep each voxel lies below the surface of each part, mm, positive inside. Arrays (z, y, x) float32."""

    head: Field
    brain: Field
    ventricles: Field
    cerebellum: Field
    tumour: Field


def make_head(seed: int = 0) -> Phantom:
    """Head (56, 128, 104) at 3.0 x 1.8 x 1.8 mm, int16 in no unit, and uint8 masks of four labels.

    The coil shines unevenly, as coils do. The first mask leaves out the rim of the tumour and the back of the right
    ventricle; the second takes fluid beside the brain for brain and lets the tumour reach too far forward.
    """
    rng = np.random.default_rng(seed)
    geometry = grid_of(SHAPE, SPACING)
    bent = millimetres(geometry) + np.stack([_field(geometry, rng, 24.0) * 2.5 for _ in range(3)])
    depths = _depths(bent)
    volume = Volume(_signal(depths, geometry, rng), geometry, "head.nii.gz", modality="MR")
    first, second = (_wander(depths, geometry, rng) for _ in range(2))
    back = np.maximum(-bent[0], 0) * (bent[1] > 6)
    first = _Depths(first.head, first.brain, first.ventricles - back, first.cerebellum, first.tumour - 4.5)
    ahead = np.where(bent[1] < -26, 6.0, 0.0).astype(np.float32)
    second = _Depths(second.head, second.brain + 2.4, second.ventricles, second.cerebellum, second.tumour + ahead)

    def label_map(found: _Depths, name: str) -> LabelMap:
        return LabelMap(array=_labels(found), geometry=geometry, source=name, table=TABLE)

    return Phantom(
        volume=volume,
        truth=label_map(depths, "head_truth.nii.gz"),
        first=label_map(first, "head_ai_first.nii.gz"),
        second=label_map(second, "head_ai_second.nii.gz"),
    )


def _field(geometry: Geometry, rng: np.random.Generator, scale_mm: float) -> Field:
    return smooth_field(geometry.shape, geometry.spacing_zyx, 2 * scale_mm, rng)


def _depths(grid: Field) -> _Depths:
    head, brain = ellipsoid(grid, HEAD), ellipsoid(grid, BRAIN)
    left, right = (ellipsoid(grid, part) for part in VENTRICLES)
    cerebellum = np.minimum(ellipsoid(grid, CEREBELLUM), -brain)
    return _Depths(head, brain, np.maximum(left, right), cerebellum, np.minimum(ellipsoid(grid, TUMOUR), brain - 3))


def _wander(depths: _Depths, geometry: Geometry, rng: np.random.Generator) -> _Depths:
    """Borders as an AI draws them: near the true ones over most of their way, off in patches."""

    def moved(depth: Field) -> Field:
        drift = _field(geometry, rng, 12.0)
        strong = np.sign(drift) * np.maximum(np.abs(drift) - 1.1, 0) ** 1.5 * 5.0
        return np.asarray(depth + strong, np.float32)

    parts = (depths.brain, depths.ventricles, depths.cerebellum, depths.tumour)
    return _Depths(depths.head, *(moved(part) for part in parts))


def _labels(depths: _Depths) -> NDArray[np.uint8]:
    """Label map (z, y, x); later parts lie over earlier ones."""
    out = np.zeros(depths.head.shape, np.uint8)
    for value, depth in ((1, depths.brain), (3, depths.cerebellum), (2, depths.ventricles), (4, depths.tumour)):
        out[depth > 0] = value
    return out


def _signal(depths: _Depths, geometry: Geometry, rng: np.random.Generator) -> NDArray[np.int16]:
    """Magnitude image (z, y, x): tissues, an uneven coil, and noise that is Rician."""
    tissue = np.zeros(geometry.shape, np.float32)
    tissue[depths.head > 0] = SCALP
    tissue[depths.head > 5] = MUSCLE
    skull = np.maximum(depths.brain, depths.cerebellum)
    tissue[skull > -11] = BONE
    tissue[skull > -4] = FLUID
    folds = depths.brain + 3.5 * _field(geometry, rng, 3.5)
    tissue[depths.brain > 0] = np.where(folds > 8, WHITE, np.where(folds > -1, GREY, FLUID))[depths.brain > 0]
    leaves = np.sin(depths.cerebellum * 1.1 + _field(geometry, rng, 4.0))
    tissue[depths.cerebellum > 0] = (CEREBELLUM.level + 90 * leaves)[depths.cerebellum > 0]
    tissue[depths.ventricles > 0] = VENTRICLES[0].level
    tissue[depths.tumour > 0] = TUMOUR.level + 70 * _field(geometry, rng, 5.0)[depths.tumour > 0]
    tissue[(depths.tumour > 0) & (depths.tumour < 3)] = 800.0
    coil = np.exp(0.14 * _field(geometry, rng, 60.0))
    seen = ndi.gaussian_filter(tissue, (0.4, 0.6, 0.6)) * coil
    real, imaginary = rng.standard_normal((2, *geometry.shape), dtype=np.float32) * NOISE
    magnitude: NDArray[np.float32] = np.hypot(seen + real, imaginary)
    return np.round(magnitude).astype(np.int16)
