"""A project: one folder that holds the database, the predictions and the journal."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote, unquote_to_bytes

import psutil
from pydantic import BaseModel, Field, ValidationError

from napari_deferredseg.core.errors import Damaged, InputError, NotAllowed
from napari_deferredseg.core.records import Record, new_id, utc_now
from napari_deferredseg.io.plain_names import is_plain
from napari_deferredseg.store.arrays import PredictionFiles
from napari_deferredseg.store.database.failures import CANNOT_WRITE
from napari_deferredseg.store.drafts.journal import Journal
from napari_deferredseg.store.sql import create_sqlite, open_sqlite
from napari_deferredseg.usecases.keys import use_own_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from napari_deferredseg.core.records import Reader
    from napari_deferredseg.store.base import Store

FILE = "project.json"
DATABASE = "project.sqlite"
FORMAT = 1
QUOTED = "./"
NETWORK = frozenset(
    (
        *(
            "9p",
            "afpfs",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "davfs",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
        ),
        *("smb", "smb2", "smb3", "smbfs", "virtiofs", "webdav"),
        *("fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    )
)


class ProjectInfo(Record):
    """What `project.json` holds. `hash_key` salts the voxel hashes, so that they mean nothing outside the project."""

    id: str = Field(default_factory=new_id)
    name: str
    format: int = FORMAT
    hash_key: str = Field(default_factory=lambda: secrets.token_hex(32), pattern="^[0-9a-f]{64}$")
    created: datetime = Field(default_factory=utc_now)


class _Format(BaseModel):
    """The one thing that every version of `project.json` says; a newer one may say more."""

    format: int


@dataclass(frozen=True)
class Project:
    """An open project. Close it, or use it in a `with` block."""

    folder: Path
    info: ProjectInfo
    store: Store
    predictions: PredictionFiles
    journal: Journal

    @property
    def key(self) -> bytes:
        """Key of the voxel hashes."""
        return bytes.fromhex(self.info.hash_key)

    def relative(self, path: Path) -> str:
        """Path as the records keep it: relative to the folder where both are on one drive, with forward slashes.

        One that is not UTF-8 is kept as its bytes, quoted, behind a "./" that no other begins with.
        """
        try:
            found = Path(os.path.relpath(path.resolve(), self.folder)).as_posix()
        except ValueError:  # another drive, on Windows
            found = path.resolve().as_posix()
        return found if is_plain(found) else QUOTED + quote(os.fsencode(found))

    def absolute(self, source: str) -> Path:
        """Return the path that `relative` stored."""
        if source.startswith(QUOTED):
            source = os.fsdecode(unquote_to_bytes(source.removeprefix(QUOTED)))
        return (self.folder / source).resolve()

    def close(self) -> None:
        """Let go of the database and of what is open."""
        self.journal.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Mount(NamedTuple):
    """A mounted file system, as psutil lists them."""

    mountpoint: str
    fstype: str
    opts: str


def init_project(folder: Path, name: str | None = None, admin: Reader | None = None) -> Project:
    """Make a new project folder.

    Parameters
    ----------
    admin : Reader, optional
        Its first admin. A project without one grants everything to everybody.

    Raises
    ------
    InputError
        The folder holds something already, lies on a network share, or cannot be written.
    """
    folder = folder.resolve()
    refuse_unreadable_name(folder)
    refuse_used(folder)
    refuse_network(folder)
    made = not folder.exists()
    info = ProjectInfo(name=name or folder.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        create_sqlite(folder / DATABASE).close()
        (folder / FILE).write_text(info.model_dump_json(indent=1), encoding="utf-8")
        project = open_project(folder)
    except BaseException as error:
        _unmake(folder, made)
        if isinstance(error, OSError):
            raise InputError(f"{folder} cannot be written: {error.strerror or error}; choose another place") from None
        raise
    if admin is None:
        return project
    try:
        project.store.add_reader(admin, admin.login)
    except BaseException:
        project.close()
        _unmake(folder, made)
        raise
    return project


def open_project(folder: Path) -> Project:
    """Open a project folder.

    Raises
    ------
    InputError
        It is none, was made by a newer version, or lies on a network share.
    Damaged
        What it holds is not what was written.
    """
    folder = folder.resolve()
    refuse_unreadable_name(folder)
    file = folder / FILE
    if not file.is_file():
        raise InputError(
            f"{folder} is no project: choose a project's own folder, or make one: deferredseg project init"
        )
    refuse_network(folder)
    info, predictions = _read_info(file), PredictionFiles(folder / "predictions")
    store = open_sqlite(folder / DATABASE, predictions)
    try:
        use_own_key(info.id, store)
    except BaseException:
        store.close()
        raise
    return Project(folder, info, store, predictions, Journal(folder / "journal"))


def require_writable(project: Project) -> None:
    """Raise InputError, before long work, when nothing can be written in a project."""
    if project.store.reads_only:
        raise NotAllowed(f"{project.folder}: {CANNOT_WRITE}")
    for place in (project.predictions.folder, project.journal.folder):
        if place.exists() and not os.access(place, os.W_OK):
            raise NotAllowed(f"{place} cannot be written: change whose it is, or copy the project to a place of yours")


def _unmake(folder: Path, made: bool) -> None:
    """Leave no half of a project behind."""
    if made:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for part in (FILE, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (folder / part).unlink(missing_ok=True)


def _read_info(file: Path) -> ProjectInfo:
    try:
        text = file.read_text(encoding="utf-8")
        if _Format.model_validate_json(text).format > FORMAT:
            raise InputError(f"{file.parent} was made by a newer version of napari-deferredseg: update this one")
        return ProjectInfo.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise Damaged(f"{file} is damaged: restore it from a backup of the project") from error


def refuse_unreadable_name(folder: Path) -> None:
    """Raise InputError when the name of a project's folder is not UTF-8: records and the database could not hold it."""
    if not is_plain(folder):
        raise InputError(f"{folder}: its name is not UTF-8; rename the folder, or choose another one")


def refuse_used(folder: Path) -> None:
    """Raise InputError when something is in the place of a new project."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a new folder for the project")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: give a new folder for the project")


def refuse_network(folder: Path) -> None:
    """Raise InputError when a folder lies on a network share, where the database's locks do not hold."""
    kind = network_kind(folder, [Mount(p.mountpoint, p.fstype, p.opts) for p in psutil.disk_partitions(all=True)])
    if kind:
        raise InputError(
            f"{folder} is on a network share ({kind}), where two readers could overwrite each other: "
            "put the project on a local disk"
        )


def network_kind(folder: Path, mounts: Sequence[Mount]) -> str | None:
    """Kind of network share that a folder lies on, or None for a local disk."""
    if folder.drive.startswith("\\\\"):
        return "UNC path"
    holding = [m for m in mounts if folder.is_relative_to(m.mountpoint)]
    if not holding:
        return None
    mount = max(holding, key=lambda m: len(Path(m.mountpoint).parts))
    if "remote" in mount.opts.split(","):
        return mount.fstype or "network drive"
    return mount.fstype if mount.fstype.lower() in NETWORK else None
