"""Read one image file of any format but DICOM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.formats import Format, format_of
from napari_deferredseg.io.itk import LoadedImage, load_with_itk
from napari_deferredseg.io.nifti.image import load_nifti, nifti_header

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.io.nifti.forms import Forms


def load(path: Path) -> LoadedImage:
    """Read one image file of any format but DICOM.

    Raises
    ------
    InputError
        Missing, empty, damaged, colour, complex, or not on a straight grid.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again")
    return load_nifti(path) if format_of(path) is Format.NIFTI else load_with_itk(path)


def geometry_of(path: Path) -> Geometry:
    """Grid of an image file; InputError as `load`."""
    return nifti_header(path).geometry if format_of(path) is Format.NIFTI else load_with_itk(path).geometry


def forms_of(path: Path, geometry: Geometry) -> Forms | None:
    """Forms of a NIfTI on this grid; None where the file is another, is no NIfTI, or is not there."""
    try:
        if not path.is_file() or format_of(path) is not Format.NIFTI:
            return None
        header = nifti_header(path)
    except (InputError, OSError):
        return None
    return header.forms if header.geometry.same_grid(geometry) else None
