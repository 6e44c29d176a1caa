"""Running a deferral model: whom its channels stand for, several images as one case, what is checked beforehand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Reader
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.engine import Engine
from napari_deferredseg.io.images import read_labels
from napari_deferredseg.io.writing import write_labels
from napari_deferredseg.usecases.readers import deactivate, edit
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.running.domain import measure_domain
from napari_deferredseg.usecases.running.models import EXTERNAL, add_model, find_model, list_models
from napari_deferredseg.usecases.running.predict import ModelInput, predict_with_model
from napari_deferredseg.usecases.running.route import Channels, columns_of, make_channels
from napari_deferredseg.usecases.running.run import run_model

EXPERTS = ("north", "south")


class NoEngine(Engine):
    """Fails a test that starts a model though something is wrong beforehand."""

    def run(self, *_args, **_options):  # type: ignore[override]
        raise AssertionError("the model was started")


@pytest.fixture
def two_channels(tiny_model, tmp_path):
    """A model that wants two images; what it says is worth nothing."""
    from napari_deferredseg.deferral.model.model import DeferralModel, new_networks, save_model, segmentor_of
    from napari_deferredseg.deferral.model.spec import read_spec

    spec = read_spec(tiny_model).model_copy(update={"name": "two", "channels": 2})
    network, router = new_networks(spec.shape)
    folder = tmp_path / "two"
    folder.mkdir()
    save_model(DeferralModel(spec, segmentor_of(spec.shape, network), router), folder, "# two")
    return folder


def test_further_images_are_channels_and_the_first_is_the_case(unread, two_channels):
    other = unread.root / "t2.nii.gz"
    image = sitk.ReadImage(str(unread.volume))
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) * 0.5, str(other))
    files = ModelInput(volume=unread.volume, model=two_channels, companions=(other,), device="cpu")
    with unread.open() as project, Engine() as engine:
        report = run_model(project, files, engine, Budget(amount=2, unit="regions"))
        case = load_case(project, report.case.key)
        again = run_model(project, files, engine, Budget(amount=2, unit="regions"))
    np.testing.assert_array_equal(case.volume.array, sitk.GetArrayFromImage(image))
    assert case.labels.shape == case.volume.array.shape
    assert not again.new
    assert [x.id for x in again.regions] == [x.id for x in report.regions]


def test_what_is_wrong_is_said_before_the_model_starts(unread, tiny_model, tmp_path):
    files = ModelInput(volume=unread.volume, model=tiny_model)
    gone = replace(files, model=tmp_path / "none")
    moved = unread.root / "moved.nii.gz"
    image = sitk.ReadImage(str(unread.volume))
    image.SetOrigin((0.0, 0.0, 0.0))
    sitk.WriteImage(image, str(moved))
    picture = unread.root / "slice.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((40, 44), np.uint8)), str(picture))
    wrong = (
        (files, Channels(readers={"east": "ada"}, purpose="x"), "north, south"),
        (gone, None, "no model folder"),
        (replace(files, companions=(unread.volume,)), None, "2 channels"),
        (replace(files, companions=(moved,)), None, "not on the grid"),
        (replace(files, volume=picture), None, "left and right"),
    )
    with unread.open() as project:
        for given, channels, part in wrong:
            with pytest.raises(InputError, match=part):
                run_model(project, given, NoEngine(), channels=channels)  # type: ignore[arg-type]
        assert project.store.cases() == []


def test_a_channel_of_somebody_who_does_not_read_says_why(unread):
    with unread.open() as project:
        deactivate(project, "ada", "lea")
        edit(project, "ben", {"capacity": 0.0}, "lea")
        for name, why in (
            ("ada", r"'ada', to whom nothing is routed: ada \(deactivated\)"),
            ("ben", r"ben \(0 minutes a day\)"),
            ("abdomen", r"ada \(deactivated\), ben \(0 minutes a day\)"),
            ("kim", "no reader and no group"),
        ):
            with pytest.raises(InputError, match=why):
                columns_of(project, Channels(readers={"north": name}, purpose="trial"), ["north"])


def test_an_image_out_of_the_domain_is_refused_unless_somebody_knows(unread, tiny_model, tmp_path):
    """Before the model starts; who knows it is told all the same, and the run says that they knew."""
    image = sitk.ReadImage(str(unread.volume))
    image.SetSpacing((1.5, 1.25, 9.0))
    sitk.WriteImage(image, str(tmp_path / "thick.nii.gz"))
    files = ModelInput(tmp_path / "thick.nii.gz", tiny_model, device="cpu")
    with unread.open() as project:
        with pytest.raises(
            InputError, match=r"tiny learned from: its voxels \(z, y, x\) 9 x 1.25 x 1.5 mm, theirs 3 x"
        ):
            run_model(project, files, NoEngine())  # type: ignore[arg-type]
        assert project.store.cases() == []
        with Engine() as engine:
            report = run_model(project, replace(files, outside_domain=True), engine)
            bare = shutil.copytree(tiny_model, tmp_path / "bare")
            (bare / "domain.json").unlink()
            unknown = run_model(project, replace(files, model=bare), engine)
    assert report.prediction.settings["outside_domain"] is True
    assert report.cautions[0].startswith("The image is unlike what the model tiny learned from: its voxels")
    assert unknown.cautions[0] == ("The model tiny: range unknown: the images that it learned from were not recorded.")
    assert "outside_domain" not in unknown.prediction.settings


def test_what_a_model_learned_from_is_measured_anew(tiny_model, tmp_path):
    """From its cases, as training did; lists of other images are refused and leave the folder as it was."""
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    trained = (bare / "domain.json").read_text("utf-8")
    (bare / "domain.json").unlink()
    listed = tiny_model.parent / "cases.json"
    measure_domain(bare, listed)
    assert (bare / "domain.json").read_text("utf-8") == trained
    with pytest.raises(InputError, match="is there already; give --replace"):
        measure_domain(bare, listed, "MR")
    assert (bare / "domain.json").read_text("utf-8") == trained
    assert measure_domain(bare, listed, "MR", replace=True).modalities == ("MR",)
    two = json.loads(listed.read_text("utf-8"))
    for case in two["training"]:
        case["image"] = [str(tiny_model.parent / case["image"])] * 2
        case["label"] = str(tiny_model.parent / case["label"])
        case["experts"] = {k: str(tiny_model.parent / v) for k, v in case["experts"].items()}
    (tmp_path / "two.json").write_text(json.dumps({"training": two["training"]}), "utf-8")
    before = (bare / "domain.json").read_bytes()
    with pytest.raises(InputError, match="has 2 channels"):
        measure_domain(bare, tmp_path / "two.json", replace=True)
    assert (bare / "domain.json").read_bytes() == before


@pytest.mark.parametrize("told", [True, False], ids=["the list says it", "the masks say it"])
def test_a_list_of_other_labels_is_no_record_of_a_model(tiny_model, tmp_path, told):
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    (bare / "domain.json").unlink()
    listed = json.loads((tiny_model.parent / "cases.json").read_text("utf-8"))
    for case in listed["training"]:
        case["image"] = str(tiny_model.parent / case["image"])
        case["label"] = str(tiny_model.parent / case["label"])
        case["experts"] = {}
    cases = {"training": listed["training"]}
    if told:
        cases["labels"] = {"1": "kidney", "2": "spleen"}
    else:
        mask = read_labels(Path(listed["training"][0]["label"]))
        kidney = table_from_names({1: "kidney", 2: "spleen"})
        write_labels(tmp_path / "kidney.nii.gz", mask.array, mask.geometry, kidney)
        cases["training"][0]["label"] = str(tmp_path / "kidney.nii.gz")
    (tmp_path / "other.json").write_text(json.dumps(cases), "utf-8")
    with pytest.raises(InputError, match=r"other\.json: is about kidney.* the model tiny about liver, spleen"):
        measure_domain(bare, tmp_path / "other.json")
    assert not (bare / "domain.json").exists()
    cases = {"training": listed["training"][1:]}
    (tmp_path / "same.json").write_text(json.dumps(cases), "utf-8")
    assert measure_domain(bare, tmp_path / "same.json").cases == 3


def test_a_threshold_of_the_validation_cases_gives_a_volume_what_it_needs(unread, tiny_model, tmp_path):
    """A low threshold, as a doubtful volume meets, sends more to readers than the budget; a high one nothing."""
    budget = Budget(amount=0.05, mode="fixed_threshold")
    files = ModelInput(unread.volume, tiny_model, device="cpu")
    with Engine() as engine:
        _, said = predict_with_model(files, engine)
        low, high = (float(x) for x in np.quantile(said.defer, (0.2, 0.9)))
        found = {}
        for part, threshold in (("most", low), ("some", high), ("none", 2.0)):
            folder = shutil.copytree(tiny_model, tmp_path / part)
            content = json.loads((folder / "model.json").read_text("utf-8"))
            assert [b["budget"] for b in content["policy"]["budgets"]] == [0.02, 0.05, 0.1]
            content["policy"]["budgets"][1]["threshold"] = threshold
            (folder / "model.json").write_text(json.dumps(content), "utf-8")
            with unread.open() as project:
                found[part] = run_model(project, replace(files, model=folder), engine, budget)
    assert found["most"].realised_share > found["some"].realised_share > 0.05
    assert found["none"].regions == ()
    settings = found["some"].prediction.settings
    assert (settings["budget"], settings["budget_mode"]) == (0.05, "fixed_threshold")
    with unread.open() as project:
        for wrong in (Budget(amount=0.07, mode="fixed_threshold"), budget.model_copy(update={"unit": "voxels"})):
            with pytest.raises(InputError, match=r"no threshold .* 2 % of predicted foreground, 5 %"):
                run_model(project, ModelInput(unread.volume, tiny_model), NoEngine(), wrong)  # type: ignore[arg-type]


def test_who_stands_behind_a_channel(unread):
    with unread.open() as project:
        project.store.add_reader(Reader(login="root", name="Root", role="admin", capacity=0, groups=("abdomen",)))

        def columns(**readers):
            return columns_of(project, Channels(readers=readers, purpose="x"), EXPERTS)

        assert columns(south="abdomen") == {"ada": 1, "ben": 1}
        assert columns(north="LEA", south="ada") == {"lea": 0, "ada": 1}
        for readers, part in (
            ({"north": "root"}, r"nothing is routed: root \(0 minutes a day\)"),
            ({"north": "ada", "south": "abdomen"}, "two channels"),
            ({"west": "ada"}, "no expert channel"),
        ):
            with pytest.raises(InputError, match=part):
                columns(**readers)


def test_a_mapping_needs_a_purpose_and_a_purpose_a_mapping():
    assert make_channels({}, " ") is None
    assert make_channels({"north": "ada"}, " fewer  misses ") == Channels(
        readers={"north": "ada"}, purpose="fewer misses"
    )
    for readers, purpose in (({"north": "ada"}, " "), ({"north": "ada"}, "\x07"), ({}, "fewer misses")):
        with pytest.raises(InputError, match="purpose"):
            make_channels(readers, purpose)


def test_the_registry_holds_each_name_once(unread, tiny_model, tmp_path):
    with unread.open() as project:
        before = list_models(project)
        added = add_model(project, tiny_model)
        assert list_models(project) == [added, *before]
        assert find_model("tiny", project) == added
        assert find_model(str(tiny_model)).folder == tiny_model
        twin = shutil.copytree(tiny_model, tmp_path / "twin")
        with pytest.raises(InputError, match="'tiny' already"):
            add_model(project, twin)
        content = json.loads((twin / "model.json").read_text("utf-8"))
        for name in (EXTERNAL, "tiny"):
            (twin / "model.json").write_text(json.dumps({**content, "name": name}), "utf-8")
            with pytest.raises(InputError, match="already"):
                add_model(project, twin)
        (project.folder / "models" / "notes").mkdir()
        assert list_models(project) == [added, *before]
        for name in ("", " ", "tinier"):
            with pytest.raises(InputError, match="external, tiny"):
                find_model(name, project)
