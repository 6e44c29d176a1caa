"""A reader's napari is killed at random moments; what they had done is there after a restart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kill_recovery.py"


@pytest.mark.slow
def test_nothing_older_than_a_second_is_lost(tmp_path):
    out = tmp_path / "moments.json"
    command = [sys.executable, str(BENCHMARK), "--moments", "10", "--submits", "2", "--seed", "1", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())["summary"]
    assert (figures["edits"], figures["lost"]) == (10, 0)
    assert (figures["submits"], figures["broken_submits"]) == (2, 0)
    assert figures["actions"] > 10
