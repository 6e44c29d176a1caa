"""`simulate-readers` and `phantom` at the command line: what they print, and one line for what cannot be."""

from __future__ import annotations

import json

import pytest

from napari_deferredseg.io.datalist import read_datalist


@pytest.fixture
def cases(unread):
    path = unread.root / "cases.json"
    path.write_text(json.dumps({"training": [{"image": "ct.nii.gz", "label": "first.nii.gz", "patient": "p1"}]}))
    return path


def test_readers_are_recorded(type_in, cases, tmp_path):
    words = ("simulate-readers", "--data", cases, "--out", tmp_path / "out", "--reader", "Ada:border", "--seed", 3)
    said = type_in(*words)
    assert (said.code, said.err) == (0, "")
    assert "1 training" in said.out
    assert "Ada" in said.out
    assert read_datalist(tmp_path / "out" / "cases.json").experts() == ("Ada",)


def test_phantoms_are_made(type_in, tmp_path):
    said = type_in("phantom", "-o", tmp_path / "out", "--cases", 1, "--size", "small", "--reader", "Ada:inside")
    assert (said.code, said.err) == (0, "")
    (case,) = read_datalist(tmp_path / "out" / "cases.json").training
    assert case.patient == "phantom-000"


BAD = {
    "no label": (lambda f: {"training": [{"image": "ct.nii.gz", "experts": {"x": "first.nii.gz"}}]}, (), "no label"),
    "unknown strength": (None, ("--reader", "Ada:left"), "all-round"),
    "no strength": (None, ("--reader", "Ada"), "NAME:WHERE"),
    "twice": (None, ("--reader", "Ada:inside", "--reader", "ada:border"), "ada already"),
    "no list": (lambda f: None, (), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_one_line_and_writes_nothing(type_in, cases, snapshot, tmp_path, name):
    content, more, part = BAD[name]
    if content is not None:
        cases.unlink()
        if content(cases):
            cases.write_text(json.dumps(content(cases)))
    _refused(type_in, snapshot, tmp_path, part, "simulate-readers", "--data", cases, "-o", tmp_path / "out", *more)


def test_a_folder_in_use(type_in, cases, snapshot, tmp_path):
    used = tmp_path / "used"
    used.mkdir()
    (used / "note.txt").write_text("keep")
    for words in (("simulate-readers", "--data", cases), ("phantom", "--cases", 1)):
        _refused(type_in, snapshot, tmp_path, "not empty", *words, "-o", used)


def test_the_folder_of_the_data(type_in, cases, snapshot, tmp_path):
    words = ("simulate-readers", "--data", cases, "-o", cases.parent)
    _refused(type_in, snapshot, tmp_path, "is the folder of cases.json", *words)


def test_a_file_in_the_way(type_in, snapshot, tmp_path):
    (tmp_path / "file").write_text("keep")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        _refused(type_in, snapshot, tmp_path, str(out), "phantom", "--cases", 1, "-o", out)


def _refused(type_in, snapshot, root, part, *words):
    before = snapshot(root)
    said = type_in(*words)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert line.startswith("deferredseg: ")
    assert part in line
    assert "unexpected" not in line
    assert snapshot(root) == before
