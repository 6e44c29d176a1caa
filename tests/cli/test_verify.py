"""`deferredseg project verify` and what it is checked against: receipts, and a key that is not in the project."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.core.records import Reader, Verdict
from napari_deferredseg.store.chain import START
from napari_deferredseg.usecases.keys import own_folder
from napari_deferredseg.usecases.project import init_project, open_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session


@pytest.fixture
def mine(monkeypatch, tmp_path) -> Path:
    """A configuration folder for this test alone."""
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "mine"))
    return tmp_path / "mine"


def submit(scene, count: int = 1) -> None:
    session = Session()
    session.set_project(scene.open())
    session.set_case(load_case(session.project, session.project.store.cases()[0].key))
    session.choose_reader("ben")
    for _ in range(count):
        session.begin(session.worklist()[0])
        session.submit(Verdict.ACCEPTED)
    session.close()


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def verify(type_in, folder: Path, *more: object):
    said = type_in("project", "verify", folder, *more)
    return said.code, said.out + said.err


def test_receipts_of_submissions_find_an_older_copy_put_in_place(scene, type_in, mine, tmp_path):
    before = copy_of(scene.folder, tmp_path / "before")
    submit(scene, 2)
    assert verify(type_in, scene.folder)[0] == 0
    (receipt,) = mine.glob("receipts/*/receipt.json")
    kept = json.loads(receipt.read_text("utf-8"))
    assert kept["length"] > 0
    assert len(kept["head"]) == 64
    assert len((receipt.parent / "earlier.jsonl").read_text("utf-8").splitlines()) == 2
    assert verify(type_in, scene.folder, "--against", receipt)[0] == 0
    moved = shutil.move(receipt, tmp_path / "kept.json")
    code, said = verify(type_in, before)
    assert code == Damaged.exit_code
    assert "were cut off, or an older copy was put in its place" in said
    shutil.rmtree(receipt.parent)
    assert verify(type_in, before)[0] == 0
    code, said = verify(type_in, before, "--against", moved)
    assert code == Damaged.exit_code
    assert said.startswith(f"{moved} counts")


def test_an_older_copy_without_a_key_is_the_holders_to_accept(scene, type_in, tmp_path):
    before = copy_of(scene.folder, tmp_path / "before")
    with scene.open() as project:
        project.store.add_reader(Reader(login="zoe", name="Zoe"))
    assert verify(type_in, scene.folder)[0] == 0
    code, said = verify(type_in, before)
    assert code == Damaged.exit_code
    assert "were cut off, or an older copy was put in its place" in said
    with open_project(before) as project:
        project.store.add_reader(Reader(login="kim", name="Kim"))
        assert project.store.mark().seal is None
    (mark,) = (path for path in own_folder().glob("keys/*.mark") if str(path) in said)
    assert f"delete {mark} to accept it" in said
    mark.unlink()
    assert verify(type_in, before)[0] == 0
    with open_project(before) as project:
        project.store.add_reader(Reader(login="kai", name="Kai"))
        assert project.store.mark().seal is not None
    assert verify(type_in, before)[0] == 0


@pytest.mark.parametrize("kept", ["never taken", "taken out"])
def test_a_key_that_no_project_names(scene, type_in, mine, tmp_path, forge, kept):
    folder = tmp_path / "project"
    with init_project(folder) as project:
        key = project.store.key_id()
    database = folder / "project.sqlite"
    (mark,) = mine.glob("keys/*.mark")
    if kept == "never taken":  # killed between making the key and giving it
        wiped = ("DELETE FROM events", f"UPDATE chain_head SET key_id = NULL, length = 0, chain = '{START}'")
        forge.edit(database, *wiped)
        mark.unlink()
        code, said = verify(type_in, folder)
        assert code == 0
        assert "was given the one that this key's holder had made for it" in said
        assert type_in("project", "key", "export", tmp_path / "key.json", "-p", folder).code == 0
        assert type_in("project", "key", "import", tmp_path / "key.json", "-p", folder).code == 0
        with open_project(folder) as project:
            assert project.store.key_id() == key
        return
    forge.edit(database, "UPDATE chain_head SET key_id = NULL")
    mark.unlink()
    assert verify(type_in, folder)[0] == Damaged.exit_code
    with open_project(folder) as project:
        assert project.store.key_id() is None


@pytest.mark.parametrize("whose", ["the holder's", "a reader's without the key"])
def test_another_id_does_not_switch_off_what_somebody_keeps(scene, type_in, monkeypatch, tmp_path, forge, whose):
    if whose != "the holder's":
        monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "mine"))
    submit(scene)
    assert verify(type_in, scene.folder)[0] == 0
    info = scene.folder / "project.json"
    kept = json.loads(info.read_text("utf-8"))
    info.write_text(json.dumps(kept | {"id": "1" * 32}), "utf-8")

    def change(connection):
        text = "UPDATE events SET facts = replace(facts, ?, ?) WHERE what = 'key'"
        connection.exec_driver_sql(text, (kept["id"], "1" * 32))

    forge.rewrite(scene.folder / "project.sqlite", change)
    code, said = verify(type_in, scene.folder)
    assert code == Damaged.exit_code
    assert f"names the key of another project of yours, {kept['id']}: its id was changed" in said
    assert "it has been rewritten" in said


def test_an_export_leaves_a_receipt_beside_its_files(scene, type_in, tmp_path):
    submit(scene)
    for form in ("nifti", "nnunet", "monai"):
        channel = ("--channel", "MR") if form == "nnunet" else ()
        said = type_in("export", "-p", scene.folder, "-o", tmp_path / form, "--format", form, *channel)
        assert said.code == 0, said.err
        receipt = tmp_path / form / "receipt.json"
        assert verify(type_in, scene.folder, "--against", receipt)[0] == 0
    kept = json.loads(receipt.read_text("utf-8"))
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(kept | {"head": "0" * 64}), "utf-8")
    code, said = verify(type_in, scene.folder, "--against", forged)
    assert code == Damaged.exit_code
    assert "it has been rewritten" in said


def test_what_is_no_receipt_of_this_project(scene, type_in, tmp_path):
    (tmp_path / "receipt.json").write_text("{}", "utf-8")
    for path, why in ((tmp_path / "receipt.json", "is no receipt"), (tmp_path / "none.json", "cannot be read")):
        code, said = verify(type_in, scene.folder, "--against", path)
        assert code == 1
        assert why in said
    with init_project(tmp_path / "other") as other:
        other.store.add_reader(Reader(login="ada", name="Ada"))
    submit(scene)
    type_in("export", "-p", scene.folder, "-o", tmp_path / "out")
    code, said = verify(type_in, tmp_path / "other", "--against", tmp_path / "out" / "receipt.json")
    assert code == 1
    assert "of another project" in said


def test_a_receipt_that_is_somebody_elses_stays(scene, type_in, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "receipt.json").write_text('{"total": "12 EUR"}', "utf-8")
    assert type_in("export", "-p", scene.folder, "-o", tmp_path / "out").code == 0
    assert json.loads((tmp_path / "out" / "receipt.json").read_text("utf-8")) == {"total": "12 EUR"}
    (receipt,) = (tmp_path / "out").glob("receipt-*.json")
    assert verify(type_in, scene.folder, "--against", receipt)[0] == 0


@pytest.mark.parametrize("name", ["labels", "alternative", "defer"])
def test_a_zeroed_array(scene, type_in, name):
    (path,) = scene.folder.glob(f"predictions/*/{name}.npy")
    np.save(path, np.zeros_like(np.load(path)))
    code, said = verify(type_in, scene.folder)
    assert code == Damaged.exit_code
    assert f"{name}.npy is damaged" in said


def test_the_key_goes_to_another_computer(scene, type_in, monkeypatch, tmp_path):
    file, elsewhere = tmp_path / "key.json", tmp_path / "elsewhere"
    assert type_in("project", "key", "export", file, "-p", scene.folder).code == 0
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = json.loads(file.read_text("utf-8"))["key"]
    assert not any(secret.encode() in p.read_bytes() for p in scene.folder.rglob("*") if p.is_file())
    assert "exists already" in type_in("project", "key", "export", file, "-p", scene.folder).err

    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(elsewhere))
    submit(scene)
    code, said = verify(type_in, scene.folder)
    assert code == 0
    assert "which this computer does not have: they were checked as plain hashes" in said
    assert "have no seal yet" in said
    assert "has no key of" in type_in("project", "key", "export", tmp_path / "x", "-p", scene.folder).err

    damaged = elsewhere / "keys" / f"{json.loads(file.read_text('utf-8'))['project']}.json"
    damaged.parent.mkdir()
    damaged.write_text("{", "utf-8")
    assert verify(type_in, scene.folder)[0] == 0
    assert type_in("project", "key", "import", file, "-p", scene.folder).code == 0
    code, said = verify(type_in, scene.folder)
    assert code == 0
    assert "were written without the key and sealed as they were found later" in said
    submit(scene)
    assert verify(type_in, scene.folder)[0] == 0


def test_keys_that_do_not_fit_are_refused_and_change_nothing(scene, type_in, mine, tmp_path):
    with init_project(tmp_path / "other") as other:
        assert other.store.key_id()
    assert type_in("project", "key", "export", tmp_path / "key.json", "-p", tmp_path / "other").code == 0
    kept = json.loads((tmp_path / "key.json").read_text("utf-8"))
    with scene.open() as project:
        ours = json.dumps({"project": project.info.id, "key": kept["key"]})
    (tmp_path / "forged.json").write_text(ours, "utf-8")
    (tmp_path / "text.json").write_text("text", "utf-8")
    before = sorted(mine.rglob("*"))
    for name, why in (
        ("key", "of another project"),
        ("forged", "names"),
        ("text", "holds no key"),
        ("none", "does not exist"),
    ):
        said = type_in("project", "key", "import", tmp_path / f"{name}.json", "-p", scene.folder)
        assert said.code == 1
        assert why in said.err
    assert sorted(mine.rglob("*")) == before


def test_a_folder_that_cannot_be_written_costs_neither_project_nor_submission(unread, type_in, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "file"))
    with init_project(tmp_path / "project") as project:
        assert project.store.key_id() is None
    code, said = verify(type_in, tmp_path / "project")
    assert code == 0
    assert "the project has no key" in said


def test_a_name_of_a_project_leads_nowhere_else(mine, tmp_path, type_in):
    with init_project(tmp_path / "project"):
        pass
    info = tmp_path / "project" / "project.json"
    info.write_text(json.dumps(json.loads(info.read_text("utf-8")) | {"id": "../../../x"}), "utf-8")
    code, said = verify(type_in, tmp_path / "project")
    assert code == Damaged.exit_code
    assert "its project.json was changed" in said
    assert not (tmp_path / "x.json").exists()
    assert {p.parent for p in mine.rglob("*.json")} == {mine / "keys"}


def test_a_key_is_kept_though_the_project_can_only_be_read(scene, type_in, tmp_path, monkeypatch):
    file, mine, access = tmp_path / "key.json", tmp_path / "elsewhere", os.access
    assert type_in("project", "key", "export", file, "-p", scene.folder).code == 0
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(mine))
    submit(scene)  # which nobody seals

    def on_a_disc(path, mode, **more):
        return not (mode & os.W_OK and str(path).startswith(str(scene.folder))) and access(path, mode, **more)

    monkeypatch.setattr(os, "access", on_a_disc)
    said = type_in("project", "key", "import", file, "-p", scene.folder)
    assert said.code == 0
    assert "This computer has the key" in said.out
    assert "nothing can be written in this project" in said.err
    assert len(list((mine / "keys").iterdir())) == 1
