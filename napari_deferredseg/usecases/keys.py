"""The keys of projects, in the configuration folder of whoever holds them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from typing import TYPE_CHECKING

from platformdirs import user_config_path
from pydantic import Field, ValidationError

from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.names import folder_in
from napari_deferredseg.core.records import Record
from napari_deferredseg.store.files import private_file
from napari_deferredseg.store.seal import Mark, ProjectKey

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.store.base import Store

FOLDER = "DEFERREDSEG_CONFIG"
log = logging.getLogger(__name__)
PLAIN = re.compile(r"[0-9A-Za-z-]{1,64}")


class _KeyFile(Record):
    """What a key file holds: the project's id, and the secret."""

    project: str
    key: str = Field(pattern="^[0-9a-f]{64}$")


class _Sealed(Record):
    """What a key's mark holds. `taken` and `origin`: how long the record was when it got the key, and what it held."""

    length: int = Field(ge=0)
    head: str = Field(pattern="^[0-9a-f]{64}$")
    taken: int = 0
    origin: str = ""


class KeyMemory:
    """`Memory` in a file beside the key."""

    def __init__(self, project_id: str) -> None:
        self.path = key_path(project_id).with_suffix(".mark")

    def last(self) -> Mark | None:
        """Where the record stood when it was last seen sealed; None where nothing is known, or a power cut tore it."""
        found = self._read()
        return (
            None
            if found is None
            else Mark(found.length, found.head, source=f"your key's mark {self.path}", place=str(self.path))
        )

    def keep(self, mark: Mark) -> None:
        """Remember a longer record."""
        known = self._read()
        if known is None:
            self._write(_Sealed(length=mark.length, head=mark.head))
        elif known.length < mark.length:
            self._write(known.model_copy(update={"length": mark.length, "head": mark.head}))

    def begin(self, mark: Mark, origin: str) -> None:
        """Remember a record that has just got the key, and nothing from before."""
        self._write(_Sealed(length=mark.length, head=mark.head, taken=mark.length, origin=origin))

    def knows_no_more(self, origin: str) -> bool:
        """Whether this key has sealed nothing yet, or nothing but the same older project as it was taken over."""
        known = self._read()
        return known is None or bool(origin and known.origin == origin and known.length == known.taken)

    def _read(self) -> _Sealed | None:
        try:
            return _Sealed.model_validate_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeDecodeError, OSError):
            log.warning("what a key remembers of its project is damaged: it is written anew")
            return None

    def _write(self, sealed: _Sealed) -> None:
        unfinished = self.path.with_name(f".{self.path.name}.part-{os.getpid()}-{threading.get_ident()}")
        try:
            # Not synchronised: after a power cut it may be gone, and a reader waits for this.
            with os.fdopen(private_file(unfinished), "w", encoding="utf-8") as stream:
                stream.write(sealed.model_dump_json())
            os.replace(unfinished, self.path)
        except OSError as error:
            log.warning("what a key has sealed could not be remembered (%s)", error)
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)


def own_folder() -> Path:
    """Folder of what belongs to a person and not to a project; `DEFERREDSEG_CONFIG` names another."""
    return folder_in(FOLDER) or user_config_path("napari-deferredseg", appauthor=False)


def plain_name(project_id: str) -> str:
    """File name for a project. Its id is read from a file and may be anything."""
    return project_id if PLAIN.fullmatch(project_id) else hashlib.sha256(project_id.encode()).hexdigest()


def own_key(project_id: str) -> ProjectKey | None:
    """Key of a project, None where this person does not have it, or not any more: a damaged file stops no reading."""
    path = key_path(project_id)
    if not path.is_file():
        return None
    try:
        return read_key(path, project_id)
    except InputError:
        log.warning("the file of a project's key is damaged: import the key again")
        return None


def projects_of_key(key_id: str) -> set[str]:
    """Ids of the projects for which this person keeps the key of a name."""
    found = set()
    for path in (own_folder() / "keys").glob("*.json"):
        with contextlib.suppress(ValidationError, UnicodeDecodeError, OSError):
            kept = _KeyFile.model_validate_json(path.read_text(encoding="utf-8"))
            if ProjectKey(bytes.fromhex(kept.key)).id == key_id:
                found.add(kept.project)
    return found


def use_own_key(project_id: str, store: Store) -> None:
    """Seal what is written with this person's key. A project that never had one gets one, where it can be kept.

    A project that names no key though this person has one takes that one, if it has never sealed anything there.
    Otherwise it is left as it is: somebody took the name out.
    """
    key, memory = own_key(project_id), KeyMemory(project_id)
    if not store.reads_only and store.key_id() is None:
        if key is None:
            key = _make(project_id, store)
        elif memory.knows_no_more(store.origin()):
            _take(key, project_id, store, found=True)
    if key is not None:
        store.use_key(key, memory)


def _make(project_id: str, store: Store) -> ProjectKey | None:
    """Make a key for a project without. None where it cannot be kept, or somebody else was faster."""
    key, path = ProjectKey(), key_path(project_id)
    try:
        write_new_key(path, project_id, key)
    except InputError:
        return own_key(project_id)
    if _take(key, project_id, store, found=False):
        return key
    path.unlink(missing_ok=True)
    return None


def _take(key: ProjectKey, project_id: str, store: Store, *, found: bool) -> bool:
    """Give the project the key. False where it has another, is read-only or busy: it stays as it is for now."""
    with contextlib.suppress(DeferredSegError):
        if store.take_key(key, project_id, found=found) == key.id:
            KeyMemory(project_id).begin(store.mark(), store.origin())
            return True
    return False


def key_path(project_id: str) -> Path:
    """Where this person keeps the key of a project."""
    return own_folder() / "keys" / f"{plain_name(project_id)}.json"


def read_key(path: Path, project_id: str) -> ProjectKey:
    """Key of a project from a file; `InputError` where it holds none, or that of another project."""
    try:
        found = _KeyFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError):
        raise InputError(f"{path} holds no key of a project, or is damaged: import the key again") from None
    if found.project != project_id:
        raise InputError(f"{path} holds the key of another project: import that of this one")
    return ProjectKey(bytes.fromhex(found.key))


def write_new_key(path: Path, project_id: str, key: ProjectKey) -> None:
    """Write a key to a new file that only its user may read; `InputError` where it exists or cannot be written."""
    text = json.dumps(_KeyFile(project=project_id, key=key.secret.hex()).model_dump(), indent=1)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{path} exists already: give another name") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
