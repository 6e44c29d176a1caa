"""Which format a file has, and which can be written."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Format(Enum):
    """Format of an image file; its value holds the suffixes, in small letters."""

    NIFTI = (".nii.gz", ".nii", ".hdr", ".img")
    """.hdr and .img are a header and its voxels in two files; either names both."""
    NRRD = (".nrrd", ".nhdr")
    META = (".mha", ".mhd")
    PNG = (".png",)
    DICOM = (".dcm", ".dicom", ".ima")


SUFFIXES = {suffix: kind for kind in Format for suffix in kind.value}
WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")


def suffix_of(path: Path) -> str:
    """Suffix in small letters, ".nii.gz" in one piece; "" when there is none."""
    name = path.name.casefold()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.casefold()


def stem_of(path: Path) -> str:
    """File name without its suffix: "case1" of "case1.nii.gz"."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name


def format_of(path: Path) -> Format | None:
    """Format of a file by its suffix, else by how it begins (DICOM often has none); None where it is none of ours.

    A file that is not there has the format of its name. `OSError` where one without a suffix cannot be opened.
    """
    known = SUFFIXES.get(suffix_of(path))
    if known is None and path.is_file() and is_dicom(path):
        return Format.DICOM
    return known


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM mark, or begins as DICOM without a preamble, whatever its name."""
    with path.open("rb") as f:
        return begins_as_dicom(f.read(132))


def begins_as_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes of a file are those of DICOM, with its mark or without (ACR-NEMA, raw exports)."""
    if head[128:132] == b"DICM":
        return True
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    if head[:2] == b"\x00\x08" and explicit:
        return True
    if head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3:4] != b"\x00" or head[2:3] > b"\x60":
        return False
    return explicit or 0 <= int.from_bytes(head[4:8], "little") < 128 < len(head)


def check_writable(path: Path) -> None:
    """Check the suffix and the folder of a file to be written.

    Raises
    ------
    InputError
        The format cannot be written, or the folder does not exist.
    """
    if suffix_of(path) not in WRITABLE:
        raise InputError(f"{path}: cannot write this format; use one of {', '.join(WRITABLE)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK's own warnings off the user's screen; what matters in them we say ourselves."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
