"""Voxels in a file beside their header: only a regular file in the header's own folder is read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_deferredseg.core.errors import InputError


def beside(header: Path, name: str) -> Path:
    """File that a header names.

    Parameters
    ----------
    header : Path
        For the message and the folder.
    name : str
        As it stands in the header.

    Raises
    ------
    InputError
        An absolute name, one that leads out of the folder (by itself or by a link), or no regular file.
    """
    plain = name.strip()
    parts = {*PurePosixPath(plain).parts, *PureWindowsPath(plain).parts}
    if PurePosixPath(plain).is_absolute() or PureWindowsPath(plain).anchor or ".." in parts:
        raise InputError(f"{header}: its voxel file {plain} is not in its folder; put both into one folder")
    data = header.parent / plain
    try:
        inside = data.resolve().is_relative_to(header.parent.resolve())
        there = data.exists() or data.is_symlink()
        regular = data.is_file()
    except (OSError, ValueError, RuntimeError) as e:
        raise InputError(f"{header}: its voxel file {plain} cannot be found; copy both") from e
    if not there:
        raise InputError(f"{header}: its voxel file {plain} is not beside it; copy both")
    if not inside:
        raise InputError(f"{header}: its voxel file {plain} is a link out of its folder; put both into one folder")
    if not regular:
        raise InputError(f"{header}: its voxel file {plain} is no regular file; copy both again")
    return data
