"""Files in a DICOM folder that are not DICOM: those known to be something else, and what is wrong with the rest.

A file without the marks of DICOM is left out when its name says that it is something else, by a suffix of `SUFFIXES` or
a name of `NAMES`. Every other one may have been a slice, and is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIXES = """
    .txt .md .rst .log .json .jsonl .xml .xsl .html .htm .css .js .csv .tsv .yaml .yml .toml .ini .inf .cfg
    .conf .url .lnk .pdf .doc .docx .odt .rtf .xls .xlsx .ods .ppt .pptx .png .jpg .jpeg .gif .bmp .tif .tiff
    .svg .ico .webp .mp4 .avi .mov .mpg .wmv .wav .mp3 .nii .nrrd .nhdr .mha .mhd .mgz .mgh .stl .obj .vtk
    .bval .bvec .bvals .bvecs .npy .npz .mat .h5 .hdf5 .pkl .db .sqlite .sqlite-wal .sqlite-shm .lock
    .py .ipynb .m .r .sh .bat .cmd .ps1
    .exe .dll .so .dylib .jar .class .chm .md5 .sha1 .sha256 .mrb .mrml .tfm .seg
"""
_NAMES = """
    dicomdir readme license licence notice version changelog manifest lockfile thumbs.db desktop.ini .ds_store
    autorun.inf .gitkeep .gitignore .gitattributes .keep .nomedia md5sums sha1sums sha256sums checksums
"""
SUFFIXES, NAMES = frozenset(_SUFFIXES.split()), frozenset(_NAMES.split())
PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Rar!": "rar",
}
APPLE_DOUBLE = b"\x00\x05\x16\x07"
POINTERS = {b"version https://git-lfs": "Git LFS", b"/annex/objects/": "git-annex", b"../.git/annex": "git-annex"}
HEAD, CHUNK = 512, 1 << 20


def is_known_other(path: Path, head: bytes) -> bool:
    """Whether a file that is not DICOM is known to be something else."""
    name = path.name.casefold()
    if name in NAMES or (name.startswith("._") and head.startswith(APPLE_DOUBLE)):
        return True
    return name.endswith(".nii.gz") or path.suffix.casefold() in SUFFIXES


def what_is_wrong(path: Path, head: bytes) -> str:
    """Say in a few words why a file that may have been a slice is none.

    Parameters
    ----------
    head : bytes
        Its first 512 bytes.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if not head:
        return "is empty (0 bytes); copy it again"
    packed = next((kind for mark, kind in PACKED.items() if head.startswith(mark)), None)
    if packed is None and head[257:262] == b"ustar":
        packed = "tar"
    if packed:
        return f"is packed ({packed}) and may hold slices; unpack it"
    pointer = next((kind for mark, kind in POINTERS.items() if mark in head), None)
    if pointer:
        return f"is a pointer of {pointer} to a file that is not here; get the file"
    if _all_zero(path):
        return "is filled with zeros, an incomplete copy; copy it again"
    if _is_text(head):
        return "holds text and is named like a slice; copy the slice again"
    return "is no DICOM file, nor known to be something else; copy it again"


def _all_zero(path: Path) -> bool:
    with path.open("rb") as f:
        return all(not chunk.strip(b"\0") for chunk in iter(lambda: f.read(CHUNK), b""))


def _is_text(head: bytes) -> bool:
    return not any(b < 9 or 13 < b < 27 for b in head)
