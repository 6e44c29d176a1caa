"""Projects of the version that chained corrections alone are taken over as they are found."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, insert

from napari_deferredseg.core.records import Assignment, Reader, State, utc_now
from napari_deferredseg.store import chain
from napari_deferredseg.store.arrays import PredictionFiles
from napari_deferredseg.store.record import guards
from napari_deferredseg.store.seal import ProjectKey
from napari_deferredseg.store.sql import open_sqlite
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.usecases.keys import KeyMemory, use_own_key

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Table

    from napari_deferredseg.core.records import Correction

KEY = ProjectKey()


def add(connection: Connection, table: Table, *values: dict[str, Any]) -> None:
    """Insert rows with the columns that the old table had."""
    old = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
    for row in values:
        connection.execute(insert(table).values({k: v for k, v in row.items() if k in old}))


def happened(connection: Connection, number: int, what: str, region: str, who: str, correction: str | None = None):
    event = {"sequence": number, "at": utc_now(), "what": what, "region_id": region, "correction_id": correction}
    add(connection, schema.events, event)
    if who:
        add(connection, schema.event_people, {"event": number, "who": who, "target": None, "note": ""})


def submitted(connection: Connection, number: int, given: Correction, previous: str) -> str:
    salt = bytes(32)
    row = {"sequence": number, "id": given.id, "region_id": given.region_id, "supersedes": None, "previous": previous}
    row["digest"] = chain.digest(given, salt)
    row["chain"] = chain.link(previous, number, given.id, given.region_id, None, row["digest"])  # type: ignore[arg-type]
    add(connection, schema.corrections, row)
    add(connection, schema.correction_authors, {"correction_id": given.id, "reader": given.reader})
    add(connection, schema.correction_payloads, rows.payload_values(given, salt))
    connection.exec_driver_sql("UPDATE chain_head SET length = ?, chain = ?", (number, row["chain"]))
    return str(row["chain"])


@pytest.fixture
def old(tmp_path: Path, make) -> tuple[Path, PredictionFiles, list[Correction]]:
    """Two of three regions submitted, one of these erased; the third claimed."""
    path, files = tmp_path / "project.sqlite", PredictionFiles(tmp_path / "predictions")
    config = Config()
    config.set_main_option("script_location", "napari_deferredseg.store:migrations")
    case = make.case()
    prediction = make.prediction(case).model_copy(update={"alternative_hash": "", "defer_hash": ""})
    regions = [make.region(prediction) for _ in range(3)]
    sent = [make.correction(region, "anna", n) for n, region in enumerate(regions[:2])]
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for login in ("anna", "ben"):
            add(connection, schema.readers, rows.reader_values(Reader(login=login, name=login, groups=("all",))))
        add(connection, schema.cases, rows.case_values(case))
        add(connection, schema.predictions, rows.prediction_values(prediction))
        add(connection, schema.regions, *(rows.region_values(region) for region in regions))
        states = ((State.SUBMITTED, "anna"), (State.DECLINED, None), (State.CLAIMED, "ben"))
        for region, (state, holder) in zip(regions, states, strict=True):
            until = utc_now() if state is State.CLAIMED else None
            held = Assignment(region_id=region.id, group="all", state=state, holder=holder, lease_until=until)
            add(connection, schema.assignments, rows.assignment_values(held))
        happened(connection, 1, "claim", regions[0].id, "anna")
        head = submitted(connection, 1, sent[0], chain.START)
        happened(connection, 2, "submit", regions[0].id, "anna", sent[0].id)
        submitted(connection, 2, sent[1], head)
        happened(connection, 3, "submit", regions[1].id, "", sent[1].id)  # erased: nobody is named any more
        for table in ("correction_payloads", "correction_authors"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE correction_id = ?", (sent[1].id,))
        happened(connection, 4, "erase", regions[1].id, "its author", sent[1].id)
        happened(connection, 5, "claim", regions[2].id, "ben")
    engine.dispose()
    labels = np.ones((2, 3, 4), np.uint8)
    files.save(prediction.id, labels, labels * 2, np.full((2, 3, 4), 0.5, np.float32))
    return path, files, sent


def taken_over(path: Path, files: PredictionFiles | None = None):
    store = open_sqlite(path, files)
    if store.key_id() is None:
        store.take_key(KEY)
    store.use_key(KEY)
    return store


def test_an_old_one_is_sealed_as_it_was_found(old, forge):
    path, files, sent = old
    store = taken_over(path, files)
    found = store.check_record()
    assert found.problems == ()
    remarks = " / ".join(found.remarks)
    assert "entries are older than the key, which sealed them as they were found" in remarks
    assert "5 events and 2 corrections are of an older version and were taken over as found" in remarks
    assert [c.id for c in store.corrections()] == [sent[0].id]
    (run,) = store.predictions()
    assert (run.alternative_hash, run.defer_hash) == files.hashes(run.id)[1:]
    store.close()
    (copy,) = path.parent.glob("project.sqlite.before-update-*")
    with closing(sqlite3.connect(path)) as raw:
        there = dict(raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        sealed = raw.execute("SELECT what, facts FROM events WHERE seal IS NOT NULL ORDER BY sequence").fetchall()
        assert [what for what, _ in sealed] == ["seal", "key"]
        assert json.loads(sealed[0][1])["from"] == 1
    assert there == guards.expected()
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT count(*) FROM events").fetchone() == (5,)


@pytest.mark.parametrize("since", ["nothing", "a change", "another mask", "another name"])
def test_its_backup_put_back_takes_the_key_again_where_nothing_is_lost(old, monkeypatch, tmp_path, since):
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "mine"))
    path, files, _ = old

    def opened():
        store = open_sqlite(path, files)
        use_own_key("one", store)
        return store

    store = opened()
    if since == "a change":
        store.add_reader(Reader(login="zoe", name="Zoe"))
    key = store.key_id()
    store.close()
    (copy,) = path.parent.glob("project.sqlite.before-update-*")
    shutil.copy(copy, path)
    with closing(sqlite3.connect(path)) as raw:
        if since == "another mask":
            raw.execute("UPDATE regions SET mask = zeroblob(9)")
        elif since == "another name":
            raw.execute("UPDATE event_people SET who = 'ben' WHERE who = 'anna'")
        raw.commit()
    store = opened()
    found = store.check_record()
    if since == "nothing":
        assert store.key_id() == key
        assert found.problems == ()
        assert any("was given the one that this key's holder had made for it" in line for line in found.remarks)
    else:
        assert store.key_id() is None
        (line,) = (line for line in found.problems if line.startswith("your key's mark"))
        assert "to accept it" in line
        KeyMemory("one").path.unlink()
        assert opened().key_id() == key
    store.close()


def test_an_older_program_that_had_it_open_writes_nothing_unchained(old):
    path, files, _ = old
    with closing(sqlite3.connect(path)) as earlier:
        assert earlier.execute("SELECT count(*) FROM events").fetchone() == (5,)
        store = taken_over(path, files)
        for statement in (
            "INSERT INTO events (sequence, at, what) VALUES (99, '2026-01-01 00:00:00.000000', 'claim')",
            "INSERT INTO event_people (event, who, note) VALUES (99, 'anna', '')",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="start the newest version of the program"):
                earlier.execute(statement)
            earlier.rollback()
        assert store.check_record().problems == ()
        store.close()


def test_it_goes_on_like_a_new_one(old, make):
    path, files, sent = old
    store = taken_over(path, files)
    region = store.region(sent[1].region_id)
    store.assign(region.id, reader="ben", group=None, by="anna")
    mark = store.submit(make.correction(region, "ben", 7))
    (copy,) = path.parent.glob("project.sqlite.before-update-*")
    assert copy.name not in " ".join(store.check_record([mark]).remarks)
    store.erase(sent[0].id, "anna", "my wish")
    found = store.check_record([mark])
    assert found.problems == ()
    assert f"{copy.name}, a copy from before an update, still holds what was erased since" in " ".join(found.remarks)
    copy.unlink()
    assert "copy from before an update" not in " ".join(store.check_record([mark]).remarks)
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET what = 'skip' WHERE sequence = 1",
        "UPDATE event_people SET who = 'ben' WHERE event = 2",
        "UPDATE regions SET minutes = 99 WHERE id = (SELECT min(id) FROM regions)",
        "UPDATE predictions SET label_table = replace(label_table, 'liver', 'kidney')",
        "UPDATE assignments SET state = 'settled' WHERE state = 'submitted'",
        "UPDATE assignments SET holder = 'anna' WHERE state = 'claimed'",
        "UPDATE correction_payloads SET after = before",
    ],
)
def test_what_is_changed_after_that_is_found(old, forge, change):
    path, files, _ = old
    taken_over(path, files).close()
    forge.edit(path, change)
    store = taken_over(path)
    assert store.verify()
    store.close()


def test_what_was_forged_before_is_taken_as_found_but_still_told(old):
    path, files, _ = old
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE correction_payloads SET after = before")
        raw.commit()
    store = taken_over(path, files)
    assert [line.startswith("correction 1, of region ") for line in store.verify()] == [True]
    store.close()


def test_arrays_that_are_gone_are_said_not_to_be_known(old):
    path, _, _ = old
    store = taken_over(path)
    assert "1 runs of an older version have no hashes of all their arrays" in store.check_record().remarks
    store.close()


def test_an_interrupted_takeover_leaves_the_old_one(old, monkeypatch):
    path, files, _ = old
    monkeypatch.setattr(guards, "put_back", lambda connection: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_sqlite(path, files)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT version_num FROM deferredseg_version").fetchone() == ("0001",)
        assert "chain" not in {row[1] for row in raw.execute("PRAGMA table_info(events)")}
    monkeypatch.undo()
    store = taken_over(path, files)
    assert store.verify() == []
    store.close()
