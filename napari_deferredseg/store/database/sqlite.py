"""All that is particular to SQLite: one file, its settings, its locks, its backup."""

from __future__ import annotations

import contextlib
import glob
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.records import utc_now
from napari_deferredseg.store.database.failures import as_told
from napari_deferredseg.store.database.migrate import Standing, standing, upgrade
from napari_deferredseg.store.database.turns import begin_writing
from napari_deferredseg.store.files import private_file
from napari_deferredseg.store.record import guards
from napari_deferredseg.store.record.adopt import adopt
from napari_deferredseg.store.tables.sql_events import record_event

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_deferredseg.store.arrays import PredictionFiles

WRITES, READS_ONLY = "deferredseg_writes", "deferredseg_reads_only"
ELSEWHERE = "copy the project's folder to a local disk where you may write"
BUSY_SECONDS = 10
COPY = ".before-update-"
PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",
    "secure_delete=ON",
    f"busy_timeout={BUSY_SECONDS * 1000}",
)


def new_engine(path: Path) -> Engine:
    """Make a new database file that only its user may read.

    Raises
    ------
    InputError
        The file exists, or cannot be made.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise InputError(f"{path} exists already: open it, or give another name") from None
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror or error}") from None
    engine = _engine(path)
    try:
        _write_ahead(engine)
        _migrate(engine, None)
    except BaseException as error:
        engine.dispose()
        path.unlink(missing_ok=True)
        if isinstance(error, DatabaseError | sqlite3.DatabaseError):
            raise as_told(error, path) from error
        raise
    return engine


def known_engine(path: Path, files: PredictionFiles | None = None) -> Engine:
    """Open a database file; one of an older version is copied to a backup beside it, then brought up to date.

    `files` are the arrays that its predictions name. Where nothing can be written, it is opened to be read.

    Raises
    ------
    InputError
        The file is missing, is not a database of ours, is damaged, or was made by a newer program.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the name, or make a new project")
    engine = _engine(path) if _is_writable(path) else _reading_engine(path)
    try:
        _bring_up_to_date(engine, path, files)
    except (OperationalError, sqlite3.OperationalError) as error:
        engine.dispose()
        raise as_told(error, path) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        engine.dispose()
        raise Damaged(f"{path} is damaged or no database of this program: restore it from a backup") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def file_problems(connection: Connection) -> list[str]:
    """What SQLite itself finds wrong with the file: torn pages, rows that point nowhere, triggers of somebody else."""
    torn = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(10)") if row[0] != "ok"]
    astray = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    there = guards.present(connection)
    strange = sorted(set(there) - set(guards.expected()))
    return [
        *(f"the database file is damaged: {line}" for line in torn),
        *(f"a row of {row[0]} points at a row of {row[2]} that is not there" for row in astray),
        *(f"the database has a trigger that is not of this program, {name!r}" for name in strange),
        *(f"the trigger {name} is missing from the database" for name in guards.missing(connection)),
    ]


def copies_with(engine: Engine, corrections: Collection[str]) -> list[str]:
    """Names of the copies from before an update that still hold the content of some corrections."""
    path = Path(engine.url.database or "")
    names = []
    for copy in sorted(path.parent.glob(f"{glob.escape(path.name)}{COPY}*")):
        place = f"{copy.resolve().as_uri()}?mode=ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(place, uri=True)) as raw:
                kept = {row[0] for row in raw.execute("SELECT correction_id FROM correction_payloads")}
        except sqlite3.Error:
            continue  # no database
        if kept & set(corrections):
            names.append(copy.name)
    return names


def fold_log(engine: Engine) -> None:
    """Move the write-ahead log into the file and empty it, so that what was deleted is gone from both."""
    _outside_transaction(engine, "PRAGMA wal_checkpoint(TRUNCATE)")


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _reading_engine(path: Path) -> Engine:
    """Engine on a file that cannot change, where no log and no locks can be laid beside it."""
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise InputError(f"{path} was copied while somebody wrote to it, and nothing can be written here: {ELSEWHERE}")
    place = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        creator=lambda: sqlite3.connect(place, uri=True, check_same_thread=False),
        execution_options={READS_ONLY: True},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None
    for pragma in PRAGMAS:
        raw.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer: it fails at once. So writers say
    # at the beginning that they will write.
    raw: Any = connection.connection.driver_connection
    if connection.get_execution_options().get(WRITES):
        begin_writing(raw, BUSY_SECONDS * 1000)
    else:
        raw.execute("BEGIN").close()


def _write_ahead(engine: Engine) -> None:
    # The file remembers it, so one that is merely opened, perhaps somebody else's, is left as it is.
    if _outside_transaction(engine, "PRAGMA journal_mode=WAL") != "wal":
        raise InputError(f"{engine.url.database} is on a disk without shared memory: put the project on a local disk")


def _outside_transaction(engine: Engine, statement: str) -> object:
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        row = cursor.execute(statement).fetchone()
        cursor.close()
        return row[0]
    finally:
        raw.close()


def _bring_up_to_date(engine: Engine, path: Path, files: PredictionFiles | None) -> None:
    with engine.begin() as connection:
        found = standing(connection)
        guarded = found is not Standing.CURRENT or not guards.missing(connection)
    if found is Standing.FOREIGN:
        raise InputError(f"{path} is no database of this program: give the one in a project's folder")
    if found is Standing.NEWER:
        raise InputError(f"{path} was made by a newer version of napari-deferredseg: update this one")
    if engine.get_execution_options().get(READS_ONLY):
        if found is Standing.OLDER:
            raise InputError(
                f"{path} was made by an earlier version and cannot be brought up to date here: {ELSEWHERE}"
            )
        return
    if found is Standing.OLDER:
        _back_up(path)
        _migrate(engine, files)
    if not guarded:
        _guard(engine)


def _migrate(engine: Engine, files: PredictionFiles | None) -> None:
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        guards.remove(connection)
        upgrade(connection)
        guards.remove(connection)  # the first migration makes some of its own
        adopt(connection, files)
        guards.put_back(connection)


def _guard(engine: Engine) -> None:
    """Put missing triggers back, and leave a note that they were missing."""
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        names = guards.missing(connection)
        if names:
            guards.put_back(connection)
            record_event(connection, "guard", facts={"missing": names})


def _back_up(path: Path) -> None:
    copy = path.with_name(f"{path.name}{COPY}{utc_now():%Y%m%dT%H%M%S%f}")
    os.close(private_file(copy))
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
