"""What a run warns of, and what it refuses for the sake of earlier corrections."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Reader, Verdict
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.io.images import read_labels
from napari_deferredseg.io.labels.tables import table_path
from napari_deferredseg.io.writing import write_labels
from napari_deferredseg.routing.budget import Budget
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.predict import LEFT_OUT, ExternalInput, ModelInput, predict_external
from napari_deferredseg.usecases.running.run import run_external, run_model
from napari_deferredseg.usecases.running.triage import recognised, triage

OTHER = Budget(amount=0.05)


def renamed(scene, names: dict[int, str]) -> ExternalInput:
    """The scene's masks with other names for their labels."""
    paths = []
    for path in (scene.first, scene.second):
        mask = read_labels(path)
        paths.append(scene.root / f"renamed-{path.name}")
        write_labels(paths[-1], mask.array, mask.geometry, table_from_names(names))
    return ExternalInput(volume=scene.volume, labels=tuple(paths))


def repaint_one(scene) -> None:
    """Submit a region with some of it as spleen."""
    session = Session()
    session.set_project(scene.open())
    session.set_case(load_case(session.project, session.project.store.cases()[0].key))
    session.choose_reader("ben")
    item = session.worklist()[0]
    session.begin(item)
    region = item.region
    session.work[slices(region.box)] = 2
    session.work[tuple(low for low, _ in region.box)] = 1
    session.note_change(region.box)
    session.submit(Verdict.EDITED)
    session.close()


def test_corrections_keep_the_meaning_of_their_labels(scene):
    repaint_one(scene)
    with scene.open() as project:
        before = project.store.prediction(project.store.cases()[0].key)
        with pytest.raises(InputError, match="label 2 is 'spleen', here it is 'aorta'"):
            run_external(project, renamed(scene, {1: "liver", 2: "aorta"}), OTHER)
        assert project.store.prediction(before.case_key) == before
        assert run_external(project, renamed(scene, {1: "liver", 2: "Spleen"}), OTHER).new


def test_without_corrections_labels_may_be_renamed(scene):
    with scene.open() as project:
        assert run_external(project, renamed(scene, {1: "liver", 2: "aorta"}), OTHER).new


def test_overfull_days_and_unknown_specialities_are_told(unread, tmp_path):
    with init_project(tmp_path / "small") as project:
        project.store.add_reader(Reader(login="eve", name="Eve", capacity=1, specialities=("Spleen", "spline")))
        report = run_external(project, unread.files)
    assert report.cautions[0] == "No label here is called spline, the speciality of eve."
    assert report.cautions[1].endswith("min wait for eve, whose day has 1.")
    with unread.open() as project:
        assert run_external(project, unread.files).cautions == ()


def test_what_a_prompt_shows_in_vain_is_told(unread):
    volume, prediction = predict_external(unread.files)
    told = replace(prediction, settings={LEFT_OUT: "aorta, lung"})
    with unread.open() as project:
        report = triage(project, unread.files, *recognised(project, unread.files, volume, told))
    assert report.cautions == ("The prompt also shows aorta, lung, which this model does not draw.",)


def numbered(scene, first: tuple[dict[int, int], dict[int, str]], second: tuple[dict[int, int], dict[int, str]]):
    """The scene's masks with other numbers, and tables of names or none."""
    paths = []
    for path, (numbers, names) in zip((scene.first, scene.second), (first, second), strict=True):
        mask = read_labels(path)
        array = np.array([0, *(numbers[v] for v in (1, 2))], np.uint16)[mask.array]
        paths.append(scene.root / f"numbered-{path.name}")
        write_labels(paths[-1], array, mask.geometry, table_from_names(names))
        if not names:
            table_path(paths[-1]).unlink()
    return ExternalInput(volume=scene.volume, labels=tuple(paths))


SAME, LIVER, BOTH = {1: 1, 2: 2}, {1: "liver"}, {1: "liver", 2: "spleen"}
TURNED = {1: 2, 2: 1}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ((SAME, {}), (SAME, {}), None),
        ((SAME, BOTH), (SAME, {}), None),
        ((SAME, {}), (TURNED, {}), "label 1 of numbered-first.nii.gz is label 2 of numbered-second.nii.gz, label 2 of"),
        ((SAME, BOTH), (TURNED, {}), r"label 1 \(liver\) of numbered-first.nii.gz is label 2 of"),
        ((SAME, BOTH), (TURNED, BOTH), r"label 1 \(liver\) of numbered-first.nii.gz is label 2 \(spleen\) of"),
        ((SAME, BOTH), ({1: 1, 2: 7}, {1: "liver", 7: "Milz"}), r"label 2 \(spleen\) of .* is label 7 \(Milz\) of"),
        ((SAME, BOTH), (SAME, {1: "liver", 2: "Milz"}), "Label 2 is 'spleen' in .* and 'Milz' in .*first name is kept"),
        (({1: 1, 2: 5}, {}), ({1: 1, 2: 2}, {}), "label 5 of numbered-first.nii.gz is label 2 of"),
        (({1: 1, 2: 1}, LIVER), ({1: 2, 2: 2}, {2: "organ"}), r"no label in common \(1 against 2\)"),
    ],
)
def test_numbers_that_may_not_mean_the_same_are_told(unread, first, second, told):
    """Also where the same tables say that they do: left and right are exchanged that way."""
    _, prediction = predict_external(numbered(unread, first, second))
    if told is None:
        assert prediction.notes == ()
    else:
        assert re.search(told, " ".join(prediction.notes))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (({1: 255, 2: 255}, {}), ({1: 1, 2: 1}, {})),
        ((SAME, {}), ({1: 11, 2: 12}, {})),
        ((SAME, BOTH), ({1: 11, 2: 12}, {})),
    ],
)
def test_masks_that_cannot_be_compared_are_refused(unread, first, second, turned):
    files = numbered(unread, *((second, first) if turned else (first, second)))
    with pytest.raises(InputError, match=r"no label in common.* is label .*; number the labels alike") as refused:
        predict_external(files)
    assert "\n" not in str(refused.value)


def test_masks_of_different_things_without_a_number_in_common_are_told(unread):
    mask = read_labels(unread.first)
    for value, path in ((1, "liver.nii.gz"), (2, "spleen.nii.gz")):
        array = np.where(mask.array == value, mask.array, 0)
        write_labels(unread.root / path, array, mask.geometry, table_from_names({}))
    files = ExternalInput(volume=unread.volume, labels=(unread.root / "liver.nii.gz", unread.root / "spleen.nii.gz"))
    _, prediction = predict_external(files)
    assert "liver.nii.gz and spleen.nii.gz have no label in common (1 against 2)" in prediction.notes[0]


def test_a_mask_numbered_otherwise_than_its_probabilities_is_told(unread):
    mask = read_labels(unread.first)
    classes = np.stack([mask.array == value for value in (0, 2, 1)]).astype(np.float32)
    image = sitk.GetImageFromArray(classes.transpose(1, 2, 3, 0), isVector=True)
    image.CopyInformation(sitk.ReadImage(str(unread.first)))
    sitk.WriteImage(image, str(unread.root / "p.nrrd"))
    files = ExternalInput(unread.volume, (unread.first,), unread.root / "p.nrrd")
    _, prediction = predict_external(files)
    assert "label 1 (liver) of first.nii.gz is label 2 of p.nrrd" in prediction.notes[0]


def test_labels_with_another_meaning_are_told_before_the_work(scene, tiny_model, monkeypatch):
    """Corrections call 2 spleen: neither are masks compared nor is a model started that call it otherwise."""
    repaint_one(scene)
    monkeypatch.setattr("napari_deferredseg.usecases.running.predict.from_labels", None)
    engine = SimpleNamespace(run=None)
    model = shutil.copytree(tiny_model, scene.root / "model")
    content = (model / "model.json").read_text("utf-8").replace('"spleen"', '"aorta"')
    (model / "model.json").write_text(content, "utf-8")
    with scene.open() as project:
        with pytest.raises(InputError, match="label 2 is 'spleen', here it is 'aorta'"):
            run_external(project, renamed(scene, {1: "liver", 2: "aorta"}), OTHER)
        with pytest.raises(InputError, match="label 2 is 'spleen', here it is 'aorta'"):
            run_model(project, ModelInput(scene.volume, model), engine)
