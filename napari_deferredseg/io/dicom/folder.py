"""What is in a folder: slices by series, other DICOM objects, files known to be something else, and what is wrong."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.elements import text
from napari_deferredseg.io.dicom.kinds import what_else
from napari_deferredseg.io.dicom.side_files import HEAD, is_known_other, what_is_wrong
from napari_deferredseg.io.dicom.stack import ANOTHER_VIEW
from napari_deferredseg.io.dicom.tags import Slice, read_tags, slice_of
from napari_deferredseg.io.formats import begins_as_dicom


@dataclass(frozen=True)
class Fault:
    """A file that may be a slice and cannot be read; `series` is "" where it does not say which."""

    line: str
    series: str


@dataclass
class Contents:
    """Every file below a folder, but those known to be no DICOM.

    Attributes
    ----------
    series : dict
        Slices by the UID of their series; by a name of ours where that is empty.
    others : list of (path, kind)
        DICOM objects that are no images.
    """

    series: dict[str, list[Slice]] = field(default_factory=dict)
    others: list[tuple[Path, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def require_accounted(self, folder: Path, chosen: str) -> None:
        """Check that no file that cannot be read may belong to a series.

        Raises
        ------
        InputError
            One may; the line names it.
        """
        others = self.series.keys() - {chosen}  # what a file that is cut off calls its series may be cut off too
        lines = [fault.line for fault in self.faults if fault.series not in others]
        if lines:
            more = f" (and {len(lines) - 1} more such files)" if len(lines) > 1 else ""
            raise InputError(f"{lines[0]}{more}")
        first = self.series[chosen][0]
        strays = [s for key, group in self.series.items() if key != chosen for s in group if not s.series]
        for s in strays:
            if first.series and s.size == first.size and _same_view(s, first):
                raise InputError(
                    f"{s}: its SeriesInstanceUID is empty, and it may belong to the series of {first.name}; "
                    f"correct the tag, or move it out of {folder.name}"
                )


def look_into(folder: Path) -> Contents:
    """Look at every file below a folder; links are followed.

    Raises
    ------
    InputError
        Not a folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    contents = Contents()
    nameless: list[Slice] = []
    for path in _files_below(folder, contents.faults):
        found = _look_at(path, contents)
        if found is not None and found.series:
            contents.series.setdefault(found.series, []).append(found)
        elif found is not None:
            nameless.append(found)
    for group in _by_likeness(nameless):
        contents.series[_name_of_ours(group[0])] = group
    return contents


def read_slice(path: Path) -> Slice | str:
    """Read the tags of an image, or say what else a DICOM file is.

    Raises
    ------
    InputError
        It is damaged, or contradicts itself.
    """
    header = read_tags(path)
    kind = what_else(header)
    return slice_of(header, header.pixels) if kind is None and header.pixels is not None else kind or "object"


def _files_below(folder: Path, faults: list[Fault]) -> list[Path]:
    def unreadable(e: OSError) -> None:
        faults.append(Fault(f"{e.filename}: this folder cannot be opened ({e.strerror}); make it readable", ""))

    files: list[Path] = []
    seen = set()
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(f for f in folders if os.path.realpath(os.path.join(place, f)) not in seen)
        files += [Path(place, name) for name in names]
    return sorted(files)


def _look_at(path: Path, contents: Contents) -> Slice | None:
    """Slice that a file is; None for others, kept among `others` or `faults` unless they are known to be no DICOM."""
    try:
        if not path.is_file():
            reason = "is no regular file" if path.exists() else "is a link to a file that is not there; get the file"
            contents.faults.append(Fault(f"{path}: {reason}, or move it out of the folder", ""))
            return None
        with path.open("rb") as f:
            head = f.read(HEAD)
        if not begins_as_dicom(head[:132]):
            if not is_known_other(path, head):
                line = f"{path}: {what_is_wrong(path, head)}, or move it out of the folder"
                contents.faults.append(Fault(line, ""))
            return None
        found = read_slice(path)
    except OSError as e:
        contents.faults.append(Fault(f"{path}: cannot be opened ({e.strerror or e}); make it readable", ""))
        return None
    except InputError as e:
        contents.faults.append(Fault(str(e), _series_of(path)))
        return None
    if isinstance(found, str):
        contents.others.append((path, found))
        return None
    return found


def _series_of(path: Path) -> str:
    """UID of the series of a damaged file, "" where it cannot be told."""
    try:
        return text(path, read_tags(path).tags, "SeriesInstanceUID")
    except InputError:
        return ""


def _by_likeness(slices: list[Slice]) -> list[list[Slice]]:
    """Slices without a series, by what a series has in common."""
    groups: list[list[Slice]] = []
    for s in slices:
        alike = next((g for g in groups if _facts(g[0]) == _facts(s) and _same_view(g[0], s)), None)
        if alike is None:
            groups.append([s])
        else:
            alike.append(s)
    return groups


def _facts(s: Slice) -> tuple[object, ...]:
    return s.study, s.modality, s.number, s.description, s.sop_class, s.size, tuple(round(v, 3) for v in s.pixel)


def _same_view(a: Slice, b: Slice) -> bool:
    if len(a.orientation) != len(b.orientation):
        return False
    return not a.orientation or bool(np.abs(np.subtract(a.orientation, b.orientation)).max() < ANOTHER_VIEW)


def _name_of_ours(s: Slice) -> str:
    """Name of a series that has no UID: the same wherever its files lie."""
    view = tuple(round(v) for v in s.orientation)
    return f"no-uid-{hashlib.blake2b(repr((_facts(s), view)).encode(), digest_size=4).hexdigest()}"
