"""What a NIfTI header says, parsed by nibabel, and by which rule where it leaves a choice.

The rules: the sform places the image where its code says that there is one, else the qform, as NIfTI's own text and
nibabel have it; a scl_slope of 0, NaN or infinity scales nothing, whatever the intercept is; lengths are millimetres.
What contradicts itself beyond that is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import IDENTITY, Geometry, Shape
from napari_deferredseg.io.headers.limits import require_fits
from napari_deferredseg.io.itk import geometry, matrix, vector
from napari_deferredseg.io.nifti.forms import Forms

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LENGTHS = {348: (b"n+1\0", b"ni1\0"), 540: (b"n+2\0", b"ni2\0")}
MAGIC_AT = {348: 344, 540: 4}
LONGEST_HEADER = 540
LINE_ENDS = (b"\r\n\x1a\n", bytes(4))
COMPLEX = {32, 1792, 2048}
COLOR = {128, 2304}
MILLIMETRES_OR_UNSAID = {0, 2}
COMPONENTS = {1007, 1011}
"""Intents by which the fifth axis holds the values of a voxel: a vector, and numbers without a dimension."""
NO_IMAGE = {
    1004: "matrices",
    1005: "symmetric matrices",
    1006: "displacement vectors",
    1008: "points",
    1009: "triangles",
    1010: "quaternions",
}
CODES = range(6)
MOST_BEFORE = 1 << 30
"""Bytes of extensions before the first voxel."""
RIGHT_ANGLES = 1e-3
SAME_PLACE = 1e-3
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class NiftiHeader:
    """A sound header, the forms as they stand there.

    Attributes
    ----------
    dtype : dtype
        Of the voxels as stored, byte order included.
    offset : int
        Bytes before the first voxel, in the file that holds the voxels.
    scale : (slope, intercept) or None
        None where the stored numbers are the values.
    shape : tuple of int
        Of the array: (z, y, x), or (n, z, y, x) with several volumes or components.
    frames : bool
        Whether that first axis counts volumes rather than components of a voxel.
    detached : bool
        Whether the voxels lie in a file of their own.
    """

    geometry: Geometry
    dtype: np.dtype[Any]
    offset: int
    scale: tuple[float, float] | None
    shape: tuple[int, ...]
    frames: bool
    detached: bool
    forms: Forms
    notes: tuple[str, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of the voxels as stored."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(path: Path, raw: bytes) -> NiftiHeader:
    """Parse and check a header.

    Parameters
    ----------
    raw : bytes
        The first 540 bytes of the file, or what there is of them.

    Raises
    ------
    InputError
        No NIfTI, or voxels or a grid that are of no use here.
    """
    fields, magic = _fields(path, raw)
    sizes = _sizes(path, fields)
    dtype, said = _dtype(path, fields)
    array_shape, frames = _array_shape(path, fields, sizes)
    scale, unscaled = _scale(path, fields)
    require_fits(path, array_shape, dtype.itemsize if scale is None else max(4, dtype.itemsize))
    grid, chosen = _geometry(path, fields, (array_shape[-3], array_shape[-2], array_shape[-1]), len(sizes))
    detached = magic.startswith(b"ni")
    return NiftiHeader(
        geometry=grid,
        dtype=dtype,
        offset=_offset(path, fields, detached),
        scale=scale,
        shape=array_shape,
        frames=frames,
        detached=detached,
        forms=Forms.of(fields),
        notes=(*said, *unscaled, *chosen),
    )


def _fields(path: Path, raw: bytes) -> tuple[Nifti1Header, bytes]:
    for endian in "<>":
        length = int(np.frombuffer(raw[:4].ljust(4, b"\0"), f"{endian}i4")[0])
        if length not in LENGTHS or len(raw) < length:
            continue
        magic = raw[MAGIC_AT[length] :][:4]
        if magic in LENGTHS[length]:
            if length == 540 and raw[8:12] not in LINE_ENDS:
                raise InputError(f"{path}: line ends in it were changed, as a text transfer does; copy it again")
            kind = Nifti1Header if length == 348 else Nifti2Header
            return kind(raw[:length], endianness=endian, check=False), magic
        if length == 348 and magic == bytes(4):
            raise InputError(
                f"{path}: is an Analyze file, which does not say how it lies in the patient; convert it to .nii.gz"
            )
    raise InputError(f"{path}: is not a NIfTI file; save the image again as .nii.gz, .nrrd or .mha")


def _sizes(path: Path, fields: Nifti1Header) -> tuple[int, ...]:
    """Lengths of the axes that the header counts, x first."""
    rank = int(fields["dim"][0])
    if not 1 <= rank <= 7:
        raise InputError(f"{path}: its header claims {rank} dimensions; the file is damaged")
    sizes = tuple(int(n) for n in fields["dim"][1 : 1 + rank])
    if min(sizes) < 1:
        raise InputError(f"{path}: its size {sizes} has an empty axis; there are no voxels to read")
    return sizes


def _dtype(path: Path, fields: Nifti1Header) -> tuple[np.dtype[Any], tuple[str, ...]]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code in COMPLEX:
        raise InputError(f"{path}: holds complex numbers; save the magnitude image instead")
    if code in COLOR:
        raise InputError(f"{path}: is a colour image (RGB); save it as grey values or as a label map")
    known = data_type_codes.dtype[code] if code in data_type_codes.value_set() else None
    if known is None or known.kind not in "iuf" or not 1 <= known.itemsize <= 8:
        name = data_type_codes.label[code] if known is not None else "unknown"
        raise InputError(
            f"{path}: its voxels are of type {code} ({name}), which is not read; save them as 32-bit floats"
        )
    if bits == known.itemsize * 8:
        return known.newbyteorder(fields.endianness), ()
    note = f"{path}: its header gives {bits} bits to a voxel of type {known.name}; the type was taken"
    return known.newbyteorder(fields.endianness), (note,)


def _array_shape(path: Path, fields: Nifti1Header, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """Shape of the array, and whether its first axis counts volumes."""
    intent = int(fields["intent_code"])
    if intent in NO_IMAGE:
        raise InputError(f"{path}: holds {NO_IMAGE[intent]}, no image; give the image that they belong to")
    x, y, z, *more = (*sizes, 1, 1)[: max(3, len(sizes))]
    further = [(axis, n) for axis, n in enumerate(more) if n > 1]
    if len(further) > 1:
        raise InputError(f"{path}: has {len(sizes)} dimensions {sizes}; save each volume in a file of its own")
    if not further:
        return (z, y, x), False
    axis, count = further[0]
    return (count, z, y, x), not (axis == 1 and intent in COMPONENTS)


def _scale(path: Path, fields: Nifti1Header) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or math.isnan(slope) or (slope, inter) == (1.0, 0.0):
        return None, ()
    if math.isinf(slope):
        return None, (f"{path}: its scl_slope is infinite; its values were taken as stored",)
    if not math.isfinite(inter):
        raise InputError(f"{path}: its scl_slope is {slope:g}, its scl_inter {inter:g}; correct the header")
    return (slope, inter), ()


def _offset(path: Path, fields: Nifti1Header, detached: bool) -> int:
    offset, least = float(fields["vox_offset"]), 0 if detached else int(fields["sizeof_hdr"]) + 4
    if not (math.isfinite(offset) and least <= offset <= MOST_BEFORE and offset == int(offset)):
        raise InputError(f"{path}: its voxels start at byte {offset:g} by its header, which cannot be; save it again")
    return int(offset)


def _geometry(path: Path, fields: Nifti1Header, shape: Shape, rank: int) -> tuple[Geometry, tuple[str, ...]]:
    """Grid of a volume, and what to say of the choice."""
    spacing = np.array(fields["pixdim"][1:4], float)
    spacing[rank:] = np.where(spacing[rank:] > 0, spacing[rank:], 1.0)
    if not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise InputError(f"{path}: its spacing {_figures(spacing)} mm is not positive; correct the header")
    if int(fields["xyzt_units"]) & 7 not in MILLIMETRES_OR_UNSAID:
        raise InputError(f"{path}: its lengths are not in millimetres; convert it")
    codes = {name: int(fields[f"{name}_code"]) for name in ("qform", "sform")}
    for name, code in codes.items():
        if code not in CODES:
            raise InputError(f"{path}: its {name}_code {code} is none of 0 to {CODES[-1]}; correct the header")
    sform = _placed(path, shape, _sform(path, fields, spacing[:rank])) if codes["sform"] else None
    qform = _placed(path, shape, _qform(path, fields, spacing, alone=sform is None)) if codes["qform"] else None
    chosen = sform or qform
    if chosen is None:
        # A place in the patient means nothing without an orientation.
        return geometry(path, shape, vector(spacing), (0.0, 0.0, 0.0), IDENTITY, known=False), ()
    if sform is None or qform is None or sform.same_grid(qform, SAME_PLACE):
        return chosen, ()
    return sform, (_both_forms(path, sform, qform, codes),)


def _placed(path: Path, shape: Shape, affine: NDArray[np.float64]) -> Geometry:
    lps = RAS_TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return geometry(path, shape, vector(spacing), vector(lps[:3, 3]), matrix(lps[:3, :3] / spacing), known=True)


def _sform(path: Path, fields: Nifti1Header, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.array(fields.get_sform(), float)
    if not np.all(np.isfinite(affine)):
        raise InputError(f"{path}: its sform (position in the patient) is not finite; correct the header")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.any(np.abs(lengths[: len(spacing)] - spacing) > 1e-3 * spacing) or lengths.min() == 0:
        raise InputError(
            f"{path}: its sform has voxels of {_figures(lengths)} mm, its header says {_figures(spacing)}; correct one"
        )
    unit = affine[:3, :3] / lengths
    if not np.allclose(unit.T @ unit, np.eye(3), atol=RIGHT_ANGLES):
        raise InputError(f"{path}: its axes are sheared, not at right angles; resample it to a straight grid")
    return affine


def _qform(path: Path, fields: Nifti1Header, spacing: NDArray[np.float64], *, alone: bool) -> NDArray[np.float64]:
    plain = fields.copy()
    plain["pixdim"][1:4] = spacing
    side = float(plain["pixdim"][0])
    if side not in (-1, 0, 1):
        raise InputError(f"{path}: pixdim[0] of its qform is {side:g}, it must be 1 or -1; correct the header")
    plain["pixdim"][0] = side or 1  # as NIfTI's text has it
    quaternion = np.array([plain[f"quatern_{axis}"] for axis in "bcd"], float)
    length = float(np.linalg.norm(quaternion))
    if 1 < length < 1 + RIGHT_ANGLES and not alone:
        for axis, value in zip("bcd", quaternion / length, strict=True):
            plain[f"quatern_{axis}"] = value
    try:
        affine = np.array(plain.get_qform(), float)
    except (HeaderDataError, ValueError) as e:
        raise InputError(f"{path}: its qform (position in the patient) holds no rotation; correct the header") from e
    if not np.all(np.isfinite(affine)):
        raise InputError(f"{path}: its qform (position in the patient) is not finite; correct the header")
    return affine


def _both_forms(path: Path, sform: Geometry, qform: Geometry, codes: dict[str, int]) -> str:
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in sform.shape], indexing="ij"), axis=-1)
    apart = float(np.linalg.norm(sform.lps(corners) - qform.lps(corners), axis=-1).max())
    return (
        f"{path}: its qform (code {codes['qform']}) and its sform (code {codes['sform']}) place it up to "
        f"{apart:.3g} mm apart; the sform was taken, other programs may take the qform"
    )


def _figures(values: NDArray[np.float64]) -> str:
    return " x ".join(f"{v:.5g}" for v in values)
