"""What is particular to the file: versions, tampering, permissions, locks, speed."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from napari_deferredseg.core.errors import Busy, Damaged, InputError, NotAllowed
from napari_deferredseg.core.records import Assignment, Reader
from napari_deferredseg.store.database import turns
from napari_deferredseg.store.sql import SqlStore, create_sqlite, open_sqlite
from napari_deferredseg.store.tables.schema import VERSION_TABLE, metadata

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.records import Correction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "project.sqlite"
    store = create_sqlite(path)
    store.add_reader(Reader(login="anna", name="Anna", groups=("all",)))
    store.add_reader(Reader(login="ben", name="Ben", groups=("all",)))
    store.close()
    return path


def edit(path: Path, *statements: str, triggers: bool = False) -> None:
    """Change the file behind the program's back, as somebody with a database tool would."""
    with closing(sqlite3.connect(path)) as raw:
        if not triggers:
            for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            raw.execute(statement)
        raw.commit()


def ask(path: Path, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(statement).fetchall()


class TestFiles:
    def test_an_existing_file_is_not_overwritten(self, path):
        before = path.read_bytes()
        with pytest.raises(InputError, match="exists already"):
            create_sqlite(path)
        assert path.read_bytes() == before

    def test_where_no_folder_is(self, tmp_path):
        with pytest.raises(InputError, match="cannot be made"):
            create_sqlite(tmp_path / "no" / "s.sqlite")
        with pytest.raises(InputError, match="does not exist"):
            open_sqlite(tmp_path / "s.sqlite")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("content", "error"), [(b"", InputError), (b"no database at all" * 100, Damaged)])
    def test_another_file_is_refused_and_left_alone(self, tmp_path, content, error):
        other = tmp_path / "other"
        other.write_bytes(content)
        with pytest.raises(error, match="no database of this program"):
            open_sqlite(other)
        assert other.read_bytes() == content
        assert list(tmp_path.iterdir()) == [other]

    def test_somebody_elses_database_is_refused_and_left_alone(self, tmp_path):
        other = tmp_path / "other.sqlite"
        edit(other, "CREATE TABLE readers (login TEXT)")
        before = other.read_bytes()
        with pytest.raises(InputError, match="no database of this program"):
            open_sqlite(other)
        assert other.read_bytes() == before

    def test_a_damaged_database_is_said_in_one_line(self, path):
        content = bytearray(path.read_bytes())
        content[100:4096] = bytes(3996)
        path.write_bytes(content)
        with pytest.raises(Damaged, match=r"project\.sqlite"):
            open_sqlite(path)

    @pytest.mark.skipif(os.name != "posix", reason="Windows keeps permissions elsewhere")
    def test_only_the_user_may_read(self, path):
        store = open_sqlite(path)
        store.add_reader(Reader(login="kim", name="Kim"))
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
        store.close()
        assert len(modes) == 3
        assert set(modes.values()) == {0o600}

    def test_odd_names(self, tmp_path):
        path = tmp_path / "100% #1? größe.sqlite"
        create_sqlite(path).close()
        assert open_sqlite(path).readers() == []
        assert path.is_file()


class TestVersions:
    def test_the_migrations_lead_to_the_schema(self, path):
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            options = {"version_table": VERSION_TABLE, "compare_type": True}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        engine.dispose()
        assert ask(path, f"SELECT version_num FROM {VERSION_TABLE}") == [("0003",)]

    def test_a_current_one_is_opened_without_a_backup(self, path):
        open_sqlite(path).close()
        assert [p.name for p in path.parent.iterdir()] == ["project.sqlite"]

    def test_an_older_one_is_copied_then_migrated(self, tmp_path):
        path = tmp_path / "old.sqlite"
        edit(path, f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)", "CREATE TABLE kept (x)")
        store = open_sqlite(path)
        store.add_reader(Reader(login="anna", name="Anna"))
        store.close()
        (copy,) = tmp_path.glob("old.sqlite.before-update-*")
        tables = {name for (name,) in ask(copy, "SELECT name FROM sqlite_master")}
        assert tables == {VERSION_TABLE, "kept"}
        if os.name == "posix":
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600

    def test_a_newer_one_is_refused_and_left_alone(self, path):
        edit(path, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(InputError, match="newer version"):
            open_sqlite(path)
        assert ask(path, "SELECT login FROM readers ORDER BY login") == [("anna",), ("ben",)]
        assert [p.name for p in path.parent.iterdir()] == ["project.sqlite"]

    def test_migrating_is_silent(self, tmp_path):
        code = (
            "import sys, pathlib; from napari_deferredseg.store.sql import *; create_sqlite(pathlib.Path(sys.argv[1]))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "s.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("", "")


class TestTampering:
    @pytest.fixture
    def three(self, path, make) -> list[Correction]:
        store = open_sqlite(path)
        regions = make.run(store, make.case(), 3, group="all")
        sent = [make.correction(region, "anna", n) for n, region in enumerate(regions)]
        for one in sent:
            store.submit(one)
        assert store.verify() == []
        store.close()
        return sent

    def found(self, path: Path) -> list[str]:
        store = open_sqlite(path)
        try:
            return store.verify()
        finally:
            store.close()

    @pytest.mark.parametrize("verb", ["UPDATE {} SET {} = 'x'", "DELETE FROM {}"])
    @pytest.mark.parametrize(("table", "column"), [("corrections", "digest"), ("events", "what")])
    def test_the_database_itself_refuses(self, path, three, verb, table, column):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            edit(path, verb.format(table, column), triggers=True)
        assert self.found(path) == []

    @pytest.mark.parametrize(
        "change",
        [
            "note = 'harmless'",
            "verdict = 'accepted'",
            "active_seconds = active_seconds + 0.001",
            "submitted = '2030-01-01 00:00:00.000000'",
            "model_id = 'better'",
            "voxel_hash = 'z'",
            "box = '[[0, 3], [2, 7], [3, 6]]'",
            "box = '[[0, 3]]'",
            "salt = x'00'",
            "after = before",
            "support = zeroblob(9)",
        ],
    )
    def test_a_changed_payload_is_found(self, path, three, change):
        edit(path, f"UPDATE correction_payloads SET {change} WHERE correction_id = '{three[1].id}'")
        (line,) = self.found(path)
        assert line.startswith("correction 2, of region ")
        assert three[1].id not in line
        assert "not what was submitted" in line

    def test_another_name_under_it_is_found(self, path, three):
        edit(path, f"UPDATE correction_authors SET reader = 'ben' WHERE correction_id = '{three[0].id}'")
        assert [line.startswith("correction 1, of region ") for line in self.found(path)] == [True]

    @pytest.mark.parametrize("column", ["digest", "chain", "previous"])
    def test_a_changed_link_is_found(self, path, three, column):
        edit(path, f"UPDATE corrections SET {column} = '{'f' * 64}' WHERE sequence = 2")
        assert "correction 2, of region " in " ".join(self.found(path))

    @pytest.mark.parametrize("sequence", [1, 2, 3])
    def test_a_removed_one_is_found(self, path, three, sequence):
        identity = three[sequence - 1].id
        edit(
            path,
            f"DELETE FROM correction_payloads WHERE correction_id = '{identity}'",
            f"DELETE FROM correction_authors WHERE correction_id = '{identity}'",
            f"DELETE FROM corrections WHERE id = '{identity}'",
        )
        assert "2 corrections, 3 expected" in self.found(path)[-1]

    def test_a_payload_deleted_without_an_erasure_is_found(self, path, three):
        edit(path, f"DELETE FROM correction_payloads WHERE correction_id = '{three[2].id}'")
        (line,) = self.found(path)
        assert "missing and nobody has erased it" in line

    def test_an_erased_one_cannot_be_moved_to_another_region(self, path, three):
        store = open_sqlite(path)
        store.erase(three[0].id, "anna", "wish")
        store.close()
        edit(path, f"UPDATE corrections SET region_id = '{three[1].region_id}' WHERE sequence = 1")
        assert "correction 1, of region " in " ".join(self.found(path))


def test_nothing_of_an_erased_correction_is_left_in_the_file(path, make):
    store = open_sqlite(path)
    store.add_reader(Reader(login="zx81", name="Nobody Elses Name", groups=("all",)))
    (region,) = make.run(store, make.case(), group="all")
    store.claim(region.id, "zx81")
    given = make.correction(region, "zx81", note="UNIQUE-NOTE-7731")
    store.submit(given)
    assert b"UNIQUE-NOTE-7731" in path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
    store.erase(given.id, "zx81", "my wish")
    everything = b"".join(p.read_bytes() for p in path.parent.iterdir())
    assert b"UNIQUE-NOTE-7731" not in everything
    store.close()
    named = "SELECT count(*) FROM event_people WHERE who = 'zx81' OR target = 'zx81'"
    assert ask(path, named) == [(0,)]
    assert ask(path, "SELECT count(*) FROM assignments WHERE holder = 'zx81'") == [(0,)]
    (who, note) = ask(path, "SELECT who, note FROM event_people JOIN events ON event = sequence WHERE what = 'erase'")[
        0
    ]
    assert (who, note) == ("its author", "my wish")


def test_events_say_who_did_what_when(path, make):
    store = open_sqlite(path)
    first, second, third = make.run(store, make.case(), 3, group="all")
    store.claim(first.id, "anna")
    store.release(first.id, "anna")
    store.skip(first.id, "anna")
    store.decline(first.id, "anna", "too hard")
    store.assign(first.id, reader="ben", group=None, by="lea")
    given = make.correction(second, "anna")
    store.submit(given)
    store.submit(given)
    store.submit(make.correction(second, "anna", supersedes=given.id))
    make.run(store, make.case(), 0)
    store.close()
    everything = ask(
        path, "SELECT what, region_id, who FROM events LEFT JOIN event_people ON event = sequence ORDER BY sequence"
    )
    rows = ("reader", "case", "move", "run", "region")
    assert [what for what, _, _ in everything[:8]] == ["reader", "reader", "case", "move", "run", *["region"] * 3]
    events = [event for event in everything if event[0] not in rows]
    people = [("claim", "anna"), ("release", "anna"), ("skip", "anna"), ("decline", "anna"), ("assign", "lea")]
    assert events[:7] == [
        *((what, first.id, who) for what, who in people),
        ("submit", second.id, "anna"),
        ("amend", second.id, "anna"),
    ]
    assert sorted(events[7:]) == sorted(("withdraw", r.id, None) for r in (first, third))


def test_a_locked_database_is_waited_for(path):
    store = open_sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: other.execute("COMMIT")).start()
        store.add_reader(Reader(login="kim", name="Kim"))
    assert len(store.readers()) == 3
    store.close()


def test_a_failure_in_the_middle_leaves_nothing(path, make):
    store = open_sqlite(path)
    case = make.case()
    prediction = make.prediction(case)
    regions = [make.region(prediction), make.region(prediction)]
    given = [Assignment(region_id=r.id, reader="anna") for r in regions]
    edit(
        path,
        "CREATE TRIGGER late BEFORE INSERT ON assignments WHEN (SELECT count(*) FROM assignments) = 1 "
        "BEGIN SELECT RAISE(ABORT, 'power cut'); END",
        triggers=True,
    )
    with pytest.raises(Exception, match="power cut"):
        store.add_prediction(case, prediction, regions, given)
    assert store.cases() == []
    edit(path, "DROP TRIGGER late", triggers=True)
    assert store.add_prediction(case, prediction, regions, given) is True
    store.close()


def test_threads_share_a_store(path, make):
    store: SqlStore = open_sqlite(path)
    regions = make.run(store, make.case(), 40, group="all")
    won: dict[str, list[str]] = {"anna": [], "ben": []}

    def read(login: str) -> None:
        won[login].extend(r.id for r in regions if store.claim(r.id, login) is not None)

    threads = [threading.Thread(target=read, args=(login,)) for login in won]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won["anna"] + won["ben"]) == sorted(r.id for r in regions)
    store.close()


def test_two_thousand_regions_are_listed_in_half_a_second(path, make):
    store = open_sqlite(path)
    make.run(store, make.case(), 2000, reader="anna")
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        assert len(store.worklist("anna")) == len(store.items()) == 2000
        took.append((time.perf_counter() - begun) / 2)
    assert min(took) < 0.5
    store.close()


class TestErrorsAreOneLine:
    def test_a_lock_that_is_never_given_up(self, path, monkeypatch):
        monkeypatch.setattr(turns, "PATIENCE", 0.2)
        store = open_sqlite(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Busy, match=r"project\.sqlite cannot be used now .*others are writing") as caught:
                store.add_reader(Reader(login="kim", name="Kim"))
        assert "\n" not in str(caught.value)
        store.add_reader(Reader(login="kim", name="Kim"))
        store.close()

    def test_a_file_that_is_damaged_while_it_is_open(self, path, make):
        store = open_sqlite(path)
        make.run(store, make.case(), 40, group="all")
        store.close()
        again = open_sqlite(path)
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        with pytest.raises(Damaged, match="it is damaged: restore it from a backup"):
            again.items()
        again.close()

    def test_a_change_that_the_database_refuses(self, path, make):
        store = open_sqlite(path)
        (region,) = make.run(store, make.case(), group="all")
        edit(
            path,
            "CREATE TRIGGER never BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no more'); END",
            triggers=True,
        )
        with pytest.raises(NotAllowed, match=r"no more.*nothing was changed"):
            store.claim(region.id, "anna")
        edit(path, "DROP TRIGGER never", triggers=True)
        assert store.claim(region.id, "anna") is not None
        store.close()


def test_without_a_lead_the_line_about_a_leap_says_how_to_make_one(tmp_path, make, clock):
    store = create_sqlite(tmp_path / "small.sqlite", clock)
    for login in ("ada", "ben"):
        store.add_reader(Reader(login=login, name=login.title(), groups=("liver",)))
    (a,) = make.run(store, make.case(), group="liver")
    store.claim(a.id, "ada")
    clock.go(days=40)
    with pytest.raises(NotAllowed, match=r"Ada goes on .* make a lead \(deferredseg reader add NAME --role lead\)"):
        store.claim(a.id, "ben")
    store.close()
