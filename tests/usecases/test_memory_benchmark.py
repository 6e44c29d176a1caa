"""The benchmark of memory, on a small volume: it runs, and what it prints is what it found."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHAPE = ("24", "48", "48")


def test_masks_of_any_type_give_the_same_regions(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = import_module("external_memory")
    words = ["--work", str(tmp_path), "--shape", *SHAPE, "--masks", "uint8", "int32", "--endings", ".mha"]
    found = benchmark.main(words)
    assert [str(variant) for variant, _, _ in found] == ["uint8 masks, .mha", "int32 masks, .mha"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "masks" in line]
    said = {line.split("|")[-2].strip().partition(": ")[2] for line in lines}
    assert len(lines) == 2
    assert len(said) == 1
    assert "regions" in said.pop()
    for _, gib, seconds in found:
        assert 0 < gib < 3
        assert seconds > 0
    assert benchmark.main(words) == found
