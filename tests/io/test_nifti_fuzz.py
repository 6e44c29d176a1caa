"""A small form of benchmarks/nifti_fuzz.py: changed headers read as nibabel says, or are refused with a line."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "nifti_fuzz.py"


@pytest.fixture
def fuzz(monkeypatch):
    spec = importlib.util.spec_from_file_location("nifti_fuzz", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "nifti_fuzz", module)
    spec.loader.exec_module(module)
    return module


def test_changed_headers_are_read_as_nibabel_says_or_refused(tmp_path: Path, fuzz) -> None:
    found = fuzz.run(200, 20, tmp_path)
    assert [(case.what, outcome) for case, outcome in found if outcome not in ("good", "exact", "refused")] == []
    outcomes = [outcome for _, outcome in found]
    assert min(outcomes.count("exact"), outcomes.count("refused")) > 40


def test_the_judge_finds_what_is_wrong(tmp_path: Path, fuzz, monkeypatch) -> None:
    whole = fuzz.good_files(fuzz.random.Random(0))[0][3]
    case = fuzz.Case("good", ".nii", whole)
    assert fuzz.judge(case, tmp_path) == "exact"
    read = fuzz.read_volume

    def shifted(path: Path):
        volume = read(path)
        return replace(volume, array=volume.array + 1)

    monkeypatch.setattr(fuzz, "read_volume", shifted)
    assert "voxels differ" in fuzz.judge(case, tmp_path)
