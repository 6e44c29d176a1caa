"""A small form of the benchmark that spoils DICOM series at random."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "dicom_fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("dicom_fuzz", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["dicom_fuzz"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["dicom_fuzz"]


@pytest.mark.parametrize("tens", range(6))
def test_a_spoilt_series_is_read_as_its_files_say_or_a_file_is_named(tmp_path: Path, fuzz, tens: int) -> None:
    trials = [fuzz.trial(tmp_path, 10 * tens + i) for i in range(10)]
    assert [t for t in trials if t[1] == "WRONG"] == []


def test_the_judge_finds_what_is_wrong(tmp_path: Path, fuzz) -> None:
    rng = fuzz.np.random.default_rng(5)
    fuzz.make(tmp_path / "series", rng)
    volume = fuzz.read_volume(tmp_path / "series")
    assert fuzz.wrong_in_reading(tmp_path / "series", volume) is None
    fuzz.retag(tmp_path / "series" / "IM0003", RescaleIntercept=-1000)
    assert "other values" in fuzz.wrong_in_reading(tmp_path / "series", volume)
    (tmp_path / "series" / "IM0003").unlink()
    assert "come from no file" in fuzz.wrong_in_reading(tmp_path / "series", volume)
    (tmp_path / "series" / "IM0003").write_bytes(b"")
    assert "left out" in fuzz.wrong_in_reading(tmp_path / "series", volume)
