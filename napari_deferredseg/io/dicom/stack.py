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
    from napari_deferredseg.io.dicom.tags import Slice

# Scanners round positions and directions; no pixel may lie further than this from the grid, in mm.
STRAY = 0.1
SAME_PLACE = 0.01
ANOTHER_VIEW = 0.1
"""Directions that differ by more than this (six degrees) are another view, not a rounded one."""


def check_alike(slices: Sequence[Slice]) -> None:
    """Check that all slices are of one kind, size and pixel spacing, and that their numbers mean the same.

    Raises
    ------
    InputError
        A file is not; the line names it.
    """
    first = slices[0]
    for s in slices:
        if s.size != first.size or not np.allclose(pixel_spacing(s), pixel_spacing(first), rtol=1e-4):
            raise InputError(
                f"{s}: its size {s.size} or pixel spacing differs from {first.name} {first.size}; "
                "move images that do not belong to the stack out of the folder"
            )
        for what, mine, others in (
            ("modality", s.modality, first.modality),
            ("study (StudyInstanceUID)", s.study, first.study),
            ("kind of image (SOPClassUID)", s.sop_class, first.sop_class),
        ):
            if mine != others:
                raise InputError(
                    f"{s}: its {what} differs from that of {first.name}; correct the tag, or move it out of the folder"
                )
        if (s.stored.rescale is None) != (first.stored.rescale is None):
            without, with_ = (s, first) if s.stored.rescale is None else (first, s)
            raise InputError(
                f"{without}: lacks RescaleSlope and RescaleIntercept, {with_.name} has them; copy it again"
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
    row, column, normal = axes(slices)
    ordered = sorted(slices, key=lambda s: float(np.dot(normal, s.position)))
    positions = np.array([s.position for s in ordered])
    step = _step(source, ordered, positions, normal)
    dy, dx = pixel_spacing(ordered[0])
    direction = np.stack([row, column, normal], axis=1)
    shape = (len(ordered), *ordered[0].size)
    return ordered, geometry(source, shape, (dx, dy, step), vector(positions[0]), matrix(direction), known=True)


def axes(slices: Sequence[Slice]) -> tuple[Array, Array, Array]:
    """Unit vectors of rows, columns and slices.

    Row and column are as the first file states them where no corner of a slice leaves them by more than `STRAY`, else
    their mean over the slices.

    Raises
    ------
    InputError
        A slice lacks its place, or lies in another direction.
    """
    for s in slices:
        if len(s.position) != 3 or len(s.orientation) != 6:
            raise InputError(f"{s}: does not say where its slice lies in the patient; convert it to .nii.gz first")
        _check_right_angles(s)
    every = np.array([s.orientation for s in slices])
    off = np.array([_off(s, every[0]) for s in slices])
    if off.max() <= STRAY:
        return _frame(every[0])
    worst = slices[int(off.argmax())]
    if np.abs(every - every[0]).max() > ANOTHER_VIEW:
        raise InputError(
            f"{worst}: its orientation differs from {slices[0].name}; "
            "move images that do not belong to the stack (localizers?) out of the folder"
        )
    mean = np.mean(every, axis=0)
    if max(_off(s, mean) for s in slices) <= STRAY:
        return _frame(mean)
    raise InputError(
        f"{worst}: its orientation differs from {slices[0].name} by {off.max():.2g} mm at the far corner of the slice, "
        f"more than {STRAY} mm; convert the series with dcm2niix, or resample it first"
    )


def pixel_spacing(s: Slice) -> tuple[float, float]:
    """(dy, dx) in mm; 1 for an image that has no place.

    Raises
    ------
    InputError
        It is missing or not positive.
    """
    if len(s.pixel) == 2 and min(s.pixel) > 0:
        return s.pixel[0], s.pixel[1]
    if s.position or s.pixel:
        fault = f"states a pixel spacing of {s.pixel}" if s.pixel else "does not state its pixel spacing"
        raise InputError(f"{s}: {fault}; correct the tag PixelSpacing")
    return 1.0, 1.0


def _flat_grid(s: Slice) -> Geometry:
    dy, dx = pixel_spacing(s)
    return geometry(s.path, (1, *s.size), (dx, dy, s.thickness), (0.0, 0.0, 0.0), IDENTITY, known=False)


def _check_right_angles(s: Slice) -> None:
    row, column = np.array(s.orientation[:3]), np.array(s.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not (np.allclose(lengths, 1, atol=1e-2) and abs(float(row @ column)) < 1e-2):
        raise InputError(f"{s}: its rows and columns are not at right angles; the header is damaged")


def _frame(orientation: Array) -> tuple[Array, Array, Array]:
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    return row, column, normal / float(np.linalg.norm(normal))


def _off(s: Slice, orientation: Array) -> float:
    """How far a corner of a slice lies from where another orientation puts it, mm."""
    dy, dx = pixel_spacing(s)
    along_row, along_column = np.split(np.asarray(s.orientation) - orientation, 2)
    x, y = along_row * dx * (s.size[1] - 1), along_column * dy * (s.size[0] - 1)
    return max(float(np.linalg.norm(v)) for v in (x, y, x + y))


def _step(source: Path, ordered: Sequence[Slice], positions: Array, normal: Array) -> float:
    """Distance of neighbouring slices, mm."""
    if len(ordered) == 1:
        return ordered[0].thickness
    along = positions @ normal
    steps = np.diff(along)
    if steps.min() < SAME_PLACE:
        raise InputError(_same_place(source, *list(itertools.pairwise(ordered))[int(steps.argmin())]))
    step = float((along[-1] - along[0]) / (len(ordered) - 1))
    stray = positions - positions[0] - np.outer(np.arange(len(ordered)) * step, normal)
    if np.abs(stray @ normal).max() > STRAY:
        raise InputError(f"{source}: {_unequal(ordered, steps)}")
    if np.linalg.norm(stray, axis=1).max() > STRAY:
        i = int(np.linalg.norm(stray, axis=1).argmax())
        raise InputError(
            f"{source}: slices are shifted against each other (tilted gantry), {ordered[i].name} by "
            f"{np.linalg.norm(stray[i]):.3g} mm; resample the series first"
        )
    return step


def _same_place(source: Path, a: Slice, b: Slice) -> str:
    one = " and carry one SOPInstanceUID" if a.instance and a.instance == b.instance else ""
    return (
        f"{source}: {a.name} and {b.name} lie at the same position{one}, with different pixels; "
        "keep one of them, or one phase of the series"
    )


def _unequal(ordered: Sequence[Slice], steps: Array) -> str:
    """What unequal steps mean: slices that are not there, or a series of unequal spacing."""
    pairs = list(itertools.pairwise(ordered))
    usual = float(np.median(steps))
    multiples = np.rint(steps / usual)
    gaps = np.flatnonzero(multiples > 1)
    whole = np.abs(steps - multiples * usual).max() <= STRAY and gaps.size
    if whole and not any(_numbered_on(*pairs[i]) for i in gaps):
        i = int(steps.argmax())
        a, b = pairs[i]
        more = f" ({gaps.size} gaps)" if gaps.size > 1 else ""
        gap = f"{a.name} and {b.name} are {steps.max():.4g} mm apart, others {usual:.4g}{more}"
        return f"slices are missing, {gap}; copy the whole series"
    (a, b), (c, d) = pairs[int(steps.argmin())], pairs[int(steps.argmax())]
    return (
        f"the slice spacing is unequal, {steps.min():.4g} mm between {a.name} and {b.name}, {steps.max():.4g} mm "
        f"between {c.name} and {d.name}; resample the series first"
    )


def _numbered_on(a: Slice, b: Slice) -> bool:
    """Whether the instance numbers of two neighbours leave no room for a slice between them."""
    return (
        a.instance_number is not None
        and b.instance_number is not None
        and abs(a.instance_number - b.instance_number) == 1
    )
