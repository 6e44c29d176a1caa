"""Write a NIfTI plane by plane, its header by nibabel."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import HeaderDataError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.formats import suffix_of
from napari_deferredseg.io.nifti.header import RAS_TO_LPS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.nifti.forms import Forms

# Level 6 takes four times as long for a fifth less; masks are small either way.
GZIP_LEVEL = 3
NO_EXTENSION = bytes(4)
VECTOR = "vector"
SCANNER = 1


def write_nifti(path: Path, array: Array, geometry: Geometry, forms: Forms | None) -> None:
    """Write a .nii or .nii.gz.

    Both forms of the header say the same, where none are given; neither says anything where the orientation is not
    known.

    Parameters
    ----------
    path : Path
        Written at once; a reader may see half of it.
    array : (z, y, x), or (c, z, y, x) for several values of a voxel
        Any type that NIfTI knows.
    geometry : Geometry
        Its grid.
    forms : Forms or None
        Those of the image that a mask belongs to.

    Raises
    ------
    InputError
        The type or a length is beyond NIfTI.
    OSError
        It cannot be written.
    """
    header = _header(path, array, geometry)
    if forms is not None:
        forms.put_into(header)
    planes = array.reshape(-1, *array.shape[-2:])
    plain = suffix_of(path) == ".nii"
    with path.open("wb") if plain else gzip.open(path, "wb", compresslevel=GZIP_LEVEL) as f:
        f.write(header.binaryblock + NO_EXTENSION)
        for plane in planes:
            f.write(np.ascontiguousarray(plane, header.get_data_dtype()).data)


def _header(path: Path, array: Array, geometry: Geometry) -> Nifti1Header:
    header = Nifti1Header(endianness="<")
    shape = array.shape[::-1]
    try:
        header.set_data_dtype(array.dtype)
        header.set_data_shape(shape if array.ndim == 3 else (*shape[:3], 1, shape[3]))
    except HeaderDataError as e:
        raise InputError(f"{path}: NIfTI cannot hold {array.dtype} voxels of size {shape}; write .nrrd or .mha") from e
    if array.ndim == 4:
        header.set_intent(VECTOR)
    header["pixdim"][1:4] = geometry.spacing
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = header.single_vox_offset
    if geometry.orientation_known:
        affine = _ras(geometry)
        header.set_qform(affine, SCANNER)  # at right angles, which the other need not be
        header.set_sform(affine, SCANNER)
    return header


def _ras(geometry: Geometry) -> NDArray[np.float64]:
    """Matrix (4, 4) from (x, y, z) to RAS millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(geometry.direction) * np.array(geometry.spacing)
    affine[:3, 3] = geometry.origin
    return np.asarray(RAS_TO_LPS @ affine)
