"""What ITK does not say about a NIfTI file: that it is cut off, sheared, or without a sound spacing.

ITK reads a truncated file as if it were whole, replaces a spacing of NaN by 1 and drops a sheared sform without an
error, so the header and the length of the data are checked here before ITK sees the file.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

    Readable = gzip.GzipFile | BufferedReader

HEADER_SIZE = 348
CHUNK = 1 << 20
COMPLEX = {32, 1792, 2048}
COLOR = {128, 2304}
FLOATS = {16: "f4", 64: "f8"}
MILLIMETRES_OR_UNSAID = {0, 2}


@dataclass(frozen=True)
class NiftiHeader:
    """Fields of a NIfTI-1 header that decide whether a file is sound. Lengths in mm."""

    endian: str
    dim: tuple[int, ...]
    datatype: int
    bits: int
    pixdim: tuple[float, ...]
    offset: float
    units: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    qoffset: tuple[float, ...]
    sform: tuple[float, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.dim) * self.bits // 8


@dataclass(frozen=True)
class NiftiFacts:
    """What a sound NIfTI says and SimpleITK does not pass on.

    Attributes
    ----------
    orientation_known : bool
        Whether qform or sform say how the axes lie in the patient.
    finite : bool
        Whether no voxel is NaN or infinite. ITK reads those as 0.
    """

    orientation_known: bool
    finite: bool


def check_nifti(path: Path) -> NiftiFacts:
    """Read and check a .nii or .nii.gz, data length included.

    Raises
    ------
    InputError
        Not a NIfTI-1 file, truncated or damaged, or voxels or a grid that are of no use here.
    """
    try:
        with _opened(path) as f:
            header = _parse(path, f.read(HEADER_SIZE))
            _check_voxels(path, header)
            _check_grid(path, header)
            finite = _check_data(path, f, header)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise InputError(f"{path}: the compressed file is damaged or incomplete; copy it again") from e
    return NiftiFacts(header.qform_code > 0 or header.sform_code > 0, finite)


def _opened(path: Path) -> Readable:
    with path.open("rb") as f:
        zipped = f.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped and path.suffix.casefold() == ".gz" else path.open("rb")


def _parse(path: Path, raw: bytes) -> NiftiHeader:
    endian = next((e for e in "<>" if len(raw) == HEADER_SIZE and struct.unpack_from(f"{e}i", raw)[0] == 348), None)
    if endian is None or raw[344:347] not in (b"n+1", b"ni1"):
        raise InputError(f"{path}: is not a NIfTI-1 file; save the image again as .nii.gz, .nrrd or .mha")

    def take(fmt: str, at: int) -> tuple[float, ...]:
        return struct.unpack_from(endian + fmt, raw, at)

    rank = int(take("h", 40)[0])
    if not 1 <= rank <= 7:
        raise InputError(f"{path}: its header claims {rank} dimensions; the file is damaged")
    return NiftiHeader(
        endian=endian,
        dim=tuple(int(n) for n in take("8h", 40)[1 : 1 + rank]),
        datatype=int(take("h", 70)[0]),
        bits=int(take("h", 72)[0]),
        pixdim=take("8f", 76)[1 : 1 + rank],
        offset=take("f", 108)[0],
        units=raw[123] & 7,
        qform_code=int(take("h", 252)[0]),
        sform_code=int(take("h", 254)[0]),
        quaternion=take("3f", 256),
        qoffset=take("3f", 268),
        sform=take("12f", 280),
    )


def _check_voxels(path: Path, h: NiftiHeader) -> None:
    if min(h.dim) < 1:
        raise InputError(f"{path}: its size {h.dim} has an empty axis; there are no voxels to read")
    if not (math.isfinite(h.offset) and h.offset >= 0 and h.bits > 0):
        raise InputError(f"{path}: its header does not say where the voxels lie; the file is damaged")
    if h.datatype in COMPLEX:
        raise InputError(f"{path}: holds complex numbers; save the magnitude image instead")
    if h.datatype in COLOR:
        raise InputError(f"{path}: is a colour image (RGB); save it as grey values or as a label map")


def _check_grid(path: Path, h: NiftiHeader) -> None:
    spacing = np.array(h.pixdim[:3])
    if not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise InputError(f"{path}: its spacing {_figures(spacing)} mm is not positive; correct the header")
    if h.units not in MILLIMETRES_OR_UNSAID:
        raise InputError(f"{path}: its lengths are not in millimetres; convert it")
    if h.sform_code > 0:
        _check_sform(path, h, spacing)
    if h.qform_code > 0 and not (np.all(np.isfinite(h.quaternion + h.qoffset)) and math.hypot(*h.quaternion) < 1.001):
        raise InputError(f"{path}: its qform (position in the patient) holds no rotation; correct the header")


def _check_sform(path: Path, h: NiftiHeader, spacing: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    matrix = np.array(h.sform).reshape(3, 4)
    if not np.all(np.isfinite(matrix)):
        raise InputError(f"{path}: its sform (position in the patient) is not finite; correct the header")
    lengths = np.linalg.norm(matrix[:, :3], axis=0)
    if np.any(np.abs(lengths[: len(spacing)] - spacing) > 1e-3 * spacing) or lengths.min() == 0:
        raise InputError(
            f"{path}: its sform has voxels of {_figures(lengths)} mm, its header says {_figures(spacing)}; correct one"
        )
    unit = matrix[:, :3] / lengths
    if not np.allclose(unit.T @ unit, np.eye(3), atol=1e-3):
        raise InputError(f"{path}: its axes are sheared, not at right angles; resample it to a straight grid")


def _check_data(path: Path, f: Readable, h: NiftiHeader) -> bool:
    """Check that every voxel is there; whether all are finite."""
    f.read(max(0, int(h.offset) - HEADER_SIZE))
    dtype = FLOATS.get(h.datatype)
    there, finite = 0, True
    # To the very end also when enough has come: only there gzip compares its checksum.
    while block := f.read(CHUNK):
        if dtype is not None and there < h.data_bytes:
            whole = min(len(block), h.data_bytes - there) // np.dtype(dtype).itemsize
            finite = finite and bool(np.isfinite(np.frombuffer(block, h.endian + dtype, whole)).all())
        there += len(block)
    if there < h.data_bytes:
        raise InputError(f"{path}: is cut off, {there} of {h.data_bytes} bytes of voxels are there; copy it again")
    return finite


def _figures(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    return " x ".join(f"{v:.5g}" for v in values)
