"""A small form of benchmarks/regions.py: ten minutes show more of the errors than the largest components do."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "regions.py"


def test_ten_minutes_show_more_than_the_largest_components(capsys):
    spec = importlib.util.spec_from_file_location("regions_benchmark", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    try:
        spec.loader.exec_module(benchmark)
        shares = np.array(benchmark.compare("perturbed otherwise", wanted=2, seed=1))
    finally:
        del sys.modules[spec.name]
    base, ours = shares.mean(axis=0)
    assert ours >= benchmark.TIMES * base
    assert "earlier" in capsys.readouterr().out
