"""The README's commands, as they stand there, on a real scan."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("deferredseg ")
]


def test_the_loop_in_the_readme(data, tmp_path):
    ct = data / "abdomen_ct"
    for name, source in (("ct", "ct_small"), ("ai_a", "ct_small_ai_mask_a"), ("ai_b", "ct_small_ai_mask_b")):
        shutil.copy(ct / f"{source}.nii.gz", tmp_path / f"{name}.nii.gz")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    assert len(COMMANDS) >= 6
    for command in COMMANDS:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stderr)
    assert list((tmp_path / "corrected").glob("*.nii.gz"))


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(script, tmp_path):
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_file_the_docs_point_to_is_there():
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"
