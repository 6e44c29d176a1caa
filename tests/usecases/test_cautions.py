"""What a run warns of, and what it refuses for the sake of earlier corrections."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Reader, Verdict
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.io.images import read_labels
from napari_deferredseg.io.writing import write_labels
from napari_deferredseg.routing.budget import Budget
from napari_deferredseg.usecases.open_case import load_case
from napari_deferredseg.usecases.predict import LEFT_OUT, ExternalInput, predict_external
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.run import run_external
from napari_deferredseg.usecases.session import Session
from napari_deferredseg.usecases.triage import recognised, triage

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
