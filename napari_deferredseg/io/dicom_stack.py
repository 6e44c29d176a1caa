"""The grid that the slices of a DICOM series make, or what keeps them from making one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import IDENTITY, Geometry
from napari_deferredseg.io.itk import geometry, matrix, vector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.dicom_tags import Slice

# Scanners round positions; slices of a straight series stray from a straight line by no more than this, in mm.
STRAY = 0.1
SAME_PLACE = 0.01
SAME_DIRECTION = 1e-4


def check_alike(slices: Sequence[Slice]) -> None:
    """Check that every file holds one grey image, all of one size and pixel spacing.

    Raises
    ------
    InputError
        A file does not; the line names it.
    """
    first = slices[0]
    for s in slices:
        if s.frames > 1:
            raise InputError(f"{s.path}: is a multi-frame DICOM file ({s.frames} frames); convert it to .nii.gz first")
        if s.samples != 1:
            raise InputError(f"{s.path}: is a colour image; only grey-value DICOM can be read")
        if s.size != first.size or not np.allclose(_pixel(s), _pixel(first), rtol=1e-4):
            raise InputError(
                f"{s.path}: its size {s.size} or pixel spacing differs from {first.path.name} {first.size}; "
                "move images that do not belong to the stack out of the folder"
            )


def stack(source: Path, slices: Sequence[Slice]) -> tuple[list[Slice], Geometry]:
    """Put slices in order along the normal and find the grid that they make.

    A single image that does not say where it lies gets a grid of unknown orientation.

    Raises
    ------
    InputError
        Several orientations, or positions that are missing, double, uneven, or shifted sideways.
    """
    if len(slices) == 1 and not (slices[0].position and slices[0].orientation):
        return list(slices), _flat_grid(slices[0])
    row, column, normal = _axes(slices)
    ordered = sorted(slices, key=lambda s: float(np.dot(normal, s.position)))
    positions = np.array([s.position for s in ordered])
    step = _step(source, ordered, positions, normal)
    dy, dx = _pixel(ordered[0])
    direction = np.stack([row, column, normal], axis=1)
    shape = (len(ordered), *ordered[0].size)
    return ordered, geometry(source, shape, (dx, dy, step), vector(positions[0]), matrix(direction), known=True)


def _pixel(s: Slice) -> tuple[float, float]:
    if len(s.pixel) == 2:
        return s.pixel[0], s.pixel[1]
    if s.position:
        raise InputError(f"{s.path}: does not state its pixel spacing; correct the tag PixelSpacing")
    return 1.0, 1.0


def _flat_grid(s: Slice) -> Geometry:
    dy, dx = _pixel(s)
    return geometry(s.path, (1, *s.size), (dx, dy, s.thickness), (0.0, 0.0, 0.0), IDENTITY, known=False)


def _axes(slices: Sequence[Slice]) -> tuple[Array, Array, Array]:
    """Unit vectors of rows, columns and slices; row and column as stated."""
    first = slices[0]
    for s in slices:
        if len(s.position) != 3 or len(s.orientation) != 6 or not np.all(np.isfinite(s.position + s.orientation)):
            raise InputError(f"{s.path}: does not say where its slice lies in the patient; convert it to .nii.gz first")
        if not np.allclose(s.orientation, first.orientation, atol=SAME_DIRECTION):
            raise InputError(
                f"{s.path}: its orientation differs from {first.path.name}; "
                "move images that do not belong to the stack (localizers?) out of the folder"
            )
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if not 0.99 < length < 1.01:
        raise InputError(f"{first.path}: its rows and columns are not at right angles; the header is damaged")
    return row, column, normal / length


def _step(source: Path, ordered: Sequence[Slice], positions: Array, normal: Array) -> float:
    """Distance of neighbouring slices, mm."""
    if len(ordered) == 1:
        return ordered[0].thickness
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    pairs = [f"{a.path.name} and {b.path.name}" for a, b in itertools.pairwise(ordered)]
    if steps.min() < SAME_PLACE:
        pair = pairs[int(steps.argmin())]
        raise InputError(f"{source}: {pair} lie at the same position; keep one of them, or one phase of the series")
    step = float((along[-1] - along[0]) / (len(ordered) - 1))
    stray = positions - positions[0] - np.outer(np.arange(len(ordered)) * step, normal)
    if np.abs(stray @ normal).max() > STRAY and steps.max() > 1.5 * usual:
        gap = f"{pairs[int(steps.argmax())]} are {steps.max():.4g} mm apart, others {usual:.4g}"
        raise InputError(f"{source}: slices are missing, {gap}; copy the whole series")
    if np.abs(stray @ normal).max() > STRAY:
        range_ = f"{steps.min():.4g} to {steps.max():.4g} mm"
        raise InputError(f"{source}: the slice spacing is uneven, {range_}; resample the series first")
    if np.linalg.norm(stray, axis=1).max() > STRAY:
        raise InputError(f"{source}: slices are shifted against each other (tilted gantry); resample the series first")
    return step
