"""Receipts: how long a project's record was and how it ended, kept where whoever changes the project cannot reach."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.records import Record, utc_now
from napari_deferredseg.export.dataset import RECEIPT
from napari_deferredseg.store.files import private_file
from napari_deferredseg.store.seal import Mark
from napari_deferredseg.usecases.keys import own_folder, plain_name

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.usecases.project import Project

FILE, EARLIER = RECEIPT, "earlier.jsonl"
log = logging.getLogger(__name__)


class Receipt(Record):
    """Where a record stood. `key` names the project's key, `seal` is its HMAC of `head`, where it was at hand."""

    project: str
    length: int = Field(ge=0)
    head: str = Field(pattern="^[0-9a-f]{64}$")
    seal: str | None = None
    key: str | None = None
    at: datetime = Field(default_factory=utc_now)


def remember(project: Project, mark: Mark) -> None:
    """Keep the receipt of a submission in this person's own folder. One that cannot be kept costs no submission."""
    folder = _own(project.info.id)
    try:
        text = _receipt(project, mark).model_dump_json()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In place: emptying or replacing a file makes some file systems wait for the disk, and a reader for them.
        descriptor = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.truncate()
        with (folder / EARLIER).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        log.warning("the receipt of a submission could not be kept (%s)", error)
    except DeferredSegError:
        log.warning("the receipt of a submission could not be kept: the project's key could not be read")


def write_receipt(project: Project, mark: Mark, folder: Path) -> Path:
    """Lay the receipt of an export beside its files. Another project's, or something else of that name, stays."""
    path = folder / FILE
    if path.exists() and not _is_of(path, project):
        path = folder / f"receipt-{plain_name(project.info.id)[:8]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, _receipt(project, mark).model_dump_json(indent=1))
    return path


def projects_with_receipts(key_id: str) -> set[str]:
    """Ids of the projects of which this person keeps receipts that name a key."""
    found = set()
    for path in (own_folder() / "receipts").glob(f"*/{FILE}"):
        with contextlib.suppress(ValidationError, UnicodeDecodeError, OSError):
            receipt = Receipt.model_validate_json(path.read_text(encoding="utf-8"))
            if receipt.key == key_id:
                found.add(receipt.project)
    return found


def own_marks(project_id: str) -> list[Mark]:
    """What this person's own receipts of a project remember; a line that a power cut tore is left out."""
    marks = []
    for path in (_own(project_id) / EARLIER, _own(project_id) / FILE):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            try:
                found = _mark(Receipt.model_validate_json(line), f"your receipt {path}")
                marks.append(replace(found, place=str(path.parent)))
            except ValidationError:
                log.warning(
                    "a line of your own receipts of this project is no receipt and was left out: a power cut leaves "
                    "such a line, and nothing need be done"
                )
    return marks


def read_mark(project: Project, path: Path) -> Mark:
    """What a receipt of this project remembers.

    Raises
    ------
    InputError
        It is missing, is no receipt, or is one of another project.
    """
    try:
        receipt = Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; give a receipt.json") from None
    except (ValidationError, UnicodeDecodeError):
        raise InputError(f"{path} is no receipt: give the receipt.json of a submission or an export") from None
    if receipt.project != project.info.id:
        raise InputError(f"{path} is a receipt of another project than {project.folder}: give one of this project")
    return _mark(receipt, str(path))


def _own(project_id: str) -> Path:
    return own_folder() / "receipts" / plain_name(project_id)


def _receipt(project: Project, mark: Mark) -> Receipt:
    key = project.store.key_id()
    return Receipt(project=project.info.id, length=mark.length, head=mark.head, seal=mark.seal, key=key)


def _mark(receipt: Receipt, source: str) -> Mark:
    return Mark(receipt.length, receipt.head, receipt.seal, source)


def _is_of(path: Path, project: Project) -> bool:
    try:
        return Receipt.model_validate_json(path.read_text(encoding="utf-8")).project == project.info.id
    except (OSError, ValidationError, UnicodeDecodeError):
        return False


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.part-{os.getpid()}")
    with os.fdopen(private_file(unfinished), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(unfinished, path)
