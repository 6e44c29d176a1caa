"""What killed and replaced runs have left goes; what anything needs, or may be under way, stays."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest

from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.records import Verdict
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.record.verify import verify_project
from napari_deferredseg.usecases.running.run import run_external
from napari_deferredseg.usecases.running.sweep import sweep

HOURS = 7200


@pytest.fixture
def project(scene):
    with scene.open() as opened:
        yield opened


def leave(path, age: float) -> None:
    """Leave a folder with half an array, as a run that was killed some time ago."""
    path.mkdir(parents=True)
    (path / "labels.npy").write_bytes(b"half")
    then = time.time() - age
    for each in (path / "labels.npy", path):
        os.utime(each, (then, then))


def folders(project) -> set[str]:
    return {path.name for path in project.predictions.folder.iterdir()}


def another_run(project, scene) -> str:
    return run_external(project, scene.files, Budget(amount=2, unit="regions")).prediction.id


def test_debris_of_killed_runs_goes_once_nobody_can_be_writing_it(project):
    there = folders(project)
    for name, age in ((".new-old", HOURS), (".old-old", HOURS), ("f" * 30, HOURS), (".new-now", 0), ("e" * 30, 60)):
        leave(project.predictions.folder / name, age)
    project.journal.folder.mkdir(exist_ok=True)
    for name, age in (("ab-ada.1.new", HOURS), ("ab-ben.2.new", 0), ("ab-ada.draft", HOURS), ("ab.0a-ada.open", HOURS)):
        path = project.journal.folder / name
        path.write_bytes(b"{}")
        os.utime(path, (time.time() - age,) * 2)
    assert sweep(project) == 5
    assert folders(project) == there | {".new-now", "e" * 30}
    assert {path.name for path in project.journal.folder.iterdir()} == {"ab-ben.2.new", "ab-ada.draft"}
    assert sweep(project) == 0


def test_a_run_sweeps_the_arrays_of_the_one_that_it_replaces(project, scene):
    (first,) = folders(project)
    second = another_run(project, scene)
    assert folders(project) == {second} != {first}
    assert verify_project(project).problems == ()
    assert load_case(project, project.store.cases()[0].key).prediction.id == second


def test_arrays_stay_while_a_correction_of_their_run_stands(project, scene):
    (first,) = folders(project)
    session = Session()
    session.set_project(scene.open())
    session.set_case(load_case(project, project.store.cases()[0].key))
    session.choose_reader("ben")
    session.begin(session.worklist()[0])
    session.submit(Verdict.ACCEPTED)
    session.close()
    second = another_run(project, scene)
    assert folders(project) == {first, second}
    assert sweep(project) == 0
    (sent,) = project.store.corrections()
    project.store.erase(sent.id, "ben", "my wish")
    sweep(project)
    assert folders(project) == {second}


def corrected(project, scene) -> None:
    with closing(Session()) as session:
        session.set_project(scene.open())
        session.set_case(load_case(project, project.store.cases()[0].key))
        session.choose_reader("ben")
        session.begin(session.worklist()[0])
        session.submit(Verdict.ACCEPTED)


def test_a_damaged_correction_elsewhere_stops_no_sweep(project, scene):
    corrected(project, scene)
    (first,) = folders(project)
    with closing(sqlite3.connect(scene.folder / "project.sqlite")) as raw:
        names = [n for (n,) in raw.execute("SELECT name FROM sqlite_master WHERE type='trigger'") if "payload" in n]
        for name in names:
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE correction_payloads SET after = zeroblob(10)")
        raw.commit()
    with pytest.raises(Damaged, match=r"correction of region \d+ of case-\w+ is damaged"):
        project.store.corrections()
    assert sweep(project) == 0
    assert folders(project) == {first}


def test_what_cannot_be_deleted_stays_and_the_rest_goes(project, monkeypatch):
    project.journal.folder.mkdir(exist_ok=True)
    paths = [project.journal.folder / f"ab-{who}.1.new" for who in ("ada", "ben", "lea")]
    for path in paths:
        path.write_bytes(b"{}")
        os.utime(path, (time.time() - HOURS,) * 2)
    unlink = type(paths[0]).unlink

    def locked(path, missing_ok=False):
        if path.name == "ab-ben.1.new":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(paths[0]), "unlink", locked)
    assert sweep(project) == 2
    assert [path.exists() for path in paths] == [False, True, False]


@pytest.mark.parametrize("error", [InputError("the database is busy"), OSError(5, "the disk does not answer")], ids=str)
def test_a_run_that_is_kept_is_reported_so_whatever_the_sweep_meets(project, scene, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(project.predictions, "sweep", fail)
    report = run_external(project, scene.files, Budget(amount=2, unit="regions"))
    assert report.new
    assert any("stays for now" in line and str(error) in line for line in report.cautions)
    assert project.store.prediction(report.case.key).id == report.prediction.id


def test_marks_of_open_windows_stay(project):
    project.journal.enter("ben", "ab", "0c")
    (mark,) = project.journal.folder.iterdir()
    os.utime(mark, (time.time() - HOURS,) * 2)
    assert sweep(project) == 0
    assert project.journal.open_drafts("ben", "ab") == {"0c"}
