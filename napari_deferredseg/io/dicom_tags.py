"""The few tags of a DICOM file that say which series it belongs to and where its slice lies."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.formats import is_dicom

if TYPE_CHECKING:
    from pathlib import Path

TAGS = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
)
NOT_IMAGES = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "DOC"}


@dataclass(frozen=True)
class Slice:
    """Tags of one file; empty where the file lacks them.

    Attributes
    ----------
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
    """

    path: Path
    instance: str
    series: str
    number: int | None
    description: str
    modality: str
    size: tuple[int, int]
    frames: int
    samples: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel: tuple[float, ...]
    thickness: float

    @property
    def is_image(self) -> bool:
        """Whether it holds pixels of an image rather than a segmentation, a plan or a report."""
        return min(self.size) > 0 and self.modality not in NOT_IMAGES


def read_tags(path: Path) -> Slice | None:
    """Read the tags of a file; None when it is no DICOM file.

    Raises
    ------
    InputError
        It is one, but damaged: leaving it out would lose a slice unseen.
    """
    try:
        if not is_dicom(path):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
            found = _slice(path, tags)
            claims_image = "Image Storage" in str(tags.file_meta.get("MediaStorageSOPClassUID", UID("")).name)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror or e})") from e
    except (InvalidDicomError, EOFError, ValueError, TypeError, AttributeError, NotImplementedError, struct.error) as e:
        raise InputError(f"{path}: its DICOM header is damaged or incomplete; copy it again, or move it away") from e
    if claims_image and not (min(found.size) > 0 and found.series):
        raise InputError(f"{path}: its DICOM header is incomplete; copy it again, or move it out of the folder")
    return found


def _slice(path: Path, tags: Any) -> Slice:
    number = _text(tags, "SeriesNumber")
    stated = _numbers(tags, "SpacingBetweenSlices") + _numbers(tags, "SliceThickness")
    return Slice(
        path=path,
        instance=_text(tags, "SOPInstanceUID"),
        series=_text(tags, "SeriesInstanceUID"),
        number=int(number) if number else None,
        description=_text(tags, "SeriesDescription"),
        modality=_text(tags, "Modality"),
        size=(_whole(tags, "Rows", 0), _whole(tags, "Columns", 0)),
        frames=_whole(tags, "NumberOfFrames", 1),
        samples=_whole(tags, "SamplesPerPixel", 1),
        position=_numbers(tags, "ImagePositionPatient"),
        orientation=_numbers(tags, "ImageOrientationPatient"),
        pixel=_numbers(tags, "PixelSpacing"),
        thickness=next((v for v in stated if v > 0), 1.0),
    )


def _text(tags: Any, name: str) -> str:
    value = tags.get(name)
    return "" if value is None else str(value).strip()


def _whole(tags: Any, name: str, default: int) -> int:
    text = _text(tags, name)
    return int(text) if text else default


def _numbers(tags: Any, name: str) -> tuple[float, ...]:
    value = tags.get(name)
    if value is None or value == "":
        return ()
    return tuple(float(v) for v in value) if hasattr(value, "__iter__") else (float(value),)
