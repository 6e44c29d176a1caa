"""A folder that holds a whole data set: written beside its place, moved there in one piece, known again later."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import utc_now
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.export.provenance import FILE
from napari_deferredseg.io.labels.tables import table_path
from napari_deferredseg.io.writing import write_labels, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import Array, LabelTable

RECEIPT = "receipt.json"
"""What lies beside an export and says where the project's record stood."""
# What file managers leave in a folder that somebody looked at.
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


def refuse_foreign_folder(target: Path, form: str, project: str) -> None:
    """Only an earlier export of the same project, with nothing of anybody else in it, may be replaced.

    Raises
    ------
    InputError
        A file, or a folder with something else in it.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target} is a file: give a folder to export to")
    first = next((p for p in sorted(target.iterdir()) if p.name not in LITTER), None)
    if first is None:
        return
    try:
        facts = json.loads((target / FILE).read_text(encoding="utf-8"))
        known = {FILE, *facts["files"]} if (facts["format"], facts["project"]) == (form, project) else None
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known is None:
        raise InputError(f"{first} exists and is no {form} export of this project: choose another folder")
    if _is_receipt(target / RECEIPT, project):
        known.add(RECEIPT)
    strange = sorted(set(_files_in(target)) - known)
    if strange:
        raise InputError(f"{target / strange[0]} is not from the export there: move it, or choose another folder")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a fresh folder to write to; afterwards it takes the place of `target`, or nothing has changed.

    Raises
    ------
    OSError
        It cannot be written or moved.
    """
    made = [p for p in (target.parent, *target.parent.parents) if not p.exists()]
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=".writing-", dir=target.parent))
        (part / "new").mkdir()
        yield part / "new"
        _swap(part / "new", target, part / "old")
    except BaseException:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise
    shutil.rmtree(part, ignore_errors=True)


def finish(folder: Path, form: str, project: str, cases: Sequence[dict[str, Any]]) -> None:
    """Write the provenance of a data set: its cases, and its files, by which it is known again."""
    facts = {
        "format": form,
        "project": project,
        "written": utc_now().isoformat(),
        "cases": cases,
        "files": sorted(_files_in(folder)),
    }
    write_json(folder / FILE, facts)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in UTF-8."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def write_bare_labels(path: Path, array: Array, geometry: Geometry, table: LabelTable) -> None:
    """Write a label map without the table of names beside it: the data set's own JSON names them."""
    write_labels(path, array, geometry, table)
    table_path(path).unlink()


def write_channels(stem: Path, volume: Volume) -> list[Path]:
    """Write each channel of an image as `<stem>_0000.nii.gz`, `<stem>_0001.nii.gz`, ...; return the files."""
    arrays = volume.array if volume.channels else volume.array[np.newaxis]
    paths = [stem.with_name(f"{stem.name}_{number:04d}.nii.gz") for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        write_volume(path, Volume(array=array, geometry=volume.geometry, source=volume.source))
    return paths


def _swap(new: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise


def _is_receipt(path: Path, project: str) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["project"] == project)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _files_in(folder: Path) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir() and p.name not in LITTER]
