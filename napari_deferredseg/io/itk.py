"""From a file to an array and its geometry, and back, through SimpleITK. LPS is SimpleITK's own convention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from pydantic import ValidationError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import IDENTITY, Geometry, Matrix, Shape, Vector
from napari_deferredseg.io.formats import Format, format_of, quiet_itk
from napari_deferredseg.io.headers.meta import check_meta
from napari_deferredseg.io.headers.nrrd import check_nrrd
from napari_deferredseg.io.headers.png import check_png
from napari_deferredseg.io.plain_names import plain_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.headers.facts import Facts

# DICOM and ITK know no other; "scanner-xyz" and the like do not say where the patient's head is.
ANATOMICAL = {"left-posterior-superior", "right-anterior-superior", "left-anterior-superior"}
NO_MEMORY = re.compile("failed to allocate memory|bad_alloc|out of memory", re.IGNORECASE)


@dataclass(frozen=True)
class LoadedImage:
    """A file as it is.

    Attributes
    ----------
    array : (z, y, x), or (n, z, y, x)
        Voxels as stored; the first axis counts components or time points.
    frames : bool
        Whether that first axis is the file's fourth dimension rather than components of a voxel.
    metadata : dict
        The file's own keys, as SimpleITK names them.
    finite : bool
        Whether the file holds no NaN and no infinity.
    step : float
        Distance of two neighbouring values of a file that stores scaled whole numbers; 0 otherwise.
    notes : tuple of str
        Sentences: what was decided in reading that the file left open.
    """

    array: Array
    geometry: Geometry
    frames: bool
    metadata: dict[str, str]
    finite: bool
    step: float = 0.0
    notes: tuple[str, ...] = ()


def load_with_itk(path: Path) -> LoadedImage:
    """Read an NRRD, a MetaImage or a PNG.

    Raises
    ------
    InputError
        Missing, damaged, colour, complex, or not on a straight grid; what of the format cannot be read is named.
    """
    facts = _check_file(path)
    image = _read(path, facts.detached)
    metadata = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    _check_kind(path, image, metadata)
    known = facts.orientation_known
    if format_of(path) is Format.NRRD:
        known = metadata.get("NRRD_space", "").casefold() in ANATOMICAL
    array = _array(image)
    return LoadedImage(
        array=array,
        geometry=_geometry(path, image, known and image.GetDimension() > 2),
        frames=array.ndim == 4 and (image.GetDimension() == 4 or facts.volumes),
        metadata=metadata,
        finite=bool(array.dtype.kind != "f" or np.isfinite(array).all()),
        notes=facts.notes,
    )


def _check_file(path: Path) -> Facts:
    """Check the file by its format before ITK sees it."""
    match format_of(path):
        case Format.META:
            return check_meta(path)
        case Format.NRRD:
            return check_nrrd(path)
        case _:
            return check_png(path)


def _read(path: Path, detached: Path | None) -> sitk.Image:
    try:
        with quiet_itk(), plain_file(path, [detached] if detached else []) as plain:
            return sitk.ReadImage(str(plain))
    except MemoryError as e:
        raise InputError(no_memory(path)) from e
    except RuntimeError as e:
        if NO_MEMORY.search(str(e)):
            raise InputError(no_memory(path)) from e
        raise InputError(f"{path}: cannot be read, {_reason(str(e))}; save or copy it again") from e


def no_memory(path: Path) -> str:
    """Line for an image that the memory does not hold."""
    return f"{path}: there is no memory for its voxels; free some, or use a smaller image"


def _reason(native: str) -> str:
    """What ITK says, in as far as it is meant for people: the end of its last line."""
    if "Zero-valued spacing" in native:
        return "it holds a spacing of zero"
    last = ([line.strip() for line in native.splitlines() if line.strip()] or [""])[-1]
    reason = re.sub(r"^(\[\w+\]\s*)?\w*:\s*", "", last)
    return "its header or its voxels are not as the format has it" + (
        "" if "itk" in reason.casefold() else f" ({reason})"
    )


def _check_kind(path: Path, image: sitk.Image, metadata: dict[str, str]) -> None:
    kind = image.GetPixelIDTypeAsString()
    if "complex" in kind or metadata.get("NRRD_kinds[0]") == "complex":
        raise InputError(f"{path}: holds complex numbers; save the magnitude image instead")
    components = image.GetNumberOfComponentsPerPixel()
    named = "color" in metadata.get("NRRD_kinds[0]", "").casefold()
    if named or (components in (3, 4) and kind == "vector of 8-bit unsigned integer"):
        raise InputError(f"{path}: is a colour image (RGB); save it as grey values or as a label map")
    if image.GetDimension() not in (2, 3, 4) or (image.GetDimension() == 4 and components > 1):
        raise InputError(f"{path}: has {image.GetDimension()} dimensions; save each volume in a file of its own")


def _array(image: sitk.Image) -> Array:
    array: Array = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 2:
        array = array[np.newaxis]
    if image.GetNumberOfComponentsPerPixel() > 1:
        return np.ascontiguousarray(np.moveaxis(array, -1, 0))
    return array[0] if array.ndim == 4 and array.shape[0] == 1 else array


def _geometry(path: Path, image: sitk.Image, known: bool) -> Geometry:
    x, y, *z = image.GetSize()
    shape = (z[0] if z else 1, y, x)
    spacing = (1.0, 1.0, 1.0) if format_of(path) is Format.PNG else vector((*image.GetSpacing()[:3], 1.0)[:3])
    if not known:
        # A place in the patient means nothing without an orientation, and formats make up different ones.
        return geometry(path, shape, spacing, (0.0, 0.0, 0.0), IDENTITY, known=False)
    n = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(n, n)[:3, :3]
    return geometry(path, shape, spacing, vector(image.GetOrigin()[:3]), matrix(direction), known=True)


def geometry(path: Path, shape: Shape, spacing: Vector, origin: Vector, direction: Matrix, *, known: bool) -> Geometry:
    """Geometry of a file, its faults told as the user's.

    Raises
    ------
    InputError
        Spacing, origin or direction are of no use.
    """
    try:
        return Geometry(shape=shape, spacing=spacing, origin=origin, direction=direction, orientation_known=known)
    except ValidationError as e:
        fault = e.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {fault}; resample it to a straight grid or correct the header") from e


def to_image(array: Array, grid: Geometry) -> sitk.Image:
    """SimpleITK image of (z, y, x), or (c, z, y, x) as a vector image, on a grid."""
    vectors = array.ndim == 4
    image = sitk.GetImageFromArray(np.moveaxis(array, 0, -1) if vectors else array, isVector=vectors)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection([v for row in grid.direction for v in row])
    return image


def vector(values: Iterable[float]) -> Vector:
    """Three floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def matrix(values: Array) -> Matrix:
    """Three rows of three floats."""
    a, b, c = (vector(row) for row in values)
    return a, b, c
