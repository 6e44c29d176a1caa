"""The store over a SQL database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from napari_deferredseg.store.base import LEASE
from napari_deferredseg.store.database.failures import as_told
from napari_deferredseg.store.database.sqlite import (
    READS_ONLY,
    WRITES,
    copies_with,
    file_problems,
    fold_log,
    known_engine,
    new_engine,
)
from napari_deferredseg.store.record import adopt, sql_verify
from napari_deferredseg.store.seal import KEY, MEMORY, RecordCheck
from napari_deferredseg.store.tables import sql_cases, sql_corrections, sql_events, sql_readers, sql_work
from napari_deferredseg.store.tables.clock import StoreClock, computer_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from napari_deferredseg.core.records import (
        Assignment,
        CaseRecord,
        Correction,
        PredictionRecord,
        Reader,
        Region,
        WorkItem,
    )
    from napari_deferredseg.store.arrays import PredictionFiles
    from napari_deferredseg.store.base import ReaderChange
    from napari_deferredseg.store.seal import Mark, Memory, ProjectKey


def create_sqlite(path: Path, clock: Callable[[], datetime] | None = None) -> SqlStore:
    """Make a database file and open it. Another clock than the computer's is for tests.

    Raises
    ------
    InputError
        The file exists, or cannot be made.
    """
    return SqlStore(new_engine(path), clock)


def open_sqlite(
    path: Path, files: PredictionFiles | None = None, clock: Callable[[], datetime] | None = None
) -> SqlStore:
    """Open a database file; an older one is brought up to date after a backup copy was laid beside it.

    `files` are the arrays that its predictions name: those of an older version have no hashes yet.

    Raises
    ------
    InputError
        The file is missing, is none of ours, is damaged, or was made by a newer program.
    """
    return SqlStore(known_engine(path, files), clock)


class SqlStore:
    """`Store` over a SQL database; what each method promises stands there.

    Any thread may call it. Besides what the contract names, every method raises InputError when the database stays
    locked, cannot be written, is damaged, its disk is full, or its file has gone.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] | None = None) -> None:
        self._engine = engine
        self._driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._clock = StoreClock(clock or computer_clock())
        self._writer = engine.execution_options(**{WRITES: True})
        self._key: ProjectKey | None = None
        self._memory: Memory | None = None
        self._regions: dict[str, Region] = {}  # as read before: a region never changes, only who holds it

    @property
    def reads_only(self) -> bool:
        """Whether nothing can be written."""
        return bool(self._engine.get_execution_options().get(READS_ONLY))

    # the record
    def key_id(self) -> str | None:
        """Name of the key that seals the record."""
        with self._transaction(self._engine) as connection:
            return sql_verify.key_id(connection)

    def origin(self) -> str:
        """Hash of what an older version left."""
        with self._transaction(self._engine) as connection:
            return adopt.origin(connection)

    def take_key(self, key: ProjectKey, project: str = "", *, found: bool = False) -> str:
        """Give the project this key, unless it has one."""
        with self._transaction(self._writer.execution_options(**{KEY: key})) as connection:
            return sql_verify.take_key(connection, key, project, found)

    def use_key(self, key: ProjectKey, memory: Memory | None = None) -> None:
        """Seal what is written from now on."""
        self._key, self._memory = key, memory
        if self.key_id() == key.id:
            self._writer = self._writer.execution_options(**{KEY: key, MEMORY: memory})

    def seal(self) -> Mark:
        """Seal what others wrote without the key."""
        with self._transaction(self._writer) as connection:
            return sql_events.append(connection, [])

    def mark(self) -> Mark:
        """Where the record stands."""
        with self._transaction(self._engine) as connection:
            return sql_events.mark(connection)

    # readers
    def add_reader(self, reader: Reader, by: str = "") -> None:
        """Add a reader."""
        with self._transaction(self._writer) as connection:
            sql_readers.add_reader(connection, reader, by)

    def change_reader(self, login: str, what: ReaderChange, changes: Mapping[str, object], by: str = "") -> Reader:
        """Change some fields of a reader."""
        with self._transaction(self._writer) as connection:
            changed = sql_readers.change_reader(connection, login, what, changes, by)
            if not changed.active:
                sql_work.release_all(connection, changed.login, by, self._clock.moment(connection))
            return changed

    def readers(self) -> list[Reader]:
        """List all, by login."""
        with self._transaction(self._engine) as connection:
            return sql_readers.all_readers(connection)

    def reader(self, login: str) -> Reader:
        """Find one by login or unique display name."""
        with self._transaction(self._engine) as connection:
            return sql_readers.find_reader(connection, login)

    # cases
    def add_prediction(
        self,
        case: CaseRecord,
        prediction: PredictionRecord,
        regions: Sequence[Region],
        assignments: Sequence[Assignment],
    ) -> bool:
        """Add a run with its regions and assignments; False when it is known."""
        with self._transaction(self._writer) as connection:
            return sql_cases.add_prediction(
                connection, case, prediction, regions, assignments, self._clock.moment(connection)
            )

    def cases(self) -> list[CaseRecord]:
        """List all, oldest first."""
        with self._transaction(self._engine) as connection:
            return sql_cases.all_cases(connection)

    def case(self, key: str) -> CaseRecord:
        """Find one."""
        with self._transaction(self._engine) as connection:
            return sql_cases.find_case(connection, key)

    def move_case(self, key: str, source: str, series: str) -> None:
        """Say where a case's image lies now."""
        with self._transaction(self._writer) as connection:
            sql_cases.move_case(connection, key, source, series)

    def prediction(self, case_key: str) -> PredictionRecord:
        """Return the newest prediction of a case."""
        with self._transaction(self._engine) as connection:
            return sql_cases.newest_prediction(connection, case_key)

    def predictions(self) -> list[PredictionRecord]:
        """List all predictions, oldest first."""
        with self._transaction(self._engine) as connection:
            return sql_cases.all_predictions(connection)

    def runs_in_use(self) -> set[str]:
        """Ids of the predictions that something needs."""
        with self._transaction(self._engine) as connection:
            return sql_cases.runs_in_use(connection) | sql_corrections.runs_corrected(connection)

    # regions
    def add_region(self, region: Region, assignment: Assignment) -> Region:
        """Add a drawn region."""
        with self._transaction(self._writer) as connection:
            return sql_cases.add_region(connection, region, assignment, self._clock.moment(connection))

    def region(self, region_id: str) -> Region:
        """Find one."""
        with self._transaction(self._engine) as connection:
            return sql_cases.find_region(connection, region_id)

    def items(self, *, case_key: str | None = None) -> list[WorkItem]:
        """List regions with their assignments."""
        with self._transaction(self._engine) as connection:
            return sql_cases.all_items(connection, case_key, self._regions)

    def worklist(self, login: str) -> list[WorkItem]:
        """List what a reader may work on."""
        with self._transaction(self._engine) as connection:
            return sql_cases.worklist(connection, login, self._clock.moment(connection, login).now, self._regions)

    # who holds what
    def standing(self, region_id: str) -> tuple[Assignment, str | None, str]:
        """How a region stands, by whom and by what."""
        with self._transaction(self._engine) as connection:
            return sql_work.standing(connection, region_id)

    def assign(self, region_id: str, *, reader: str | None, group: str | None, by: str, note: str = "") -> Assignment:
        """Give a region to a reader or a group."""
        with self._transaction(self._writer) as connection:
            moment = self._clock.moment(connection)
            return sql_work.assign(connection, region_id, reader=reader, group=group, by=by, note=note, moment=moment)

    def claim(self, region_id: str, login: str, lease: timedelta = LEASE) -> Assignment | None:
        """Take a region, or extend one's own lease."""
        with self._transaction(self._writer) as connection:
            return sql_work.claim(connection, region_id, login, lease, self._clock.moment(connection, login))

    def exchange(self, given_back: str, taken: str, login: str, lease: timedelta = LEASE) -> Assignment | None:
        """Give one region back and take another."""
        with self._transaction(self._writer) as connection:
            moment = self._clock.moment(connection, login)
            return sql_work.exchange(connection, given_back, taken, login, lease, moment)

    def release(self, region_id: str, login: str) -> bool:
        """Give a claimed region back."""
        with self._transaction(self._writer) as connection:
            return sql_work.release(connection, region_id, login, self._clock.moment(connection, login))

    def take_back(self, region_id: str, by: str, note: str = "") -> Assignment:
        """Open a region that somebody has claimed, as a lead or as the one who did."""
        with self._transaction(self._writer) as connection:
            return sql_work.take_back(connection, region_id, by, note, self._clock.moment(connection, by))

    def skip(self, region_id: str, login: str) -> bool:
        """Put a region off."""
        with self._transaction(self._writer) as connection:
            return sql_work.skip(connection, region_id, login, self._clock.moment(connection, login))

    def decline(self, region_id: str, login: str, reason: str) -> bool:
        """Refuse a region, with a reason."""
        with self._transaction(self._writer) as connection:
            return sql_work.decline(connection, region_id, login, reason, self._clock.moment(connection, login))

    # corrections
    def submit(self, correction: Correction) -> Mark:
        """Keep a correction and mark its region submitted."""
        packed = sql_corrections.Packed.of(correction)  # nobody waits for this
        with self._transaction(self._writer) as connection:
            return sql_corrections.submit(connection, packed, self._clock.moment(connection, correction.reader))

    def corrections(self, *, case_key: str | None = None, reader: str | None = None) -> list[Correction]:
        """List corrections that stand, oldest first."""
        with self._transaction(self._engine) as connection:
            return sql_corrections.effective(connection, case_key, reader)

    def history(self, region_id: str) -> list[Correction]:
        """List all corrections of a region, oldest first."""
        with self._transaction(self._engine) as connection:
            return sql_corrections.history(connection, region_id)

    def erase(self, correction_id: str, by: str, reason: str) -> None:
        """Delete a correction's name and payload."""
        with self._transaction(self._writer) as connection:
            sql_corrections.erase(connection, correction_id, by, reason, self._clock.moment(connection))
        if self._engine.dialect.name == "sqlite":
            fold_log(self._engine)

    def verify(self) -> list[str]:
        """Check the record, without any mark."""
        return list(self.check_record().problems)

    def check_record(self, marks: Sequence[Mark] = (), project: str = "") -> RecordCheck:
        """Check the record."""
        with self._transaction(self._engine) as connection:
            known = None if self._memory is None else self._memory.last()
            all_marks = [*marks, *([] if known is None else [known])]
            found = sql_verify.check_record(connection, self._key, all_marks, project, file_problems(connection))
            end, erased = sql_events.mark(connection), sql_verify.erased(connection)
        sealed = self._key is not None and self._key.has_sealed(end.head, end.seal)
        if self._memory is not None and sealed and not found.problems:
            self._memory.keep(end)
        copies = copies_with(self._engine, erased) if erased else []
        left = [
            f"{name}, a copy from before an update, still holds what was erased since: delete it" for name in copies
        ]
        return RecordCheck(found.problems, (*found.remarks, *left))

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                connection.info.pop(sql_events.SEALED, None)
                yield connection
                sealed = connection.info.pop(sql_events.SEALED, None)
            if sealed is not None and self._memory is not None:
                self._memory.keep(sealed)
        except (SQLAlchemyError, self._driver_error) as error:
            raise as_told(error, self._engine.url.database) from error
