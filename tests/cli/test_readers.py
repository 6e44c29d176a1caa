"""`deferredseg reader ...` and `--as`, as somebody at a terminal sees them."""

from __future__ import annotations

import pytest

from napari_deferredseg.usecases import readers


@pytest.fixture
def here(monkeypatch):
    """Say what this computer calls its user."""

    def named(name: str) -> None:
        monkeypatch.setattr(readers, "name_here", lambda: name)

    return named


@pytest.fixture
def house(type_in, here, tmp_path):
    """A project that Jürgen Ø made, with a reader and a lead."""
    here("Jürgen Ø")
    folder = tmp_path / "house"
    said = type_in("project", "init", folder)
    assert "jurgen.o (for 'Jürgen Ø', which is no login) is its admin" in said.out
    for name, role in (("Ada", "reader"), ("Lea", "lead")):
        assert type_in("reader", "add", name, "--role", role, "-p", folder).code == 0
    return folder


def rows(said):
    return [line.split() for line in said.out.splitlines()]


def test_the_maker_acts_without_a_word_and_others_say_who_they_are(type_in, here, house):
    assert type_in("reader", "edit", "ada", "--capacity", 20, "-p", house).code == 0
    here("somebody else")
    refused = type_in("reader", "edit", "ada", "--capacity", 30, "-p", house)
    assert (refused.code != 0, refused.out) == (True, "")
    assert "choose your name first: " in refused.err
    assert "for an admin (Jürgen Ø): --as jurgen.o" in refused.err
    assert type_in("reader", "edit", "ada", "--capacity", 30, "-p", house, "--as", "jurgen.o").code == 0
    assert "known logins" in type_in("reader", "edit", "ada", "--capacity", 30, "-p", house, "--as", "kim").err
    here("ADA")  # a login of the project, in whatever case
    said = type_in("reader", "deactivate", "lea", "-p", house)
    assert said.err.startswith("deferredseg: Ada (login ada) is a reader of this project, and to add, edit, deactivate")
    assert len(said.err.splitlines()) == 1


def test_a_reader_is_edited_absent_deactivated_and_activated(type_in, house):
    at = ("-p", house)
    words = ("--name", "Ada M", "--speciality", "liver", "--speciality", "colon", "--group", "night", "--role", "lead")
    assert type_in("reader", "edit", "ada", *words, *at).out == (
        "Changed Ada M (login ada): name, specialities, role, groups\n"
    )
    assert rows(type_in("reader", "list", *at))[1] == ["ada", "Ada", "M", "60", "liver,", "colon", "lead", "night"]
    assert type_in("reader", "edit", "ada", "--generalist", "--no-group", *at).code == 0
    said = type_in("reader", "absence", "ada", "--from", "2031-08-01", "--to", "2031-08-14", "--as", "lea", *at)
    assert (said.out, said.err) == ("Ada M (login ada) is absent from 2031-08-01 to 2031-08-14\n", "")
    assert rows(type_in("reader", "list", *at))[1][-3:] == ["2031-08-01", "to", "2031-08-14"]
    assert type_in("reader", "absence", "ada", "--none", "--as", "ada", *at).code == 0
    assert "what they submitted stays" in type_in("reader", "deactivate", "ada", *at).out
    assert rows(type_in("reader", "list", *at))[1][-1] == "deactivated"
    assert "deactivated" in type_in("reader", "absence", "lea", "--none", "--as", "ada", *at).err
    assert type_in("reader", "activate", "ada", *at).out == "Ada M (login ada) is active again\n"
    assert type_in("project", "verify", house).code == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("edit", "ada"), "nothing to change"),
        (("edit", "ada", "--speciality", "x", "--generalist"), "exclude each other"),
        (("absence", "ada"), "--from and --to"),
        (("absence", "ada", "--from", "2031-08-02"), "give both"),
        (("absence", "ada", "--from", "2031-08-02", "--to", "2031-08-01"), "before its first"),
        (("deactivate", "kim"), "no reader 'kim'"),
        (("deactivate", "jurgen.o"), "only admin"),
        (("edit", "jurgen.o", "--role", "lead"), "only admin"),
    ],
)
def test_what_cannot_be_is_one_line(type_in, house, words, why):
    said = type_in("reader", *words, "-p", house)
    assert said.code == 1
    assert said.out == ""
    assert why in said.err
    assert len(said.err.splitlines()) == 1


def test_a_project_without_admin_says_so_where_it_matters_until_it_has_one(type_in, here, unread):
    here("nobody known")
    at = ("-p", unread.folder)
    said = type_in("reader", "edit", "ada", "--capacity", 25, *at)
    assert said.code == 0
    assert said.err == (
        "note: This project has no admin, so everybody may do everything; a reader with the role admin changes that.\n"
    )
    for words in (("add", "Kim"), ("absence", "kim", "--none")):
        assert type_in("reader", *words, *at).err == said.err
    said = type_in("reader", "add", "Root", "--role", "admin", *at)
    assert "0 min a day" in said.out
    assert "root is the project's admin: from now on" in said.err
    masks = ("--labels", unread.first, "--labels", unread.second)
    assert "for a lead or an admin" in type_in("run", unread.volume, *masks, *at).err
    assert "lead or an admin" in type_in("run", unread.volume, *masks, *at, "--as", "ada").err
    done = type_in("run", unread.volume, *masks, *at, "--as", "lea")
    assert done.code == 0, done.err
    assert "root" not in done.out
    assert "lead or an admin" in type_in("export", *at, "--out", unread.root / "out", "--as", "ada").err
    assert type_in("export", *at, "--out", unread.root / "out", "--as", "lea").code == 0
    assert "for an admin: Root" in type_in("project", "key", "export", unread.root / "k", *at, "--as", "lea").err
    assert type_in("project", "key", "export", unread.root / "k", *at, "--as", "root").code == 0


def test_release_is_done_by_this_computers_user(type_in, here, scene):
    with scene.open() as project:
        item = next(x for x in project.store.items() if x.assignment.reader == "ben")
        project.store.claim(item.region.id, "ben")
    words = ("release", item.case.key, item.region.number, "-p", scene.folder)
    here("nobody known")
    said = type_in(*words)
    assert (said.code, said.out) == (1, "")
    assert "give --as" in said.err
    assert "is for a lead" in type_in(*words, "--by", "ada").err
    here("Ben")
    assert "waits again" in type_in(*words).out
