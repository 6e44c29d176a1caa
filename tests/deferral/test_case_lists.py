from __future__ import annotations

import json

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.prepared import prepare
from napari_deferredseg.io.datalist import read_datalist


@pytest.fixture
def files(tmp_path):
    """Empty files that a list may name."""
    for name in ("a.nii.gz", "b.nii.gz", "la.nii.gz", "r1.nii.gz", "r2.nii.gz", "s.nii.gz"):
        (tmp_path / name).touch()
    return tmp_path


def written(folder, content):
    path = folder / "cases.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def one(**fields):
    return {"training": [{"image": "a.nii.gz", "label": "la.nii.gz", **fields}]}


def test_paths_are_relative_to_the_list(files, monkeypatch):
    monkeypatch.chdir(files.parent)
    case = read_datalist(written(files, one(experts={"Ada": "r1.nii.gz"}))).training[0]
    assert case.image == (files / "a.nii.gz",)
    assert case.label == files / "la.nii.gz"
    assert case.experts == {"Ada": files / "r1.nii.gz"}


def test_one_support_is_that_of_every_expert(files):
    experts = {"Ada": "r1.nii.gz", "Ben": "r2.nii.gz"}
    one_for_all = read_datalist(written(files, one(experts=experts, support="s.nii.gz"))).training[0]
    assert one_for_all.support == dict.fromkeys(experts, files / "s.nii.gz")
    of_ada = read_datalist(written(files, one(experts=experts, support={"Ada": "s.nii.gz"}))).training[0]
    assert of_ada.support == {"Ada": files / "s.nii.gz"}


def test_further_texts_are_groups_and_further_numbers_are_not(files):
    case = read_datalist(written(files, one(site="north", sex="F", age=61, patient="p1"))).training[0]
    assert case.groups == {"site": "north", "sex": "F"}
    assert case.key == "p1"


def test_an_image_may_be_several_files_and_names_itself(files):
    case = read_datalist(written(files, one(image=["a.nii.gz", "b.nii.gz"]))).training[0]
    assert case.image == (files / "a.nii.gz", files / "b.nii.gz")
    assert case.key == str(files / "a.nii.gz")


def test_labels_are_named(files):
    named = read_datalist(written(files, one() | {"labels": {"2": "spleen", "0": "background", "1": "liver"}}))
    assert [(x.value, x.name) for x in named.table.labels] == [(1, "liver"), (2, "spleen")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[1, 2", "no JSON"),
        ("[]", "the file"),
        ({}, "names no cases"),
        ({"training": {}}, "training"),
        ({"training": [{}]}, "training.0.image"),
        ({"training": [7]}, "training.0"),
        (one(image=[]), "training.0.image"),
        ({"training": [{"image": "a.nii.gz"}]}, "neither a label nor an expert"),
        (one(support={"Ada": "s.nii.gz"}), "support names Ada"),
        (one(experts=["r1.nii.gz"]), "training.0.experts"),
        (one(patient=7), "training.0.patient"),
        (one(label="gone.nii.gz"), "gone.nii.gz, which is not there"),
        (one() | {"labels": {"liver": "1"}}, "labels.liver"),
        (one() | {"labels": {"-1": "liver"}}, "labels.-1"),
        (one() | {"labels": {"70000": "liver"}}, "labels.70000"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(files, content, says):
    path = written(files, content)
    with pytest.raises(InputError) as error:
        read_datalist(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_datalist(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no JSON"):
        read_datalist(tmp_path / "binary.json")


@pytest.mark.parametrize("other", ["validation", "test"])
@pytest.mark.parametrize("named", [{"patient": "p1"}, {}])
def test_a_patient_in_two_splits_is_refused(files, other, named):
    content = one(**named)
    content[other] = [content["training"][0] | ({"image": "b.nii.gz"} if named else {})]
    with pytest.raises(InputError, match=f"in both training and {other}"):
        read_datalist(written(files, content))


@pytest.mark.parametrize("other", ["validation", "test"])
@pytest.mark.parametrize("splits", [("training", "validation"), ("validation", "test")])
def test_the_same_voxels_in_two_splits_are_refused(lab, tmp_path, other, splits):
    path = lab.write_cases(tmp_path / "cases", counts=(2, 2, 2))
    content = json.loads(path.read_text(encoding="utf-8"))
    image = path.parent / content[other][1]["image"][0]
    image.write_bytes((path.parent / content["training"][1]["image"][0]).read_bytes())
    with pytest.raises(InputError, match=f"{image.name}: is the same image as|is the same image as .*{image.name}"):
        prepare(read_datalist(path), lab.settings().data, tmp_path / "work", silent, splits)
