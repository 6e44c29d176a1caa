"""Readers come, change, go away for a while and for good; the record tells of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.core.records import LOGIN, Reader, Role, State, Verdict, utc_now
from napari_deferredseg.usecases import readers
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.readers import Profile
from napari_deferredseg.usecases.reading import read
from napari_deferredseg.usecases.reading.defer import Target, defer_region
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.record.verify import verify_project
from napari_deferredseg.usecases.running.run import run_external

TODAY = date.today()


@pytest.fixture
def project(scene):
    with scene.open() as opened:
        yield opened


def events(project, *what):
    """Facts, who and target of entries of the record."""
    with project.store._engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT what, facts, who FROM events JOIN event_people ON event = sequence ORDER BY sequence"
        ).all()
    return [(row.what, row.who) for row in rows if row.what in what]


def test_every_change_is_in_the_record_with_who_did_it_and_verifies(project):
    readers.add(project, Profile("Zoë Ångström", capacity=12.5, groups=("night",)), "lea")
    readers.edit(project, "zoe.angstrom", {"capacity": 20.0, "specialities": ("liver",)}, "lea")
    readers.edit(project, "zoe.angstrom", {"capacity": 20.0}, "lea")  # nothing new: no entry
    readers.set_absence(project, "zoe.angstrom", TODAY, TODAY, "ada")
    readers.deactivate(project, "zoe.angstrom", "lea")
    readers.activate(project, "zoe.angstrom", "ben")
    told = events(project, "reader", "edit", "absence", "deactivate", "activate")[3:]
    assert told == [("reader", "lea"), ("edit", "lea"), ("absence", "ada"), ("deactivate", "lea"), ("activate", "ben")]
    now = project.store.reader("zoe.angstrom")
    assert (now.capacity, now.specialities, now.absent_to, now.active) == (20.0, ("liver",), TODAY, True)
    assert verify_project(project).problems == ()


def test_a_row_that_was_changed_behind_the_record_is_found(scene, project, tmp_path):
    readers.edit(project, "ada", {"capacity": 21.0}, "lea")
    engine = project.store._engine
    with engine.begin() as connection:
        assert "edit" in connection.exec_driver_sql("SELECT what FROM events ORDER BY sequence DESC").scalar()
        connection.exec_driver_sql("UPDATE readers SET role = 'admin' WHERE login = 'ada'")
    (problem,) = verify_project(project).problems
    assert problem.startswith("reader Ada Moreau (login ada) is not what the record says")


def test_somebody_who_is_deactivated_gets_and_does_nothing_and_keeps_what_they_did(project, scene):
    case = load_case(project, project.store.cases()[0].key)
    mine = [x for x in project.store.items() if x.assignment.reader == "ben"]
    ben = project.store.reader("ben")
    work = case.composed.copy()
    reading = read.begin(project, case, mine[0], ben, work, utc_now())
    sent = read.submit(reading, Verdict.ACCEPTED, utc_now())
    reading = read.begin(project, case, mine[1], ben, work, utc_now())
    gone, waiting = readers.deactivate(project, "ben", "lea")
    assert not gone.active
    assert waiting == pytest.approx(sum(x.region.minutes for x in mine[1:]))
    held = {x.region.id: x.assignment for x in project.store.items()}
    assert held[mine[1].region.id].state is State.OPEN
    assert held[mine[1].region.id].holder is None
    assert [c.id for c in project.store.corrections()] == [sent.id]
    for attempt in (
        lambda: read.submit(reading, Verdict.ACCEPTED, utc_now()),
        lambda: read.begin(project, case, mine[1], ben, work, utc_now()),
        lambda: project.store.decline(mine[1].region.id, "ben", "no time"),
        lambda: defer_region(project, mine[0].region.id, Target(reader="ben"), "lea"),
        lambda: defer_region(project, mine[1].region.id, Target(reader="ada"), "ben"),
    ):
        with pytest.raises((NotAllowed, InputError)):
            attempt()
    assert run_external(project, scene.files).assignments  # the same run again: nothing changes
    project.store.add_reader(Reader(login="new", name="New", capacity=1))
    later = run_external(project, scene.files, budget_of("20%"))
    assert {a.reader for a in later.assignments if a.state is State.OPEN and a.region_id not in held} <= {
        "ada",
        "lea",
        "new",
    }
    assert verify_project(project).problems == ()
    readers.activate(project, "ben", "lea")
    assert read.submit(reading, Verdict.ACCEPTED, utc_now()).reader == "ben"  # nothing was lost


def test_a_run_loses_nothing_when_a_reader_is_deactivated_while_it_is_saved(unread):
    with unread.open() as project:

        def meanwhile(share, doing):
            if doing == "saving":
                readers.deactivate(project, "ben", "lea")

        report = run_external(project, unread.files, progress=meanwhile)
        assert report.new
        assert {a.reader for a in report.assignments} == {"ada", "lea"}
        assert len(report.assignments) == len(report.regions) == 6
        assert verify_project(project).problems == ()


def test_a_run_says_why_nobody_of_the_readers_is_asked(unread):
    with unread.open() as project:
        readers.deactivate(project, "ada", "lea")
        for login in ("ben", "lea"):
            readers.edit(project, login, {"capacity": 0.0}, "lea")
        why = "nobody reads in this project now: Ada Moreau was deactivated, Ben Okafor has 0 minutes a day, Lea"
        with pytest.raises(InputError, match=why):
            run_external(project, unread.files)


def test_a_run_names_the_admins_who_get_regions(unread):
    with unread.open() as project:
        readers.edit(project, "lea", {"role": Role.ADMIN}, "lea")
        report = run_external(project, unread.files, by="lea")
        count = sum(a.reader == "lea" for a in report.assignments)
        said = [x for x in report.cautions if "is an admin" in x]
        assert said == [
            f"Lea Brandt is an admin and gets {count} regions, as 60 min a day say: set 0 minutes where that is not "
            "meant."
        ]
        readers.edit(project, "lea", {"capacity": 0.0}, "lea")
        assert not [x for x in run_external(project, unread.files, budget_of("20%"), by="lea").cautions if "admin" in x]


def budget_of(text):
    from napari_deferredseg.core.budget import Budget

    return Budget.parse(text, None, "per_volume_share", otherwise="predicted-foreground")


def test_who_is_absent_today_gets_nothing_and_the_run_says_so(unread):
    with unread.open() as project:
        for login in ("ada", "ben"):
            readers.set_absence(project, login, TODAY - timedelta(2), TODAY + timedelta(3), login)
        report = run_external(project, unread.files)
        assert {a.reader for a in report.assignments} == {"lea"}
        assert f"ada is absent until {TODAY + timedelta(3)} and got nothing." in report.cautions
        readers.set_absence(project, "lea", TODAY, TODAY, "lea")
        with pytest.raises(InputError, match="all readers of the project are absent"):
            run_external(project, unread.files, budget_of("20%"))
        readers.set_absence(project, "ada", None, None, "ada")
        assert {a.reader for a in run_external(project, unread.files, budget_of("20%")).assignments} == {"ada"}


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [(TODAY, None, "first and a last day"), (TODAY, TODAY - timedelta(1), "is before its first")],
)
def test_half_an_absence_is_refused(project, first, last, why):
    with pytest.raises(InputError, match=why):
        readers.set_absence(project, "ada", first, last, "lea")


def test_the_only_admin_stays_one(project):
    readers.add(project, Profile("Root", role=Role.ADMIN), "ada")
    for attempt in (
        lambda: readers.deactivate(project, "root", "root"),
        lambda: readers.edit(project, "root", {"role": Role.LEAD}, "root"),
    ):
        with pytest.raises(InputError, match="is the only admin of this project"):
            attempt()
    readers.edit(project, "lea", {"role": Role.ADMIN}, "root")
    assert not readers.deactivate(project, "root", "lea")[0].active


def test_what_no_reader_can_be_is_one_line(project):
    for changes, why in (({"capacity": -1.0}, "capacity"), ({"name": "\u200b"}, "no name"), ({"login": "x"}, "login")):
        with pytest.raises(InputError, match=why) as refused:
            readers.edit(project, "ada", changes, "lea")  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)
    for profile in (Profile(" "), Profile("Kim", login="k m"), Profile("N" * 101), Profile("Ada", login="ADA")):
        with pytest.raises(InputError):
            readers.add(project, profile, "lea")
    assert len(project.store.readers()) == 3


def test_whoever_makes_a_project_and_adds_themselves_reads_and_stays_admin(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "name_here", lambda: "ada.moreau")
    admin = readers.first_admin()
    assert (admin.reader.login, admin.reader.capacity, admin.name_here) == ("ada.moreau", 0, "")
    with init_project(tmp_path / "p", admin=admin.reader) as project:
        assert not project.store.readers()[0].is_routed_to
        now = readers.add(project, Profile("Ada Moreau", capacity=30), readers.who_acts(project))
        assert (now.role, now.capacity, now.name) == (Role.ADMIN, 30, "Ada Moreau")
        assert len(project.store.readers()) == 1
        with pytest.raises(InputError, match="is taken by"):
            readers.add(project, Profile("Ada Moreau"), "ada.moreau")
        assert verify_project(project).problems == ()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))  # type: ignore[arg-type]
def test_whatever_a_computer_calls_its_user_a_login_comes_of_it(here):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "name_here", lambda: here)
        admin = readers.first_admin()
        assert LOGIN.fullmatch(admin.reader.login)
        assert (admin.reader.login == here) == (admin.name_here == "")
        assert admin.reader.login in str(admin)

        class Kept:
            store = None

            def readers(self):
                return [admin.reader]

        kept = Kept()
        kept.store = kept
        assert readers.who_acts(kept) == admin.reader.login  # type: ignore[arg-type]
