"""The tags of a DICOM file that say which series it belongs to, where its slice lies and what its numbers mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydicom.datadict import tag_for_keyword

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.elements import caption, numbers, one_number, text, value, whole, words
from napari_deferredseg.io.dicom.headers import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.io.dicom.headers import Header, PixelPlace

NAMES = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
)
COUNTS = ("NumberOfSlices", "ImagesInAcquisition", "NumberOfSeriesRelatedInstances")
PRIVATE_COUNTS = {
    (0x20010010, 0x20011018): ("Philips Imaging DD 001", "Philips (2001,1018)"),
    (0x00210010, 0x0021104F): ("GEMS_RELA_01", "GE (0021,104F)"),
}
SIEMENS_TILES, SIEMENS_HEADER = 0x0019100A, 0x00291010
TAGS = (
    *(tag for tag in map(tag_for_keyword, (*NAMES, *COUNTS)) if tag is not None),
    *(tag for pair in PRIVATE_COUNTS for tag in pair),
    *(0x00190010, SIEMENS_TILES, 0x00290010, SIEMENS_HEADER),
)


@dataclass(frozen=True)
class Stored:
    """How the numbers of an image are stored, and what they mean.

    Attributes
    ----------
    place : PixelPlace
        Where they lie.
    bits : (allocated, stored, high)
        As the tags of these names.
    rescale : (slope, intercept) or None
        A value is slope x number + intercept; None where the file states neither.
    """

    place: PixelPlace
    bits: tuple[int, int, int]
    signed: bool
    rescale: tuple[float, float] | None
    photometric: str
    samples: int
    lookup: bool


@dataclass(frozen=True)
class Slice:
    """Tags of one file, or of one frame of it; empty where it lacks them.

    Attributes
    ----------
    frame : int or None
        Number of the frame, from 0; None for a file.
    size : (rows, columns)
        Pixels.
    position : (x, y, z)
        LPS centre of the first pixel, mm.
    orientation : six floats
        LPS direction of growing column number, then of growing row number.
    pixel : (dy, dx)
        Distance of rows and of columns, mm.
    thickness : float
        Spacing or thickness of slices as stated, mm; 1 where it is not. Of use for a single slice only.
    apart : float
        SpacingBetweenSlices, mm; 0 where it is not stated.
    counts : tuple of (tag, number)
        What the file states about how many images there are.
    tiles : bytes or int
        Siemens's own header, or its number of tiles: what tells a mosaic that lost its ImageType.
    """

    path: Path
    frame: int | None
    sop_class: str
    instance: str
    study: str
    series: str
    number: int | None
    description: str
    modality: str
    image_type: tuple[str, ...]
    instance_number: int | None
    size: tuple[int, int]
    frames: int
    stored: Stored
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel: tuple[float, ...]
    thickness: float
    apart: float
    counts: tuple[tuple[str, int], ...]
    tiles: bytes | int

    @property
    def name(self) -> str:
        """Its file's name, with the number of the frame."""
        return self.path.name if self.frame is None else f"frame {self.frame + 1} of {self.path.name}"

    def __str__(self) -> str:
        return f"{self.path}" if self.frame is None else f"{self.path}, frame {self.frame + 1}"


def read_tags(path: Path) -> Header:
    """Read what `slice_of` needs.

    Raises
    ------
    InputError
        The file cannot be opened or parsed.
    """
    return read_header(path, TAGS)


def slice_of(header: Header, place: PixelPlace) -> Slice:
    """Slice that a file holds.

    Raises
    ------
    InputError
        A tag is damaged; the line names it.
    """
    path, tags = header.path, header.tags
    apart = one_number(path, tags, "SpacingBetweenSlices")
    thickness = one_number(path, tags, "SliceThickness")
    return Slice(
        path=path,
        frame=None,
        sop_class=class_of(header),
        instance=text(path, tags, "SOPInstanceUID"),
        study=text(path, tags, "StudyInstanceUID"),
        series=text(path, tags, "SeriesInstanceUID"),
        number=whole(path, tags, "SeriesNumber"),
        description=caption(path, tags, "SeriesDescription"),
        modality=text(path, tags, "Modality"),
        image_type=words(path, tags, "ImageType"),
        instance_number=whole(path, tags, "InstanceNumber"),
        size=(whole(path, tags, "Rows") or 0, whole(path, tags, "Columns") or 0),
        frames=max(whole(path, tags, "NumberOfFrames") or 1, 1),
        stored=_stored(path, tags, place),
        position=numbers(path, tags, "ImagePositionPatient"),
        orientation=numbers(path, tags, "ImageOrientationPatient"),
        pixel=numbers(path, tags, "PixelSpacing"),
        thickness=next((v for v in (apart, thickness) if v and v > 0), 1.0),
        apart=apart if apart and apart > 0 else 0.0,
        counts=_counts(path, tags),
        tiles=_tiles(tags),
    )


def class_of(header: Header) -> str:
    """UID of the kind of object a file says to be."""
    return text(header.path, header.tags, "SOPClassUID") or text(header.path, header.meta, "MediaStorageSOPClassUID")


def rescale_of(path: Path, tags: Any) -> tuple[float, float] | None:
    """Slope and intercept of a file or of a frame.

    Raises
    ------
    InputError
        The slope is 0, or one of them no number.
    """
    slope, intercept = one_number(path, tags, "RescaleSlope"), one_number(path, tags, "RescaleIntercept")
    if slope == 0:
        raise InputError(f"{path}: its RescaleSlope is 0, which makes all values equal; correct the tag")
    if slope is None and intercept is None:
        return None
    return (1.0 if slope is None else slope, intercept or 0.0)


def _stored(path: Path, tags: Any, place: PixelPlace) -> Stored:
    allocated, signed = whole(path, tags, "BitsAllocated"), whole(path, tags, "PixelRepresentation")
    if allocated is None or signed not in (0, 1):
        fault = "BitsAllocated is missing" if allocated is None else f"PixelRepresentation is {signed or 'missing'}"
        raise InputError(f"{path}: does not say how its pixels are stored, {fault}; copy it again")
    kept = whole(path, tags, "BitsStored") or allocated
    high = whole(path, tags, "HighBit")
    return Stored(
        place=place,
        bits=(allocated, kept, kept - 1 if high is None else high),
        signed=bool(signed),
        rescale=rescale_of(path, tags),
        photometric=text(path, tags, "PhotometricInterpretation").upper(),
        samples=whole(path, tags, "SamplesPerPixel") or 1,
        lookup=bool(value(path, tags, "ModalityLUTSequence")),
    )


def _counts(path: Path, tags: Any) -> tuple[tuple[str, int], ...]:
    found = [(name, one_number(path, tags, name)) for name in COUNTS]
    for (owner, tag), (creator, shown) in PRIVATE_COUNTS.items():
        if owner in tags and tag in tags and str(tags[owner].value).strip() == creator:
            found.append((shown, _private_number(tags[tag].value)))
    return tuple((shown, int(number)) for shown, number in found if number is not None and number >= 1)


def _private_number(found: Any) -> float | None:
    try:
        if isinstance(found, bytes):
            return float(int.from_bytes(found, "little")) if len(found) in (2, 4) else None
        return float(found)
    except (ValueError, TypeError):
        return None


def _tiles(tags: Any) -> bytes | int:
    """What Siemens writes about the tiles of a mosaic, as it stands."""
    if SIEMENS_TILES in tags and "SIEMENS MR HEADER" in str(tags.get(0x00190010, "")):
        number = _private_number(tags[SIEMENS_TILES].value)
        return int(number) if number and math.isfinite(number) else 0
    if SIEMENS_HEADER in tags and "SIEMENS CSA HEADER" in str(tags.get(0x00290010, "")):
        found = tags[SIEMENS_HEADER].value
        return found if isinstance(found, bytes) else 0
    return 0
