"""What a DICOM object is: an image, something known to be none, or a contradiction."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pydicom.uid import UID, UID_dictionary

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.elements import numbers, text, whole
from napari_deferredseg.io.dicom.tags import class_of

if TYPE_CHECKING:
    from napari_deferredseg.io.dicom.headers import Header
    from napari_deferredseg.io.dicom.tags import Slice

NOT_IMAGES = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "RTDOSE", "REG", "DOC", "FID", "RWV", "PLAN"}
PLACED = {"RTDOSE"}
"""Of these, those that lie in the patient as an image does."""
MOSAICS = {"MOSAIC": "Siemens MOSAIC", "VFRAME": "United Imaging volume frame"}
CONVERT = "convert it with dcm2niix and give the .nii.gz"


def what_else(header: Header) -> str | None:
    """Name of what an object is that is no image; None for an image.

    Raises
    ------
    InputError
        It says to be an image and lacks what one needs, or says to be something else and holds a slice.
    """
    path, tags = header.path, header.tags
    uid, modality = class_of(header), text(path, tags, "Modality")
    known = _name(uid)
    complete = header.pixels is not None and min(whole(path, tags, n) or 0 for n in ("Rows", "Columns")) > 0
    placed = bool(numbers(path, tags, "ImagePositionPatient")) and modality not in PLACED
    claimed = any("Image Storage" in _name(each) for each in (uid, text(path, header.meta, "MediaStorageSOPClassUID")))
    unsure = not known and modality not in NOT_IMAGES and (complete or placed or not _is_of_its_own_kind(header))
    if claimed or unsure:
        short = header.pixels.short if header.pixels is not None else 0
        if short:
            raise InputError(f"{path}: is cut off, the last {short} bytes of its pixels are missing; copy it again")
        if complete and not (known and "Image Storage" not in known):
            return None
        raise InputError(
            f"{path}: is cut off or damaged, it {_lack(header)}; copy it again, or move it out of the folder"
        )
    kind = known.removesuffix(" Storage") or f"object of type {modality or uid}"
    if placed and header.pixels is not None:
        raise InputError(f"{path}: says to be a {kind} and holds a slice of an image; correct SOPClassUID or Modality")
    return kind


def _name(uid: str) -> str:
    """Name of a kind of object that the standard knows, "" of another."""
    return str(UID(uid).name) if uid in UID_dictionary else ""


def _is_of_its_own_kind(header: Header) -> bool:
    """Whether a file says, whole as far as can be told, to be of a kind that its maker alone knows."""
    path, tags = header.path, header.tags
    uid = text(path, tags, "SOPClassUID")
    said_twice = uid == text(path, header.meta, "MediaStorageSOPClassUID")
    return UID(uid).is_valid and said_twice and bool(text(path, tags, "SeriesInstanceUID"))


def _lack(header: Header) -> str:
    if header.pixels is None:
        return "ends before its pixels"
    if min(whole(header.path, header.tags, n) or 0 for n in ("Rows", "Columns")) > 0:
        return "says twice what kind of object it is, and not the same"
    return "does not say how many rows and columns it has"


def refuse_what_is_unlike_a_slice(s: Slice) -> None:
    """Refuse an image whose numbers are not the grey values of one slice, by the name of what it is.

    Raises
    ------
    InputError
        Colours, a palette, a table of values, a mosaic, or pixels of an unknown kind.
    """
    stored = s.stored
    if stored.photometric == "PALETTE COLOR":
        raise InputError(f"{s}: is a palette colour image; only grey-value DICOM can be read")
    if stored.samples != 1 or stored.photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        kind = stored.photometric or f"{stored.samples} samples a pixel"
        raise InputError(f"{s}: is a colour image ({kind}); only grey-value DICOM can be read")
    mosaic = next((kind for mark, kind in MOSAICS.items() if mark in map(str.upper, s.image_type)), None)
    if mosaic or _tiles(s) > 1:
        kind = mosaic or "Siemens MOSAIC"
        raise InputError(f"{s}: is a {kind}, the slices of a volume as tiles of one picture; {CONVERT}")
    if stored.lookup:
        raise InputError(f"{s}: has its values in a Modality LUT Sequence, which is not read; {CONVERT}")
    if stored.place.floating:
        raise InputError(f"{s}: holds floating-point pixels, which are not read; {CONVERT}")
    allocated, kept, high = stored.bits
    if allocated not in (8, 16, 32) or not 0 < kept <= allocated or high != kept - 1:
        bits = f"BitsAllocated {allocated}, BitsStored {kept}, HighBit {high}"
        raise InputError(f"{s}: its pixels are of an unknown kind ({bits}); correct the tags, or copy it again")


def _tiles(s: Slice) -> int:
    """Slices in a mosaic as Siemens's own header counts them; 0 where it says nothing."""
    if isinstance(s.tiles, int):
        return s.tiles
    if b"NumberOfImagesInMosaic" not in s.tiles:
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # nibabel calls its reading of DICOM experimental; Siemens's header is all we ask
        from nibabel.nicom import csareader
    try:
        return int(csareader.get_n_mosaic(csareader.read(s.tiles)) or 0)
    except (csareader.CSAReadError, ValueError, KeyError, TypeError):
        return 0
