"""Write volumes and label maps on their exact grid, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import labels_present
from napari_deferredseg.io.formats import Format, check_writable, format_of, quiet_itk, suffix_of
from napari_deferredseg.io.itk import to_image
from napari_deferredseg.io.labels.tables import segment_keys, table_path, write_table
from napari_deferredseg.io.nifti.writing import GZIP_LEVEL, write_nifti
from napari_deferredseg.io.plain_names import plain_folder
from napari_deferredseg.io.reading import geometry_of

if TYPE_CHECKING:
    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array, LabelTable, Volume
    from napari_deferredseg.io.nifti.forms import Forms


def write_labels(path: Path, array: Array, geometry: Geometry, table: LabelTable, forms: Forms | None = None) -> None:
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
    forms : Forms, optional
        For NIfTI: those of the image, so that every program that lays the image somewhere lays the mask there too.

    Raises
    ------
    InputError
        Another format, dtype or shape, or a file that cannot be written; nothing is left behind then.
    """
    check_writable(path)
    _check_grid(path, array.shape, geometry)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: labels must be uint8 or uint16, not {array.dtype}")
    _write(path, array, geometry, table.completed(labels_present(array)), forms)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume with its own dtype; several channels as one vector image.

    Raises
    ------
    InputError
        Another format, or a file that cannot be written; nothing is left behind then.
    """
    check_writable(path)
    _check_grid(path, volume.array.shape[-3:], volume.geometry)
    _write(path, volume.array, volume.geometry, None, None)


def _check_grid(path: Path, shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != geometry.shape:
        raise InputError(f"{path}: the array {shape} does not fit the grid {geometry.shape}; nothing was written")
    if not geometry.orientation_known and format_of(path) is not Format.NIFTI:
        raise InputError(f"{path}: only NIfTI can say that the orientation is unknown; write .nii.gz or .nii")


def _write(path: Path, array: Array, geometry: Geometry, table: LabelTable | None, forms: Forms | None) -> None:
    try:
        # In the target's own folder: a move across disks would not be in one piece.
        with TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            part = Path(folder) / f"part{suffix_of(path)}"
            if format_of(part) is Format.NIFTI:
                write_nifti(part, array, geometry, forms)
            else:
                _write_with_itk(part, array, geometry, table)
            if geometry_of(part).difference(geometry) is not None:
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


def _write_with_itk(part: Path, array: Array, geometry: Geometry, table: LabelTable | None) -> None:
    image = to_image(array, geometry)
    if format_of(part) is Format.NRRD and table is not None:
        for key, value in segment_keys(table).items():
            image.SetMetaData(key, value)
    with quiet_itk(), plain_folder(part.parent) as folder:
        sitk.WriteImage(image, str(folder / part.name), useCompression=True, compressionLevel=GZIP_LEVEL)
