"""The lines of docs/notebook.md, as they stand there, each by `python -c`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def place(tiny_model, _scene_run, tmp_path_factory):
    """A folder with the files that the page names."""
    place = tmp_path_factory.mktemp("notebook") / "place"
    shutil.copytree(tiny_model.parent, place)
    cases = json.loads((place / "cases.json").read_text("utf-8"))
    cases["test"] = [cases["validation"].pop()]
    (place / "cases.json").write_text(json.dumps(cases), "utf-8")
    shutil.copytree(tiny_model, place / "my-model")
    shutil.copytree(_scene_run.folder, place / "my-project")
    for name, source in (("ct", "ct"), ("ai_a", "first"), ("ai_b", "second")):
        shutil.copy(_scene_run.root / f"{source}.nii.gz", place / f"{name}.nii.gz")
    return place


def run(place: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_five_lines_are_enough():
    assert len(BLOCKS) == 5
    assert all(sum(bool(line.strip()) for line in block.splitlines()) <= 5 for block in BLOCKS)


def test_volume_model_prediction_regions(place):
    said = run(place, BLOCKS[0])
    assert said.startswith("the deferral map reaches")
    assert "(1, " in said


def test_through_an_engine(place):
    said = run(place, BLOCKS[1])
    assert said.startswith("0% reading") or "starting the model" in said
    assert "('liver', 'spleen')" in said


def test_cases_evaluation_table(place):
    said = run(place, BLOCKS[2])
    assert "entropy+router" in said or "oracle" in said
    assert "hd95" in said


def test_external_masks_regions_project_export(place):
    said = run(place, BLOCKS[3])
    assert "the masks differ in" in said
    assert "regions" in said
    assert ".nii.gz" in run(place, BLOCKS[4])
    assert list((place / "training").rglob("dataset.json"))
