"""Generated projects of a wished size: CT-like noise, six organs, an AI mask, regions all over it, one reader."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.core.geometry import Geometry, Shape
from napari_deferredseg.core.records import Assignment, PredictionRecord, Reader, Region
from napari_deferredseg.core.volume import Volume, voxel_hash
from napari_deferredseg.io.phantom import TABLE
from napari_deferredseg.io.writing import write_volume
from napari_deferredseg.routing.effort import estimated_minutes
from napari_deferredseg.store.arrays import PredictionFiles
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.running.triage import identify

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.boxes import Box

READER = Reader(login="ada", name="Ada", capacity=600)
SPACING = (0.8, 0.8, 1.0)
RADIUS_MM = 9.0
"""Of the regions, at most."""


@dataclass(frozen=True)
class Arrays:
    """What a project is made of, (z, y, x)."""

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    alternative: NDArray[np.uint8]
    defer: NDArray[np.float32]


def make_project(folder: Path, shape: Shape, regions: int, seed: int) -> None:
    """Write the image and a project with this many regions, all for `READER`, into a new folder."""
    rng = np.random.default_rng(seed)
    geometry = Geometry(shape=shape, spacing=SPACING, origin=(-100.0, -120.0, 40.0))
    boxes, masks = _balls(shape, geometry, regions, rng)
    arrays = _arrays(shape, boxes, masks, rng)
    with init_project(folder) as project:
        source = folder / "volume.nii"
        volume = Volume(arrays.image, geometry, source.name, modality="CT")
        write_volume(source, volume)
        project.store.add_reader(READER)
        case = identify(project, volume, source)
        prediction = PredictionRecord(
            id=hashlib.sha256(f"{shape}{regions}{seed}".encode()).hexdigest()[:32],
            case_key=case.key,
            model_id="generated",
            table=TABLE,
            labels_hash=voxel_hash(arrays.labels, b""),
            alternative_hash=voxel_hash(arrays.alternative, b""),
            defer_hash=voxel_hash(PredictionFiles.kept_defer(arrays.defer), b""),
            settings={},
        )
        made = [
            _region(prediction, geometry, number, box, mask)
            for number, (box, mask) in enumerate(zip(boxes, masks, strict=True), start=1)
        ]
        project.predictions.save(prediction.id, arrays.labels, arrays.alternative, arrays.defer)
        held = [Assignment(region_id=region.id, reader=READER.login) for region in made]
        project.store.add_prediction(case, prediction, made, held)


def _balls(
    shape: Shape, geometry: Geometry, count: int, rng: np.random.Generator
) -> tuple[list[Box], list[NDArray[np.bool_]]]:
    """Balls that do not touch: one somewhere in each of `count` cells of a lattice over the inner volume."""
    edge = (np.prod(np.array(shape) * geometry.spacing_zyx * 0.8) / count) ** (1 / 3)
    cells = np.maximum(np.round(np.array(shape) * geometry.spacing_zyx * 0.8 / edge).astype(int), 1)
    while cells.prod() < count:
        cells[np.argmin(cells)] += 1
    step = np.array(shape) * 0.8 / cells
    radius = min(RADIUS_MM, 0.35 * float(np.min(step * geometry.spacing_zyx)))
    half = np.ceil(radius / np.array(geometry.spacing_zyx)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-h, h + 1) for h in half], indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid * geometry.spacing_zyx, axis=-1)
    boxes, masks = [], []
    for number in rng.permutation(int(cells.prod()))[:count]:
        cell = np.array(np.unravel_index(number, cells))
        centre = np.round(np.array(shape) * 0.1 + (cell + 0.5) * step).astype(int)
        ball = distance <= radius * rng.uniform(0.5, 1.0)
        found = bounding_box(ball)
        assert found is not None
        (a, b), (c, d), (e, f) = found
        z, y, x = (int(v) for v in centre - half)
        boxes.append(((z + a, z + b), (y + c, y + d), (x + e, x + f)))
        masks.append(np.ascontiguousarray(ball[slices(found)]))
    return boxes, masks


def _arrays(shape: Shape, boxes: list[Box], masks: list[NDArray[np.bool_]], rng: np.random.Generator) -> Arrays:
    nz, ny, nx = shape
    labels = np.zeros(shape, np.uint8)
    z, y, x = np.ogrid[:nz, :ny, :nx]
    for value in range(1, 7):
        angle = value * math.pi / 3
        cy, cx = ny * (0.5 + 0.24 * math.sin(angle)), nx * (0.5 + 0.24 * math.cos(angle))
        inside = ((z - nz / 2) / (nz * 0.45)) ** 2 + ((y - cy) / (ny * 0.15)) ** 2 + ((x - cx) / (nx * 0.15)) ** 2
        labels[inside < 1] = value
    image = rng.integers(-60, 60, shape, dtype=np.int16)
    image += labels * np.int16(25)
    alternative, defer = labels.copy(), np.zeros(shape, np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        other = alternative[slices(box)]
        other[mask] = (other[mask] + 1) % 7
        defer[slices(box)][mask] = 0.8
    return Arrays(image, labels, alternative, defer)


def _region(prediction: PredictionRecord, geometry: Geometry, number: int, box: Box, mask: NDArray[np.bool_]) -> Region:
    x, y, z = geometry.lps([(lo + hi - 1) // 2 for lo, hi in box]).tolist()
    return Region(
        id=hashlib.sha256(f"{prediction.id}{number}".encode()).hexdigest()[:32],
        case_key=prediction.case_key,
        prediction_id=prediction.id,
        number=number,
        labels=(1 + number % 6, 1 + (number + 1) % 6),
        box=box,
        mask=mask,
        volume=float(mask.sum() * geometry.voxel_volume),
        center=(x, y, z),
        gain=0.8,
        minutes=estimated_minutes(mask, geometry),
    )
