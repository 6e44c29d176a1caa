"""`import napari_deferredseg`: what it offers, what it loads, and the quick start in its docstring."""

from __future__ import annotations

import doctest
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_deferredseg as ds
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.io.images import write_volume

HEAVY = {"torch", "qtpy", "PySide6", "PyQt6", "napari", "SimpleITK", "numpy", "pandas", "sqlalchemy", "pydantic"}
PUBLIC = [name for name in ds.__all__ if name != "__version__"]


def loaded(code: str) -> set[str]:
    told = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_it_loads_nothing():
    assert not loaded("import napari_deferredseg; dir(napari_deferredseg)") & HEAVY


def test_looking_at_a_scan_needs_neither_torch_nor_a_window(unread):
    code = (
        f"import napari_deferredseg as ds; p = ds.compare_masks({str(unread.volume)!r}, {str(unread.first)!r}, "
        f"{str(unread.second)!r}); ds.propose_regions(p); ds.load_model('abdomen-phantom')"
    )
    modules = loaded(code)
    assert "SimpleITK" in modules
    assert not modules & {"torch", "qtpy", "PySide6", "napari"}


def test_no_name_hides_a_subpackage():
    assert not {m.name for m in pkgutil.iter_modules(ds.__path__)} & set(PUBLIC)


def test_every_name_is_there_and_says_what_it_does():
    assert set(PUBLIC) <= set(dir(ds))
    assert all(getattr(ds, name).__doc__ for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = ds.predict  # type: ignore[attr-defined]


def test_the_quick_start_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(ds, optionflags=doctest.ELLIPSIS)
    assert found.attempted >= 8
    assert found.failed == 0


def test_types_come_with_the_package():
    assert (Path(ds.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("kind", [str, Path, os.fspath], ids=["str", "Path", "fspath"])
def test_paths_of_any_kind(unread, tmp_path, kind):
    prediction = ds.compare_masks(kind(unread.volume), kind(unread.first), kind(unread.second))
    assert prediction.votes == 1
    report = ds.run_external(kind(unread.folder), kind(unread.volume), kind(unread.first), kind(unread.second))
    (exported,) = ds.export_labels(kind(unread.folder), kind(tmp_path / "out"))
    assert exported.waiting == len(report.regions) > 0
    with ds.open_project(kind(unread.folder)) as project:
        assert ds.run_external(project, kind(unread.volume), kind(unread.first), kind(unread.second)).new is False
        assert project.store.cases(), "a project that was given open stays open"


def test_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with ds.init_project("~/project") as project:
        assert project.folder == (tmp_path / "project").resolve()


def test_regions_are_those_of_the_run_that_a_project_keeps(unread):
    prediction = ds.compare_masks(ds.read_volume(unread.volume), ds.read_labels(unread.first), unread.second)
    proposal = ds.propose_regions(prediction, "20%")
    report = ds.run_external(unread.folder, unread.volume, unread.first, unread.second, budget="20%")
    assert str(proposal.account) == report.account
    assert [r.box for r in proposal.regions] == [r.box for r in report.regions]
    assert [r.minutes for r in proposal.regions] == [r.minutes for r in report.regions]


def judged(scene, **options):
    return ds.evaluate_model("abdomen-phantom", scene.root / "cases.json", **options)


def exported(scene, form="nifti", **options):
    return ds.export_labels(scene.folder, scene.root / "out", form, **options)


def ran(scene, **options):
    return ds.run_external(scene.folder, scene.volume, scene.first, scene.second, **options)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda s: ds.compare_masks(s.volume, s.first), "alone shows no doubt"),
        (lambda s: ds.compare_masks(s.first, s.first, s.second), "give the image as the volume"),
        (lambda s: ds.compare_masks(s.volume, s.first, s.root / "none.nii.gz"), r"none\.nii\.gz: there is no such"),
        (lambda s: ds.load_model("no-such-model"), "there is no model 'no-such-model'"),
        (lambda s: ds.load_model(s.root), "is no model folder"),
        (lambda s: ds.open_project(s.root), "is no project"),
        (lambda s: ds.run_external(s.folder, s.volume, s.first, s.second, budget="3 cups"), "unknown unit 'cups'"),
        (lambda s: ds.export_labels(s.folder, s.root / "out"), "no cases to export"),
        (lambda s: ds.export_labels(s.folder, s.root / "out", "png"), "no export format 'png'"),
        (lambda s: exported(s, "nnunet", ignore_unreviewed="no"), "'no' .* True or False"),
        (lambda s: exported(s, "nnunet", dataset="501"), "'501' .* a whole number"),
        (lambda s: exported(s, "nnunet", dataset=True), "True .* a whole number"),
        (lambda s: exported(s, "monai", test="0.2"), "'0.2' .* a number"),
        (lambda s: exported(s, with_sources="no"), "'no' .* True or False"),
        (lambda s: exported(s, cases="phantom"), "'?phantom'?"),
        (lambda s: ds.export_labels(s.folder, ""), "the path is empty"),
        (lambda s: ds.init_project(" "), "the path is empty"),
        (lambda s: ds.init_project(s.root / "new", name=3), "3 is nothing to give as name"),  # type: ignore[arg-type]
        (lambda s: ds.read_volume(""), "the path is empty"),
        (lambda s: ds.read_volume(None), "None is no path"),
        (lambda s: ds.read_volume("x" * 300), "cannot be looked up"),
        (lambda s: ds.init_project(s.root / ("x" * 300)), "cannot be looked up"),
        (lambda s: ds.read_volume("ct\0.nii"), "NUL"),
        (lambda s: ds.read_volume("~nosuchuser/ct.nii"), "home folder|there is no such"),
        (lambda s: ds.load_model("abdomen-phantom", device=None), "None is nothing to give as device"),
        (lambda s: ds.run_model(s.folder, s.volume, "abdomen-phantom", companions="t1.mha"), "t1.mha: there is no"),
        (lambda s: ran(s, budget=None), "None is nothing to give as budget"),
        (lambda s: ran(s, orientation_checked="no"), "'no' .* True or False"),
        (lambda s: judged(s, unit="foo"), "'foo': choose one of predicted-foreground, voxels"),
        (lambda s: judged(s, unit="predicted_foreground"), "'predicted_foreground': choose one of"),
        (lambda s: judged(s, split="foo"), "'foo' of the cases: choose one of training,"),
        (lambda s: judged(s, tolerance_mm="2"), "'2', is no number of mm"),
        (lambda s: judged(s, budgets="5 cups"), "'5 cups' is no share"),
    ],
)
def test_what_cannot_be_used_is_one_line(unread, call, why):
    with pytest.raises(ds.InputError, match=why) as no:
        call(unread)
    assert "\n" not in str(no.value)


def test_a_loop_of_links_is_one_line(tmp_path):
    try:
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
    except OSError:
        pytest.skip("links cannot be made here")
    with pytest.raises(ds.InputError, match="a: cannot be looked up"):
        ds.open_project(tmp_path / "a")


def test_a_number_is_a_share(unread):
    prediction = ds.compare_masks(unread.volume, unread.first, unread.second)
    regions = [ds.propose_regions(prediction, budget).regions for budget in (0.05, "5%")]
    assert [r.box for r in regions[0]] == [r.box for r in regions[1]]


def test_a_flat_image_of_unknown_sides_is_refused_until_somebody_has_checked(tmp_path):
    grid = Geometry(shape=(8, 9, 10), spacing=(1, 1, 1), orientation_known=False)
    write_volume(tmp_path / "v.nii.gz", Volume(np.zeros((8, 9, 10), np.int16), grid, "v"))
    with pytest.raises(ds.InputError, match="does not say how it lies in the patient"):
        ds.load_model("abdomen-phantom").predict(tmp_path / "v.nii.gz")


def test_progress_can_cancel_a_prediction_in_this_process():
    volume = Volume(np.zeros((8, 9, 10), np.int16), Geometry(shape=(8, 9, 10), spacing=(1, 1, 1)), "v")

    class Enough(Exception):
        pass

    def stop(share: float, doing: str) -> None:
        raise Enough

    with pytest.raises(Enough):
        ds.load_model("abdomen-phantom", device="cpu").predict(volume, outside_domain=True, progress=stop)


def test_a_model_says_the_same_in_this_process_and_in_an_engine(tiny_model):
    volume = ds.read_volume(tiny_model.parent / "0.nii.gz")
    told: list[float] = []
    here = ds.load_model(tiny_model, device="cpu").predict(volume, progress=lambda share, doing: told.append(share))
    with ds.Engine() as engine:
        there = ds.load_model(str(tiny_model), device="cpu", engine=engine).predict(tiny_model.parent / "0.nii.gz")
    assert told == sorted(told)
    for name in ("labels", "alternative", "defer", "gain"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    assert (here.model_id, here.settings, here.notes) == (there.model_id, there.settings, there.notes)


def test_a_run_of_a_model_keeps_what_predict_proposes(tiny_model, unread):
    volume = tiny_model.parent / "0.nii.gz"
    report = ds.run_model(unread.folder, volume, tiny_model, device="cpu", budget="5 minutes")
    proposal = ds.propose_regions(ds.load_model(tiny_model, device="cpu").predict(volume), "5 minutes")
    assert report.account == str(proposal.account)
    assert report.prediction.model_id.startswith("tiny:")
    assert [model.name for model in ds.list_models(unread.folder)] == ["abdomen-phantom"]
