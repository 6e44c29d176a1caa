"""Deferral models on the command line: the project's registry, a run, whom regions go to."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import SimpleITK as sitk

from napari_deferredseg.core.records import Reader


@pytest.fixture
def readers(unread):
    """The scene before any model ran, with two who can read all day."""
    with unread.open() as project:
        for login in ("uma", "vic"):
            project.store.add_reader(Reader(login=login, name=login.title(), capacity=600, groups=("night",)))
    return unread


@pytest.fixture
def run(type_in, readers, tiny_model):
    """Run the tiny model on the scene's volume."""

    def ran(*words, model=tiny_model, volume=readers.volume):
        return type_in("run", volume, "-p", readers.folder, "--model", model, "--device", "cpu", *words)

    return ran


def regions_of(scene):
    with scene.open() as project:
        return project.store.items()


def test_a_model_is_added_listed_shown_and_refused_twice(type_in, unread, tiny_model):
    assert "tiny" not in type_in("model", "list", "-p", unread.folder).out
    assert type_in("model", "add", tiny_model, "-p", unread.folder).code == 0
    (row,) = [x for x in type_in("model", "list", "-p", unread.folder).out.splitlines() if " tiny " in x]
    assert re.split("  +", row.strip()) == ["tiny", "liver, spleen", "north, south", "1", "the project"]
    card = (tiny_model / "CARD.md").read_text("utf-8")
    for words in (("tiny", "-p", unread.folder), (tiny_model,)):
        said = type_in("model", "show", *words)
        assert said.code == 0
        assert said.out.startswith(card)
        assert "- voxels (z, y, x): 3 x 1.25 x 1.5 mm" in said.out
    copies = sorted((unread.folder / "models").iterdir())
    again = type_in("model", "add", tiny_model, "-p", unread.folder)
    assert again.code == 1
    assert "already" in again.err
    assert sorted((unread.folder / "models").iterdir()) == copies
    assert type_in("model", "show", "tiny").code == 1  # another project's
    (tiny,) = copies
    shutil.rmtree(tiny)
    assert "tiny" not in type_in("model", "list", "-p", unread.folder).out


def test_an_image_out_of_the_domain_needs_a_word_and_its_range_may_be_unknown(run, type_in, readers, tiny_model):
    thick = readers.root / "thick.nii.gz"
    image = sitk.ReadImage(str(readers.volume))
    image.SetSpacing((1.5, 1.25, 9.0))
    sitk.WriteImage(image, str(thick))
    said = run(volume=thick)
    assert said.code == 1
    assert "--outside-domain" in said.err
    assert said.err.count("\n") == 1
    bare = shutil.copytree(tiny_model, readers.root / "bare")
    (bare / "domain.json").unlink()
    assert "range unknown" in type_in("model", "show", bare).out
    measured = type_in("model", "measure", bare, "--data", tiny_model.parent / "cases.json", "--modality", "CT")
    assert (measured.code, measured.err) == (0, "")
    assert "modality: CT" in type_in("model", "show", bare).out
    again = ("model", "measure", bare, "--data", tiny_model.parent / "cases.json", "--modality", "MR")
    refused = type_in(*again)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "--replace" in refused.err
    assert "modality: CT" in type_in("model", "show", bare).out
    assert type_in(*again, "--replace").code == 0
    assert "modality: MR" in type_in("model", "show", bare).out
    masks = ("--labels", readers.first, "--labels", readers.second, "--outside-domain")
    assert "--outside-domain are for a deferral model" in type_in("run", thick, "-p", readers.folder, *masks).err


def test_code_of_others_is_allowed_listed_and_withdrawn(type_in, tmp_path, tiny_model, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    said = type_in("model", "trust", tiny_model)
    assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert "nothing to allow" in said.err
    content = json.loads((tiny_model / "model.json").read_text("utf-8"))
    foreign = {"kind": "module", "factory": "nets.good:Net", "arguments": {"width": 4}, "labels": ["liver", "spleen"]}
    content["config"]["segmentor"] = foreign
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text(json.dumps(content), "utf-8")
    call = 'nets.good:Net {"width": 4}'
    assert call in type_in("model", "trust", tmp_path / "other").out
    assert type_in("model", "trust").out.strip() == call
    assert type_in("model", "trust", tmp_path / "other", "--withdraw").code == 0
    assert type_in("model", "trust").out == ""


def test_a_budget_of_many_volumes_needs_a_model_that_fixed_it(run, type_in, readers):
    said = run("--budget", "7%", "--mode", "fixed_threshold")
    assert said.code == 1
    assert "2 % of predicted foreground" in said.err
    files = readers.files
    masks = ("--labels", files.labels[0], "--labels", files.labels[1], "--mode", "fixed_threshold")
    said = type_in("run", files.volume, "-p", readers.folder, *masks)
    assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert "fixed no thresholds" in said.err
    assert regions_of(readers) == []


def test_without_a_mapping_nothing_learned_is_used(run, readers):
    said = run("--budget", "4", "--unit", "regions")
    assert said.code == 0, said.err
    items = regions_of(readers)
    assert 1 <= len(items) <= 4
    assert all(len(x.region.scores) == 2 for x in items)
    with readers.open() as project:
        record = project.store.prediction(items[0].case.key)
        assert record.settings["model"] == "tiny"
        assert not any(key.startswith("channel") for key in record.settings)


@pytest.mark.parametrize(("record", "better"), [((0.9, 0.99), "vic"), ((0.99, 0.9), "uma")])
def test_mapped_regions_go_to_whom_the_model_thinks_better(run, readers, tiny_model, tmp_path, record, better):
    model = shutil.copytree(tiny_model, tmp_path / "tiny")
    content = json.loads((model / "model.json").read_text("utf-8"))
    content["policy"] |= {"who_weight": 0.0, "record": record}
    (model / "model.json").write_text(json.dumps(content), "utf-8")
    who = {"north": "uma", "south": "vic"}
    words = [word for channel, login in who.items() for word in ("--map", f"{channel}={login}")]
    said = run("--budget", "6", "--unit", "regions", *words, "--purpose", "fewer misses at night", model=model)
    assert said.code == 0, said.err
    items = regions_of(readers)
    assert items
    for item in items:
        north, south = item.region.scores
        assert north - south == pytest.approx(record[0] - record[1], abs=0.01)
        assert item.assignment.reader == better
    with readers.open() as project:
        settings = project.store.prediction(items[0].case.key).settings
    assert settings["channels_for"] == "fewer misses at night"
    assert (settings["channel north"], settings["channel south"]) == ("uma", "vic")


REFUSED = {
    "no purpose": (("--map", "north=uma"), ("purpose",)),
    "empty purpose": (("--map", "north=uma", "--purpose", "  "), ("purpose",)),
    "purpose alone": (("--purpose", "why not"), ("purpose", "channel")),
    "no such channel": (("--map", "east=uma", "--purpose", "x"), ("east", "north, south")),
    "no such person": (("--map", "north=zoe", "--purpose", "x"), ("zoe", "north")),
    "no equals sign": (("--map", "north", "--purpose", "x"), ("north", "--map")),
    "a channel twice": (("--map", "north=uma", "--map", "north=vic", "--purpose", "x"), ("north",)),
    "a person twice": (("--map", "north=uma", "--map", "south=night", "--purpose", "x"), ("uma",)),
    "masks with a model": (("--labels", "a.nii.gz"), ("--labels",)),
    "probabilities with a model": (("--probabilities", "a.nii.gz"), ("--probabilities",)),
    "a channel that is gone": (("--channel", "gone.nii.gz"), ("gone.nii.gz",)),
}


@pytest.mark.parametrize(("words", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(run, readers, snapshot, words, parts):
    before = snapshot(readers.folder)
    said = run(*words)
    assert (said.code, said.out) == (1, "")
    assert len(said.err.strip().splitlines()) == 1
    assert all(part in said.err for part in parts), said.err
    assert snapshot(readers.folder) == before


def test_channels_that_the_model_never_saw_and_devices_that_are_not_here(run, readers, snapshot, tiny_model, tmp_path):
    before = snapshot(readers.folder)
    two = run("--channel", readers.volume)
    assert (two.code, "2 channels" in two.err) == (1, True)
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"x" * 100)
    bad = run(model=damaged)
    assert (bad.code, "safetensors" in bad.err) == (1, True)
    content = json.loads((damaged / "model.json").read_text("utf-8"))
    (damaged / "model.json").write_text(json.dumps({**content, "experts": 3}), "utf-8")
    assert "model.json: experts: " in run(model=damaged).err
    assert snapshot(readers.folder) == before


def test_options_of_a_model_with_an_external_ai(type_in, unread, snapshot):
    before = snapshot(unread.folder)
    masks = ("--labels", unread.first, "--labels", unread.second)
    for words in (("--device", "cpu"), ("--map", "a=ada", "--purpose", "x"), ("--channel", unread.volume)):
        said = type_in("run", unread.volume, "-p", unread.folder, *masks, *words)
        assert (said.code, "--model" in said.err) == (1, True)
    assert snapshot(unread.folder) == before
