"""What each role may do: the table, its walls in the use cases, and the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.core.records import Reader, Role
from napari_deferredseg.usecases import readers
from napari_deferredseg.usecases.export import export_cases
from napari_deferredseg.usecases.permissions import IN_EVERY_PROJECT, LEAST, RANKS, Action, may, open_to_all, require
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.readers import Profile
from napari_deferredseg.usecases.reading.defer import Target, defer_region, release_region
from napari_deferredseg.usecases.record.hand_on import export_key, import_key
from napari_deferredseg.usecases.running.models import add_model
from napari_deferredseg.usecases.running.run import run_external
from napari_deferredseg.usecases.running.sweep import sweep

PAGE = Path(__file__).parents[2] / "docs" / "roles.md"
ADMIN = Reader(login="root", name="Root", role=Role.ADMIN, capacity=0)
LOGINS = {Role.READER: "ada", Role.LEAD: "lea", Role.ADMIN: "root", None: None}


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    """Two projects with a reader and a lead, the second with an admin, too."""
    made = []
    for name, people in (("free", ()), ("ruled", (ADMIN,))):
        project = init_project(tmp_path_factory.mktemp(name) / "project")
        for login, role in (("ada", Role.READER), ("lea", Role.LEAD)):
            project.store.add_reader(Reader(login=login, name=login.title(), role=role))
        for reader in people:
            project.store.add_reader(reader)
        made.append(project)
    yield made
    for project in made:
        project.close()


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("ruled", [False, True])
def test_who_may_is_let_and_who_may_not_is_told_who_may(houses, action, role, ruled):
    project, by = houses[ruled], LOGINS[role]
    if role is Role.ADMIN and not ruled:
        with pytest.raises(InputError, match="no reader 'root'"):
            require(project, action, by)
        return
    if may(role, action, has_admin=ruled):
        actor = require(project, action, by)
        assert (actor and actor.login) == by
        return
    with pytest.raises(NotAllowed) as refused:
        require(project, action, by)
    line, least = str(refused.value), LEAST[action]
    assert "\n" not in line
    assert action in line
    assert (f"Ada (login ada) is a {role}" if role is Role.READER else "Lea (login lea) is a lead") in line or not role
    assert f"{'an' if least is Role.ADMIN else 'a'} {least}" in line
    able = {"Root (login root)"} & {"Root (login root)" if ruled else ""} | (
        {"Lea (login lea)"} if least is not Role.ADMIN else set()
    )
    assert all((name if role else name.split()[0]) in line for name in able)


@pytest.mark.parametrize("action", Action)
def test_the_table_only_ever_gives_more_to_a_higher_role(action):
    can = [may(role, action) for role in RANKS]
    assert can == sorted(can)
    assert can[-1]
    assert not may(None, action)
    free = [may(role, action, has_admin=False) for role in (None, *RANKS)]
    assert free == ([False, *can] if action in IN_EVERY_PROJECT else [True] * 4)


def test_who_was_deactivated_may_nothing_with_or_without_an_admin(houses):
    for project in houses:
        by = "lea" if project is houses[0] else "root"
        readers.add(project, Profile("Gone"), by)
        readers.deactivate(project, "gone", by)
        for action in Action:
            with pytest.raises(NotAllowed, match=r"Gone .*deactivated"):
                require(project, action, "gone")


def test_the_page_shows_the_table():
    rows = re.findall(r"^\| (to .+?) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {words: tuple(cell.strip() == "yes" for cell in cells) for words, *cells in rows}
    assert shown == {str(action): tuple(may(role, action) for role in RANKS) for action in Action}


def test_every_use_case_that_writes_has_its_wall(scene, tmp_path):
    """Each is refused to the highest role below the one that it needs, before anything is written."""
    with scene.open() as project:
        first = project.store.items()[0]
        key, number, region_id = first.case.key, first.region.number, first.region.id
        project.store.assign(region_id, reader="ben", group=None, by="lea")
        project.store.claim(region_id, "ben")
        project.store.add_reader(ADMIN)
        before = project.store.mark()
        file = tmp_path / "key.json"
        attempts = {
            Action.RUN: lambda by: run_external(project, scene.files, by=by),
            Action.SWEEP: lambda by: sweep(project, by),
            Action.RELEASE: lambda by: release_region(project, key, number, by or "ada"),
            Action.ABSENCE: lambda by: readers.set_absence(project, "ben", None, None, by),
            Action.EXPORT: lambda by: export_cases(project, tmp_path / "out", by=by),
            Action.ADD_MODEL: lambda by: add_model(project, tmp_path, by),
            Action.EXPORT_KEY: lambda by: export_key(project, file, by),
            Action.IMPORT_KEY: lambda by: import_key(project, file, by),
            Action.DEFER: lambda by: defer_region(project, region_id, Target("ben"), by or ""),
        }
        for action, attempt in attempts.items():
            below = {Role.ADMIN: "lea", Role.LEAD: "ada", Role.READER: None}[LEAST[action]]
            for by in {below, None}:
                with pytest.raises(NotAllowed, match=re.escape(action)):
                    attempt(by)
        for change in (
            lambda: readers.add(project, Profile("New"), "lea"),
            lambda: readers.edit(project, "ben", {"capacity": 1}, "lea"),
            lambda: readers.deactivate(project, "ben", "lea"),
            lambda: readers.activate(project, "ben", "lea"),
        ):
            with pytest.raises(NotAllowed, match="is a lead of this project"):
                change()
        assert project.store.mark() == before
        assert not file.exists()
        assert not (tmp_path / "out").exists()
        assert readers.set_absence(project, "ada", None, None, "ada").login == "ada"  # one's own


def test_a_project_without_admin_says_so_until_it_has_one(houses):
    free, ruled = houses
    assert "no admin" in open_to_all(free)
    assert open_to_all(ruled) == ""
