"""Write volumes and label maps on their exact grid, whole or not at all."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import labels_present
from napari_deferredseg.io.formats import NIFTI, NRRD, check_writable, quiet_itk, suffix_of
from napari_deferredseg.io.itk import load, to_image
from napari_deferredseg.io.label_tables import segment_keys, table_path, write_table

if TYPE_CHECKING:
    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array, LabelTable, Volume

FORM_CODES = 252
# Level 6 takes four times as long for a fifth less; masks are small either way.
GZIP_LEVEL = 3


def write_labels(path: Path, array: Array, geometry: Geometry, table: LabelTable) -> None:
    """Write a label map on a grid, and its names and colours into `<stem>.labels.csv` beside it.

    Both appear whole or not at all. An NRRD also carries names and colours in its header, as 3D Slicer reads them.

    Parameters
    ----------
    path : Path
        .nii.gz, .nii, .nrrd or .mha.
    array : (z, y, x) uint8 or uint16
        Label values.
    geometry : Geometry
        Its grid.
    table : LabelTable
        Values without an entry get a generated one.

    Raises
    ------
    InputError
        Another format, dtype or shape, or a file that cannot be written; nothing is left behind then.
    """
    check_writable(path)
    _check_grid(path, array.shape, geometry)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: labels must be uint8 or uint16, not {array.dtype}")
    full = table.completed(labels_present(array))
    image = to_image(array, geometry)
    if suffix_of(path) in NRRD:
        for key, value in segment_keys(full).items():
            image.SetMetaData(key, value)
    _write(path, image, geometry, full)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume with its own dtype; several channels as one vector image.

    Raises
    ------
    InputError
        Another format, or a file that cannot be written; nothing is left behind then.
    """
    check_writable(path)
    _check_grid(path, volume.array.shape[-3:], volume.geometry)
    _write(path, to_image(volume.array, volume.geometry), volume.geometry, None)


def _check_grid(path: Path, shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != geometry.shape:
        raise InputError(f"{path}: the array {shape} does not fit the grid {geometry.shape}; nothing was written")
    if not geometry.orientation_known and suffix_of(path) not in NIFTI:
        raise InputError(f"{path}: only NIfTI can say that the orientation is unknown; write .nii.gz or .nii")


def _write(path: Path, image: sitk.Image, geometry: Geometry, table: LabelTable | None) -> None:
    try:
        # In the target's own folder: a move across disks would not be in one piece.
        with TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            part = _write_file(Path(folder) / f"part{suffix_of(path)}", image, geometry)
            if load(part).geometry.difference(geometry) is not None:
                raise InputError(f"{path}: this format cannot hold the grid of the image; write .nrrd or .mha")
            names = table_path(part)
            if table is not None:
                write_table(names, table)
            part.replace(path)
            if table is not None:
                names.replace(table_path(path))
    except RuntimeError as e:
        raise InputError(f"{path}: cannot be written; is the disk full?") from e
    except OSError as e:
        raise InputError(f"{path}: cannot be written ({e.strerror or e})") from e


def _write_file(path: Path, image: sitk.Image, geometry: Geometry) -> Path:
    zipped = path.suffix == ".gz"
    plain = path.with_suffix("") if zipped else path
    with quiet_itk():
        sitk.WriteImage(image, str(plain), useCompression=suffix_of(plain) not in NIFTI, compressionLevel=GZIP_LEVEL)
    if not geometry.orientation_known:
        _forget_orientation(plain)
    if zipped:
        with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=GZIP_LEVEL) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return path


def _forget_orientation(path: Path) -> None:
    """Set qform and sform code of a NIfTI to 0, which SimpleITK cannot."""
    with path.open("r+b") as f:
        f.seek(FORM_CODES)
        f.write(struct.pack("<2h", 0, 0))
