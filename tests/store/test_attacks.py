"""Attacks on a project: each is found, and each passed unseen where only corrections were chained."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.records import Assignment, Reader
from napari_deferredseg.store.record import guards
from napari_deferredseg.store.seal import Mark, ProjectKey
from napari_deferredseg.store.sql import create_sqlite, open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

KEY = ProjectKey(bytes(range(32)))


def fill(path: Path, make, key: ProjectKey | None) -> tuple[list[str], list[Mark]]:
    """Make a project in which everything has happened; the corrections' ids and where the record stood after each."""
    store = create_sqlite(path)
    if key is not None:
        store.take_key(key)
        store.use_key(key)
    for login in ("anna", "ben", "lea"):
        store.add_reader(Reader(login=login, name=login.title(), groups=("all",), specialities=("liver",)))
    case = make.case()
    make.run(store, case, 2, group="all")
    store.move_case(case.key, "elsewhere/x.nii.gz", "1.2.3")
    regions = make.run(store, case, 5, group="all")
    store.claim(regions[0].id, "anna")
    first = make.correction(regions[0], "anna", 1)
    second = make.correction(regions[1], "ben", 2)
    third = make.correction(regions[2], "ben", 3)
    marks = [store.submit(first), store.submit(second)]
    store.submit(third)
    store.erase(third.id, "lea", "asked for")
    store.claim(regions[3].id, "anna")
    store.release(regions[3].id, "anna")
    store.skip(regions[3].id, "ben")
    store.decline(regions[4].id, "ben", "too hard")
    store.assign(regions[4].id, reader="anna", group=None, by="lea", note="please")
    drawn = make.drawn(store.prediction(case.key))
    store.add_region(drawn, Assignment(region_id=drawn.id, reader="ben", assigned_by="anna"))
    amended = make.correction(regions[0], "anna", 4, supersedes=first.id)
    marks.append(store.submit(amended))
    store.claim(regions[3].id, "ben")
    assert store.verify() == []
    store.close()
    return [first.id, second.id, third.id, amended.id], marks


class Remembered:
    """Memory of a key."""

    def __init__(self, mark: Mark | None) -> None:
        self.mark = mark

    def last(self) -> Mark | None:
        mark = self.mark
        return mark and replace(mark, source="your key's mark the.mark", place="the.mark")

    def keep(self, mark: Mark) -> None:
        self.mark = mark


def check(path: Path, key: ProjectKey | None = None, marks: tuple[Mark, ...] = ()):
    store = open_sqlite(path)
    if key is not None:
        store.use_key(key)
    found = store.check_record(marks)
    store.close()
    return found


@pytest.fixture(scope="module")
def _keyed(tmp_path_factory, make):
    path = tmp_path_factory.mktemp("keyed") / "project.sqlite"
    return path, *fill(path, make, KEY)


@pytest.fixture
def keyed(_keyed, tmp_path):
    path, sent, marks = _keyed
    return shutil.copy(path, tmp_path / "project.sqlite"), sent, marks


def test_a_project_that_nobody_touched(keyed):
    path, _, marks = keyed
    found = check(path, KEY, marks)
    assert found.problems == ()
    assert found.remarks == ()


class TestForgedMask:
    def test_under_an_erasure_that_never_was(self, keyed, forge):
        path, sent, _ = keyed
        forge.edit(
            path,
            "INSERT INTO events (sequence, at, what, region_id, correction_id) "
            "SELECT (SELECT max(sequence) + 1 FROM events), '2026-01-01 00:00:00.000000', 'erase', region_id, id "
            f"FROM corrections WHERE id = '{sent[1]}'",
            f"UPDATE correction_payloads SET after = before, verdict = 'accepted' WHERE correction_id = '{sent[1]}'",
        )
        lines = " ".join(check(path).problems)
        assert "of case-1 is said to be erased, but its author or its content is there" in lines
        assert sent[1] not in lines

    def test_with_every_hash_recomputed(self, keyed, forge):
        path, _, marks = keyed
        forge.rewrite(path, forge.forge_mask)
        plain = check(path)
        assert plain.problems == ()
        assert "which this computer does not have" in plain.remarks[0]
        (line,) = check(path, KEY).problems
        assert "do not bear the seal of the project's key" in line
        assert any("rewritten" in line for line in check(path, None, marks).problems)

    def test_with_the_seals_taken_away(self, keyed, forge):
        path, _, marks = keyed
        forge.rewrite(path, forge.forge_mask, strip_seals=True)
        assert "entry 1 (key) bears no seal: the seals were taken away" in check(path, KEY).problems
        assert "entry 1 (key) bears no seal: the seals were taken away" in check(path).problems
        store = open_sqlite(path)
        store.use_key(KEY)
        assert store.seal().seal is None
        store.close()
        assert any("rewritten" in line for line in check(path, KEY, marks).problems)

    def test_with_the_seals_taken_away_up_to_the_last_entry(self, keyed, forge):
        path, _, _ = keyed
        forge.edit(path, "UPDATE events SET seal = NULL WHERE sequence < (SELECT max(sequence) FROM events)")
        lines = check(path, KEY).problems
        assert any("have no seal, and no later entry accounts for them" in line for line in lines)

    @pytest.mark.parametrize("strip", [True, False])
    def test_is_found_by_what_the_key_remembers_and_never_sealed(self, keyed, forge, strip):
        path, _, _ = keyed
        shutil.copy(path, path.with_name("before"))
        memory = Remembered(None)
        store = open_sqlite(path)
        store.use_key(KEY, memory)
        store.add_reader(Reader(login="kim", name="Kim"))
        assert memory.mark == store.mark()
        store.close()
        forge.rewrite(path, forge.forge_mask, strip_seals=strip)
        for file in (path, path.with_name("before")):  # what was there is another record, or is cut off
            store = open_sqlite(file)
            store.use_key(KEY, memory)
            known = memory.mark
            store.add_reader(Reader(login="kai", name="Kai"))
            assert store.mark().seal is None
            said = [line for line in store.verify() if line.startswith("your key's mark")]
            assert len(said) == 1
            assert "delete the.mark to accept it" in said[0]
            assert memory.mark == known
            store.close()

    def test_a_sealed_record_is_remembered_when_it_was_verified(self, keyed):
        path, _, _ = keyed
        memory = Remembered(None)
        store = open_sqlite(path)
        store.use_key(KEY, memory)
        assert store.verify() == []
        assert memory.mark == store.mark()
        store.close()

    def test_a_forged_record_is_not_sealed_by_the_next_who_has_the_key(self, keyed, make, forge):
        path, _, _ = keyed
        forge.rewrite(path, forge.forge_mask)
        store = open_sqlite(path)
        store.use_key(KEY)
        store.add_reader(Reader(login="kim", name="Kim"))
        store.seal()
        assert any("do not bear the seal" in line for line in store.verify())
        store.close()


class TestForgedErasure:
    """An erasure is no way to take out of the record who did what."""

    @pytest.mark.parametrize("named", ["no correction", "one of another region", "its own"])
    def test_that_forgets_everybody(self, keyed, forge, named):
        path, sent, _ = keyed
        with closing(sqlite3.connect(path)) as raw:
            people = [n for (n,) in raw.execute("SELECT event FROM event_people ORDER BY event")]
            ((own,),) = raw.execute("SELECT region_id FROM corrections WHERE id = ?", (sent[1],)).fetchall()
            ((other,),) = raw.execute("SELECT region_id FROM corrections WHERE id = ?", (sent[0],)).fetchall()
        region = {"no correction": None, "one of another region": other, "its own": own}[named]
        correction = None if named == "no correction" else sent[1]
        put_in = (
            "INSERT INTO events (sequence, at, what, region_id, correction_id, facts, chain) "
            "SELECT max(sequence) + 1, '2026-01-01 00:00:00.000000', 'erase', ?, ?, ?, 'x' FROM events"
        )
        values = (region, correction, json.dumps({"forgets": people}))
        with closing(sqlite3.connect(path)) as raw:
            raw.execute(put_in, values)
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute("DELETE FROM event_people")
            raw.rollback()

        def change(connection):
            connection.exec_driver_sql(put_in, values)
            connection.exec_driver_sql("DELETE FROM event_people")

        forge.rewrite(path, change)
        lines = check(path, KEY).problems
        why = "forgets entries that are not of its region" if named == "its own" else "erases no correction"
        assert any(why in line for line in lines)
        assert sum("who did it is missing and nobody has erased it" in line for line in lines) > 5


class TestCutTail:
    @pytest.mark.parametrize("key", [None, KEY])
    def test_found_by_a_receipt_alone(self, keyed, key, forge):
        path, _, marks = keyed
        forge.rewrite(path, partial(forge.cut_tail, length=marks[0].length))
        assert check(path, key).problems == ()
        assert check(path, key, marks[:1]).problems == ()
        named = replace(marks[2], source="receipt.json")
        (line,) = check(path, key, (named,)).problems
        assert line.startswith("receipt.json counts")
        assert f"{marks[2].length - marks[0].length} were cut off" in line

    def test_a_clumsy_cut_is_found_without(self, keyed, forge):
        path, _, _ = keyed
        forge.edit(
            path,
            "DELETE FROM event_people WHERE event = (SELECT max(sequence) FROM events)",
            "DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)",
        )
        assert any("the end of the chain is not what it was" in line for line in check(path).problems)
        store = open_sqlite(path)
        for n in range(3):  # who goes on does not wipe the evidence out
            store.add_reader(Reader(login=f"r{n}", name="R"))
        assert any("the end of the chain is not what it was" in line for line in store.verify())
        store.close()


@pytest.mark.parametrize("who", ["anna", "ben"])
def test_a_rewritten_chain_of_events(keyed, who, forge):
    path, _, marks = keyed
    forge.rewrite(path, lambda c: c.exec_driver_sql("UPDATE events SET what = 'skip' WHERE what = 'decline'"))
    assert check(path, KEY).problems
    assert check(path, None, marks[-1:]).problems


def test_a_swapped_label_name(keyed, forge):
    path, _, _ = keyed
    with closing(sqlite3.connect(path)) as raw:
        (text,) = raw.execute("SELECT label_table FROM predictions ORDER BY sequence DESC").fetchone()
    swapped = text.replace("liver", "spleen")
    assert swapped != text
    forge.edit(path, f"UPDATE predictions SET label_table = '{swapped}' WHERE label_table = '{text}'")
    assert all(
        "is not what the record says" in line and line.startswith("the run of case-1 at 2")
        for line in check(path).problems
    )
    assert check(path).problems


def test_work_given_to_somebody_else_behind_the_record(keyed, forge):
    path, _, _ = keyed
    forge.edit(path, "UPDATE assignments SET state = 'settled' WHERE state = 'submitted'")
    assert all("its state in the worklist" in line for line in check(path).problems)
    assert len(check(path).problems) == 2


class TestKeys:
    def test_who_lacks_the_key_goes_on_and_the_next_holder_seals(self, keyed, forge):
        path, _, _ = keyed
        store = open_sqlite(path)
        store.add_reader(Reader(login="kim", name="Kim"))
        store.add_reader(Reader(login="kai", name="Kai"))
        store.close()
        assert check(path).problems == check(path, KEY).problems == ()
        assert "the last 2 entries (reader) have no seal yet" in check(path, KEY).remarks[0]
        store = open_sqlite(path)
        store.use_key(KEY)
        mark = store.seal()
        store.close()
        found = check(path, KEY, (mark,))
        assert found.problems == ()
        assert found.remarks == ("2 entries were written without the key and sealed as they were found later",)
        forge.edit(path, "UPDATE readers SET name = 'Kim B' WHERE login = 'kim'")
        assert check(path, KEY).problems == ("reader Kim B (login kim) is not what the record says: it was changed",)

    def test_another_key_seals_nothing_and_is_named(self, keyed):
        path, _, _ = keyed
        other = ProjectKey()
        (line,) = check(path, other).problems
        assert other.id in line
        assert KEY.id in line
        store = open_sqlite(path)
        store.use_key(other)
        assert store.mark().seal == store.mark().seal is not None
        store.add_reader(Reader(login="kim", name="Kim"))
        assert store.mark().seal is None
        assert store.take_key(other) == KEY.id
        store.close()

    def test_a_project_whose_key_was_taken_out(self, keyed, forge):
        path, _, _ = keyed
        forge.edit(path, "UPDATE chain_head SET key_id = NULL")
        assert any("names None" in line for line in check(path, KEY).problems)

    def test_the_secret_is_not_in_the_project(self, keyed):
        path, _, _ = keyed
        content = path.read_bytes()
        assert KEY.secret not in content
        assert KEY.secret.hex().encode() not in content
        assert KEY.secret.hex() not in repr(KEY)


class TestTriggers:
    def statements(self, raw: sqlite3.Connection, table: str):
        columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        row = raw.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1").fetchone()
        marks = ", ".join("?" * len(columns))
        names = ", ".join(columns)
        yield f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", row
        yield f"REPLACE INTO {table} ({names}) VALUES ({marks})", row
        (rowid,) = raw.execute(f"SELECT rowid FROM {table} LIMIT 1").fetchone()
        fresh = [
            f"new {name}" if name in guards.KEYS[table] else value for name, value in zip(columns, row, strict=True)
        ]
        if guards.KEYS[table][0] not in ("sequence", "event"):
            yield f"INSERT OR REPLACE INTO {table} (rowid, {names}) VALUES (?, {marks})", (rowid, *fresh)
        yield f"DELETE FROM {table}", ()
        yield f"UPDATE OR REPLACE {table} SET {guards.KEYS[table][0]} = 99", ()

    @pytest.mark.parametrize("table", guards.KEYS)
    @pytest.mark.parametrize("recursive", ["ON", "OFF"])
    def test_refused_by_the_database_itself(self, keyed, table, recursive):
        path, _, _ = keyed
        with closing(sqlite3.connect(path)) as raw:
            raw.execute(f"PRAGMA recursive_triggers={recursive}")
            for statement, values in self.statements(raw, table):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    raw.execute(statement, values)
        assert check(path, KEY).problems == ()

    def test_every_column_but_those_that_move(self, keyed):
        path, _, _ = keyed
        moves = {("cases", "source"), ("cases", "series")}
        with closing(sqlite3.connect(path)) as raw:
            for table in guards.KEYS:
                for row in raw.execute(f"PRAGMA table_info({table})").fetchall():
                    if table == "assignments" or (table, row[1]) in moves:
                        continue
                    with pytest.raises(sqlite3.IntegrityError, match=r"append-only|datatype mismatch"):
                        raw.execute(f"UPDATE {table} SET {row[1]} = 'x'")

    def test_missing_ones_are_put_back_and_told_of(self, keyed):
        path, _, _ = keyed
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("DROP TRIGGER regions_no_update")
            raw.execute("DROP TRIGGER events_head")
            raw.execute("CREATE TRIGGER events_head AFTER INSERT ON events BEGIN SELECT 1; END")
            raw.commit()
        found = check(path, KEY)
        assert found.problems == ()
        assert "put back" in " ".join(found.remarks)
        with closing(sqlite3.connect(path)) as raw:
            there = dict(raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        assert there == guards.expected()

    def test_a_strange_one_is_named(self, keyed, forge):
        path, _, _ = keyed
        forge.edit(path, "CREATE TRIGGER helper AFTER INSERT ON corrections BEGIN SELECT 1; END")
        assert any("'helper'" in line for line in check(path).problems)


def test_a_torn_file_is_found(keyed, forge):
    path, _, _ = keyed
    forge.edit(path, "PRAGMA writable_schema=ON", "DELETE FROM sqlite_master WHERE name = 'ix_events_region_id'")
    assert any("the database file is damaged" in line for line in check(path).problems)


def changed(value: Any) -> Any:
    """Another value that a column could hold as well as this one."""
    if value is None:
        return "x"
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"x"
    if isinstance(value, int | float):
        return value + 1
    if value.startswith(("[", "{")):
        return json.dumps([json.loads(value), 1])
    return ("3" if value[:1] == "2" else "2") + value[1:]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, make):
    path = tmp_path_factory.mktemp("plain") / "project.sqlite"
    fill(path, make, None)
    return path


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "'yes'"])
def test_what_counts_as_true_without_being_true_is_found(plain, tmp_path, value):
    path = shutil.copy(plain, tmp_path / "project.sqlite")
    with closing(sqlite3.connect(path)) as raw:
        for name in guards.expected():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute(f"UPDATE readers SET active = {value}")
        for statement in guards.expected().values():
            raw.execute(statement)
        raw.commit()
    assert any("is not what the record says" in line for line in check(path).problems)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_altered_removed_and_inserted_row_is_found(plain, tmp_path, data):
    path = shutil.copy(plain, tmp_path / "project.sqlite")
    table = data.draw(st.sampled_from([*guards.KEYS, "chain_head"]))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA synchronous=OFF")
        for name in guards.expected():
            raw.execute(f"DROP TRIGGER {name}")
        columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        ids = [row[0] for row in raw.execute(f"SELECT rowid FROM {table}")]
        rowid = data.draw(st.sampled_from(ids))
        how = data.draw(st.sampled_from(["alter", "remove", "insert"]))
        if how == "remove":
            raw.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
        elif how == "alter":
            column = data.draw(st.sampled_from(columns))
            (value,) = raw.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
            new = changed(value)
            new = 999 if column in ("sequence", "event", "id") and isinstance(value, int) else new
            try:
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
            except sqlite3.IntegrityError:
                return  # no such row can be
        else:
            row = raw.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
            keys = guards.KEYS.get(table, ("id",))
            fresh = [
                None if n == "supersedes" else ((999 if isinstance(v, int) else "new") if n in keys else v)
                for n, v in zip(columns, row, strict=True)
            ]
            raw.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(row))})", fresh)
        for statement in guards.expected().values():
            raw.execute(statement)
        raw.commit()
    assert check(path).problems


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.text(max_size=3),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.sampled_from(["case", "prediction", "forgets", "key", "state", "until", "x"]), inside)
    ),
    max_leaves=6,
)
WHAT = ("reader", "case", "move", "run", "region", "claim", "submit", "erase", "key", "adopt", "guard", "seal", "new")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(what=st.sampled_from(WHAT), facts=JSON, anywhere=st.booleans())
def test_whatever_somebody_appends_verify_answers(plain, tmp_path, forge, what, facts, anywhere):
    path = shutil.copy(plain, tmp_path / "project.sqlite")
    where = "(SELECT min(id) FROM regions)" if anywhere else "NULL"
    text = json.dumps(facts)

    def put_in(connection):
        connection.exec_driver_sql(
            "INSERT INTO events (sequence, at, what, region_id, facts) SELECT (SELECT max(sequence) + 1 FROM events), "
            f"'2026-01-01 00:00:00.000000', ?, {where}, ?",
            (what, text),
        )

    forge.rewrite(path, put_in)
    found = check(path)
    assert not any("does not fit the one before it" in line for line in found.problems)
    assert any("does not write" in line for line in found.problems) == (what == "new")


def test_an_erasure_leaves_its_mark_and_the_rest_holds(keyed, forge):
    path, sent, _ = keyed
    store = open_sqlite(path)
    store.use_key(KEY)
    store.erase(sent[3], "anna", "my wish")
    assert store.check_record().problems == ()
    store.close()
    with closing(sqlite3.connect(path)) as raw:
        (count,) = raw.execute("SELECT count(*) FROM correction_authors WHERE reader = 'anna'").fetchone()
        assert count == 1  # what it amended is another correction
        assert raw.execute("SELECT count(*) FROM events WHERE what = 'erase'").fetchone() == (2,)
    forge.edit(path, f"INSERT INTO correction_authors VALUES ('{sent[3]}', 'ben')")
    assert "is said to be erased, but its author" in " ".join(check(path).problems)
