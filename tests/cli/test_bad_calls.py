"""Commands that cannot work: one clear line that names what is wrong, an exit code, and nothing written."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import Busy, Damaged, DeferredSegError, InputError, NotAllowed
from napari_deferredseg.usecases.project import init_project, open_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Words = tuple[object, ...]


@dataclass(frozen=True)
class Folder:
    """What a bad call finds: the scene's files, its project with regions, and room for more."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        known = {"ct": "ct.nii.gz", "first": "first.nii.gz", "second": "second.nii.gz", "project": "project"}
        return self.root / known[name]

    def file(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.write_bytes(content)
        return path

    def image(self, name: str, array: np.ndarray, **changes: tuple[float, ...]) -> Path:
        made = sitk.GetImageFromArray(array)
        made.CopyInformation(sitk.ReadImage(str(self.ct)))
        for key, value in changes.items():
            getattr(made, key)(value)
        sitk.WriteImage(made, str(self.root / name))
        return self.root / name

    def mask(self) -> np.ndarray:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(self.first)))

    def run(self, *more: object, ct: object = None, first: object = None, second: object = None) -> Words:
        masks = ("--labels", first or self.first, "--labels", second or self.second)
        return ("run", ct or self.ct, "-p", self.project, *masks, *more)


def of(*words: object) -> Callable[[Folder], Words]:
    """Command with the project at its end."""
    return lambda f: (*words, "-p", f.project)


def broken_project(name: str, content: bytes) -> Callable[[Folder], Words]:
    def call(f: Folder) -> Words:
        (f.project / name).write_bytes(content)
        return "run", f.ct, "-p", f.project, "--labels", f.first, "--labels", f.second

    return call


def changed_info(**facts: object) -> Callable[[Folder], Words]:
    def call(f: Folder) -> Words:
        path = f.project / "project.json"
        info = json.loads(path.read_text("utf-8")) | facts
        return broken_project("project.json", json.dumps(info).encode())(f)

    return call


def no_database(f: Folder) -> Words:
    for path in f.project.glob("project.sqlite*"):
        path.unlink()
    return "reader", "list", "-p", f.project


def newer_database(f: Folder) -> Words:
    with sqlite3.connect(f.project / "project.sqlite") as raw:
        raw.execute("UPDATE deferredseg_version SET version_num = '9999'")
    raw.close()
    return "reader", "list", "-p", f.project


def no_readers(f: Folder) -> Words:
    init_project(f.root / "nobody").close()
    return "run", f.ct, "-p", f.root / "nobody", "--labels", f.first, "--labels", f.second


def damaged_prediction(f: Folder) -> Words:
    (path,) = f.project.glob("predictions/*/labels.npy")
    content = bytearray(path.read_bytes())
    content[-1000:] = bytes(b ^ 1 for b in content[-1000:])
    path.write_bytes(content)
    return "export", "-p", f.project, "-o", f.root / "out"


def no_prediction(f: Folder) -> Words:
    shutil.rmtree(f.project / "predictions")
    return "export", "-p", f.project, "-o", f.root / "out"


def foreign(name: str) -> Callable[[Folder], Words]:
    def call(f: Folder) -> Words:
        with open_project(f.project) as project:
            key = project.store.cases()[0].key
        (f.root / "out").mkdir()
        (f.root / "out" / f"{key}{name}").write_bytes(b"{}")
        return "export", "-p", f.project, "-o", f.root / "out"

    return call


def being_read(f: Folder) -> Words:
    with open_project(f.project) as project:
        item = project.store.items()[0]
        assert project.store.claim(item.region.id, item.assignment.reader)
    return f.run("--budget", "2", "--unit", "regions")


def a_release(number: int, by: str) -> Callable[[Folder], Words]:
    def call(f: Folder) -> Words:
        with open_project(f.project) as project:
            key = project.store.cases()[0].key
        return "release", key, number, "--by", by, "-p", f.project

    return call


def time_series(f: Folder) -> Words:
    sitk.WriteImage(sitk.JoinSeries([sitk.ReadImage(str(f.ct))] * 3), str(f.root / "4d.nii.gz"))
    return f.run(ct=f.root / "4d.nii.gz")


def forgot_orientation(f: Folder) -> Words:
    for path in (f.ct, f.first, f.second):
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[252:256] = bytes(4)
        path.write_bytes(gzip.compress(bytes(content)))
    return f.run()


def shifted(f: Folder) -> Words:
    return f.run(second=f.image("shifted.nii.gz", f.mask(), SetOrigin=(0.0, 0.0, 0.0)))


CALLS: dict[str, tuple[Callable[[Folder], Words], tuple[str, ...]]] = {
    # the project
    "project: none there": (lambda f: ("reader", "list", "-p", f.root / "none"), ("none", "deferredseg project init")),
    "project: a file": (lambda f: ("reader", "list", "-p", f.ct), ("ct.nii.gz", "is no project")),
    "project: empty info": (broken_project("project.json", b""), ("project.json", "damaged", "backup")),
    "project: words": (broken_project("project.json", b"hello"), ("project.json", "damaged", "backup")),
    "project: not UTF-8": (broken_project("project.json", b"\xff\xfe\x00"), ("project.json", "damaged", "backup")),
    "project: a list": (broken_project("project.json", b"[]"), ("project.json", "damaged", "backup")),
    "project: bad key": (changed_info(hash_key="zz"), ("project.json", "damaged", "backup")),
    "project: long key": (changed_info(hash_key="ab" * 99), ("project.json", "damaged", "backup")),
    "project: strange field": (changed_info(colour="red"), ("project.json", "damaged", "backup")),
    "project: newer": (changed_info(format=2, new_field=[1]), ("newer version", "update")),
    "project: no database": (no_database, ("project.sqlite", "does not exist")),
    "project: newer database": (newer_database, ("project.sqlite", "newer version", "update")),
    "project: words for a database": (broken_project("project.sqlite", b"hello " * 99), ("project.sqlite", "backup")),
    "project: empty database": (broken_project("project.sqlite", b""), ("project.sqlite", "no database")),
    "init: not empty": (lambda f: ("project", "init", f.project), ("project", "not empty", "new folder")),
    "init: a file": (lambda f: ("project", "init", f.ct), ("ct.nii.gz", "is a file", "new folder")),
    "init: below a file": (lambda f: ("project", "init", f.ct / "p"), ("ct.nii.gz", "cannot be written")),
    "init: long name": (lambda f: ("project", "init", f.root / ("n" * 300)), ("nnn", "check the path")),
    "init: in a project": (lambda f: ("project", "init", f.project / "predictions"), ("predictions", "not empty")),
    "verify: none there": (lambda f: ("project", "verify", f.root / "x"), ("is no project",)),
    "demo: not empty": (lambda f: ("demo", "--no-viewer", "-p", f.project), ("project", "not empty")),
    # readers
    "reader: taken": (of("reader", "add", "Ada", "--login", "ADA"), ("'ADA'", "taken by Ada Moreau", "choose")),
    "reader: no letters": (of("reader", "add", "李"), ("李", "--login")),
    "reader: bad login": (of("reader", "add", "Z", "--login", "a b"), ("'a b'", "letters, digits")),
    "reader: long login": (of("reader", "add", "Z", "--login", "a" * 41), ("aaa", "up to 40")),
    "reader: path as login": (of("reader", "add", "Z", "--login", "../x"), ("'../x'", "letters, digits")),
    "reader: blank name": (of("reader", "add", "  ", "--login", "z"), ("name of the reader is empty",)),
    "reader: control character": (of("reader", "add", "Z\x1b[2J", "--login", "z"), ("\\x1b", "no name")),
    "reader: blank speciality": (of("reader", "add", "Z", "--speciality", ""), ("''", "no name")),
    "reader: blank group": (of("reader", "add", "Z", "--group", " "), ("' '", "no name")),
    "release: nobody reads": (a_release(1, "lea"), ("nobody is reading region 1 of case-",)),
    "release: no such region": (a_release(99, "lea"), ("no region 99", "its regions: 1")),
    "release: by a reader": (a_release(1, "ada"), ("Ada Moreau", "is for a lead or an admin: Lea Brandt")),
    # the run's words
    "run: no mask": (lambda f: ("run", f.ct, "-p", f.project), ("no mask", "give")),
    "run: one mask": (lambda f: ("run", f.ct, "-p", f.project, "--labels", f.first), ("first.nii.gz", "second mask")),
    "run: both": (lambda f: f.run("--probabilities", f.second), ("second.nii.gz", "leave one")),
    "run: model": (lambda f: f.run("--model", "oracle"), ("'oracle'", "external")),
    "run: empty budget": (lambda f: f.run("--budget", ""), ("budget is empty", "for example")),
    "run: word for a budget": (lambda f: f.run("--budget", "lots"), ("'lots'", "for example")),
    "run: negative budget": (lambda f: f.run("--budget", "-5%"), ("'-5%'", "more than 0")),
    "run: no budget": (lambda f: f.run("--budget", "0"), ("'0'", "more than 0")),
    "run: nan": (lambda f: f.run("--budget", "nan"), ("'nan'",)),
    "run: over 100 %": (lambda f: f.run("--budget", "120%"), ("'120%'", "such as 10%")),
    "run: half a region": (lambda f: f.run("--budget", "2.5", "--unit", "regions"), ("'2.5'", "whole number")),
    "run: percent of minutes": (lambda f: f.run("--budget", "10%", "--unit", "minutes"), ("'10%'", "percentage")),
    "run: two units": (lambda f: f.run("--budget", "5 minutes", "--unit", "regions"), ("minutes", "regions")),
    "run: series of a file": (lambda f: f.run("--series", "2"), ("ct.nii.gz", "--series")),
    "run: no readers": (no_readers, ("nobody", "deferredseg reader add")),
    "run: somebody reads": (being_read, ("reading", "submitted or left")),
    # the run's files
    "file: no volume": (lambda f: f.run(ct=f.root / "no.nii.gz"), ("no.nii.gz", "no such file")),
    "file: no mask": (lambda f: f.run(second=f.root / "no.nii.gz"), ("no.nii.gz", "no such file")),
    "file: folder without DICOM": (lambda f: f.run(ct=f.project), ("project", "DICOM")),
    "file: folder for a mask": (lambda f: f.run(second=f.project), ("project", "DICOM", "convert")),
    "file: unknown format": (lambda f: f.run(ct=f.file("ct.txt", b"x")), ("ct.txt", "known format")),
    "file: empty": (lambda f: f.run(ct=f.file("e.nii.gz", b"")), ("e.nii.gz", "empty")),
    "file: cut off": (lambda f: f.run(ct=f.file("c.nii.gz", f.ct.read_bytes()[:9000])), ("c.nii.gz",)),
    "file: words": (lambda f: f.run(second=f.file("w.nrrd", b"hello " * 50)), ("w.nrrd", "cannot be read")),
    "file: long name": (lambda f: f.run(ct=f.root / ("n" * 300 + ".nii.gz")), ("nnn", "check the path")),
    "file: time series": (time_series, ("4d.nii.gz", "3 volumes")),
    "file: image for a mask": (lambda f: f.run(second=f.ct), ("ct.nii.gz", "no label")),
    "file: MR image for a mask": (
        lambda f: f.run(
            first=f.image("mr.nii.gz", np.random.default_rng(0).integers(0, 900, f.mask().shape, np.uint16))
        ),
        ("mr.nii.gz", "looks like an image"),
    ),
    "file: fractions for a mask": (
        lambda f: f.run(second=f.image("soft.nii.gz", f.mask() * np.float32(0.5))),
        ("soft.nii.gz", "no label"),
    ),
    "file: NaN in a mask": (
        lambda f: f.run(second=f.image("nan.nii.gz", np.where(f.mask() > 0, np.nan, 0).astype(np.float32))),
        ("nan.nii.gz", "NaN"),
    ),
    "file: smaller mask": (
        lambda f: f.run(second=f.file("s.nii.gz", b"") and _cropped(f)),
        ("s.nii.gz", "not on the grid of", "ct.nii.gz", "resample"),
    ),
    "file: shifted mask": (shifted, ("shifted.nii.gz", "not on the grid of", "mm away", "resample")),
    "file: empty first mask": (
        lambda f: f.run(first=f.image("none.nii.gz", f.mask() * np.uint8(0))),
        ("mask is empty", "budget"),
    ),
    "file: mask for probabilities": (
        lambda f: ("run", f.ct, "-p", f.project, "--labels", f.first, "--probabilities", f.second),
        ("second.nii.gz", "no probabilities"),
    ),
    "file: probabilities over 1": (
        lambda f: _with_probabilities(f, f.mask().astype(np.float32)),
        ("p.nii.gz", "0 to 1"),
    ),
    "file: label without a channel": (
        lambda f: _with_probabilities(f, (f.mask() > 0) * np.float32(0.7)),
        ("first.nii.gz", "label 2", "channel"),
    ),
    "file: unknown orientation": (forgot_orientation, ("ct.nii.gz", "left and right", "--orientation-checked")),
    # worklist and export
    "worklist: nobody": (of("worklist", "--reader", "zoe"), ("'zoe'", "ada, ben, lea")),
    "worklist: nobody, for a script": (of("worklist", "--reader", "zoe", "--json"), ("'zoe'", "ada, ben, lea")),
    "worklist: blank": (of("worklist", "--reader", ""), ("''", "ada, ben, lea")),
    "export: format": (
        lambda f: ("export", "-p", f.project, "-o", f.root / "out", "--format", "tiff"),
        ("tiff", "nifti"),
    ),
    "export: case": (lambda f: ("export", "-p", f.project, "-o", f.root / "out", "--case", "x"), ("'x'", "case-")),
    "export: to a file": (lambda f: ("export", "-p", f.project, "-o", f.ct), ("ct.nii.gz", "is a file", "folder")),
    "export: below a file": (
        lambda f: ("export", "-p", f.project, "-o", f.ct / "o"),
        ("ct.nii.gz", "cannot be written"),
    ),
    "export: long name": (lambda f: ("export", "-p", f.project, "-o", f.root / ("n" * 300)), ("nnn", "another folder")),
    "export: foreign mask": (foreign(".nii.gz"), (".nii.gz", "no export of this case", "another folder")),
    "export: foreign names": (foreign(".labels.csv"), (".labels.csv", "no export of this case", "another folder")),
    "export: foreign provenance": (foreign(".provenance.json"), (".provenance.json", "another folder")),
    "export: damaged prediction": (damaged_prediction, ("damaged", "run the model")),
    "export: no prediction": (no_prediction, ("labels.npy", "missing", "run the model")),
}


def _cropped(f: Folder) -> Path:
    sitk.WriteImage(sitk.ReadImage(str(f.first))[:, :, 1:], str(f.root / "s.nii.gz"))
    return f.root / "s.nii.gz"


def _with_probabilities(f: Folder, p: np.ndarray) -> Words:
    path = f.image("p.nii.gz", p.astype(np.float32))
    return "run", f.ct, "-p", f.project, "--labels", f.first, "--probabilities", path


USAGE: dict[str, tuple[Callable[[Folder], Words], str]] = {
    "no command": (lambda f: (), "Usage"),
    "unknown command": (lambda f: ("frobnicate",), "frobnicate"),
    "unknown option": (of("reader", "list", "--frob"), "--frob"),
    "no project": (lambda f: ("reader", "list"), "--project"),
    "no volume": (lambda f: ("run", "-p", f.project), "VOLUME"),
    "no reader": (of("worklist"), "--reader"),
    "no folder": (of("export"), "--out"),
    "empty project": (lambda f: ("reader", "list", "-p", ""), "empty"),
    "empty volume": (lambda f: f.run(ct=" "), "empty"),
    "empty mask": (lambda f: f.run(second=" "), "empty"),
    "empty folder": (lambda f: ("export", "-p", f.project, "-o", ""), "empty"),
    "empty new folder": (lambda f: ("project", "init", ""), "empty"),
    "unit": (lambda f: f.run("--unit", "frogs"), "frogs"),
    "role": (of("reader", "add", "Z", "--role", "boss"), "boss"),
    "no capacity": (of("reader", "add", "Z", "--capacity", "-1"), "--capacity"),
    "capacity over a day": (of("reader", "add", "Z", "--capacity", "1441"), "1440"),
    "word for a capacity": (of("reader", "add", "Z", "--capacity", "lots"), "--capacity"),
    "nan capacity": (of("reader", "add", "Z", "--capacity", "nan"), "--capacity"),
    "word for a seed": (lambda f: ("demo", "--no-viewer", "-p", f.root / "d", "--seed", "x"), "--seed"),
}


OTHER: dict[str, type[DeferredSegError]] = {
    "project: empty info": Damaged,
    "project: words": Damaged,
    "project: not UTF-8": Damaged,
    "project: a list": Damaged,
    "project: bad key": Damaged,
    "project: long key": Damaged,
    "project: strange field": Damaged,
    "project: words for a database": Damaged,
    "release: by a reader": NotAllowed,
    "run: somebody reads": Busy,
    "export: damaged prediction": Damaged,
    "export: no prediction": Damaged,
}
"""Calls that are wrong in another way than by what they were given."""


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_call_is_one_line_and_writes_nothing(scene, type_in, snapshot, name):
    call, parts = CALLS[name]
    words = call(Folder(scene.root))
    before = snapshot(scene.root)
    said = type_in(*words)
    assert said.code == OTHER.get(name, InputError).exit_code, said
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("deferredseg: ")
    for part in parts:
        assert part in line
    for never in ("Traceback", "unexpected", "pydantic", "validation error", "sqlalchemy", "Errno"):
        assert never not in line
    assert snapshot(scene.root) == before


@pytest.mark.parametrize("name", USAGE)
def test_a_wrong_command_is_explained_and_writes_nothing(scene, type_in, snapshot, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "200")
    call, part = USAGE[name]
    words = call(Folder(scene.root))
    before = snapshot(scene.root)
    said = type_in(*words)
    assert said.code == 2, said
    text = said.err + said.out
    assert part in text
    assert "Traceback" not in text
    assert snapshot(scene.root) == before


@pytest.mark.parametrize("name", ["project: words", "file: cut off", "export: foreign mask"])
def test_it_is_the_same_in_a_process_of_its_own(scene, shell, snapshot, name):
    call, parts = CALLS[name]
    words = call(Folder(scene.root))
    before = snapshot(scene.root)
    said = shell(*words)
    assert (said.code, said.out) == (OTHER.get(name, InputError).exit_code, "")
    assert len(said.err.splitlines()) == 1
    assert all(part in said.err for part in parts)
    assert snapshot(scene.root) == before


def test_many_small_lesions_are_a_mask(unread, type_in):
    sitk_image = sitk.ReadImage(str(unread.first))
    many = np.zeros(sitk.GetArrayFromImage(sitk_image).shape, np.uint16)
    places = [(z, y, x) for z in range(1, 22, 4) for y in range(1, 38, 4) for x in range(1, 40, 6)]
    for number, (z, y, x) in enumerate(places, start=1):
        many[z : z + 2, y : y + 2, x : x + 2] = number
    image = sitk.GetImageFromArray(many)
    image.CopyInformation(sitk_image)
    lesions = unread.root / "lesions.nii.gz"
    sitk.WriteImage(image, str(lesions))
    assert many.max() > 100
    said = type_in("run", unread.volume, "-p", unread.folder, "--labels", lesions, "--labels", unread.second)
    assert said.code == 0, said.err


def test_an_export_to_a_disk_that_refuses_keeps_the_old_one(scene, type_in, snapshot):
    out = scene.root / "out"
    assert type_in("export", "-p", scene.folder, "-o", out).code == 0
    (names,) = out.glob("*.labels.csv")
    names.unlink()
    names.mkdir()
    (names / "keep").write_bytes(b"")
    before = snapshot(scene.root)
    said = type_in("export", "-p", scene.folder, "-o", out)
    assert said.code == 1
    assert "cannot be written" in said.err
    assert len(said.err.splitlines()) == 1
    after = snapshot(scene.root)
    assert {k: v for k, v in after.items() if ".provenance" not in k} == {
        k: v for k, v in before.items() if ".provenance" not in k
    }
    (names / "keep").unlink()
    names.rmdir()
    assert type_in("export", "-p", scene.folder, "-o", out).code == 0


def test_a_mask_that_somebody_changed_after_the_export_is_not_replaced(scene, type_in, snapshot):
    out = scene.root / "out"
    assert type_in("export", "-p", scene.folder, "-o", out).code == 0
    (mask,) = out.glob("*.nii.gz")
    image = sitk.ReadImage(str(mask))
    image[3, 4, 5] = 1
    sitk.WriteImage(image, str(mask))
    before = snapshot(scene.root)
    said = type_in("export", "-p", scene.folder, "-o", out)
    assert said.code == 1
    assert f"{mask} was changed after it was exported" in said.err.replace("\n", "")
    assert snapshot(scene.root) == before
