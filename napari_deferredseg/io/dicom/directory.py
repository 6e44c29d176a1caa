"""DICOMDIR, the table of contents of a CD: which images a series had when it was written."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pydicom

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.headers import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_deferredseg.io.dicom.tags import Slice

KIND = "Media Storage Directory"


def check_listed(directories: Iterable[Path], series: str, slices: Sequence[Slice]) -> bool:
    """Check that all images are here that a DICOMDIR lists for a series.

    Returns
    -------
    bool
        Whether one lists the series.

    Raises
    ------
    InputError
        Some are not here; the line names the first of them.
    """
    here, found = {s.instance for s in slices}, False
    for path in directories:
        listed = _images(path).get(series, {})
        lost = [name for instance, name in listed.items() if instance not in here]
        if lost:
            raise InputError(
                f"{path}: lists {len(listed)} images of the series of {slices[0].name}, {len(lost)} of them "
                f"({lost[0]}, ...) are not here; copy the whole series"
            )
        found = found or bool(listed)
    return found


def _images(path: Path) -> dict[str, dict[str, str]]:
    """Names of files by UID of their instance, of each series; a table that cannot be read lists none."""
    found: dict[str, dict[str, str]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
            series = ""
            for record in records:
                kind = str(record.get("DirectoryRecordType", ""))
                if kind == "SERIES":
                    series = str(record.get("SeriesInstanceUID", ""))
                elif kind == "IMAGE" and series:
                    name = record.get("ReferencedFileID") or ""
                    shown = name if isinstance(name, str) else "/".join(map(str, name))
                    found.setdefault(series, {})[str(record.get("ReferencedSOPInstanceUIDInFile", ""))] = shown
                elif kind in ("PATIENT", "STUDY"):
                    series = ""
    except (OSError, *DAMAGED):
        return {}
    return found
