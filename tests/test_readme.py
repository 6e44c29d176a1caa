"""The README's commands, as they stand there, on a real scan."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EVERY = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("deferredseg ")
]
FIRST_MODEL = next(i for i, words in enumerate(EVERY) if words[1] == "train")
COMMANDS, MODEL_COMMANDS = EVERY[:FIRST_MODEL], EVERY[FIRST_MODEL:]


def environment():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
def test_a_model_of_ones_own_as_in_the_readme(tiny_model, tmp_path):
    shutil.copytree(tiny_model.parent, tmp_path, ignore=shutil.ignore_patterns("tiny"), dirs_exist_ok=True)
    cases = json.loads((tmp_path / "cases.json").read_text("utf-8"))
    cases["test"] = [cases["validation"].pop()]
    (tmp_path / "cases.json").write_text(json.dumps(cases), "utf-8")
    shutil.copy(tmp_path / "0.nii.gz", tmp_path / "ct.nii.gz")
    for command in ("project init my-project", "reader add Ada --project my-project"):
        subprocess.run(["deferredseg", *command.split()], cwd=tmp_path, env=environment(), check=True)
    assert [words[1] for words in MODEL_COMMANDS] == ["train", "evaluate", "run"]
    for words in MODEL_COMMANDS:
        settings = ["--config", "settings.toml"] if words[1] == "train" else []
        done = subprocess.run([*words, *settings], cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_the_loop_in_the_readme(data, tmp_path):
    ct = data / "abdomen_ct"
    for name, source in (("ct", "ct_small"), ("ai_a", "ct_small_ai_mask_a"), ("ai_b", "ct_small_ai_mask_b")):
        shutil.copy(ct / f"{source}.nii.gz", tmp_path / f"{name}.nii.gz")
    assert len(COMMANDS) >= 6
    for command in COMMANDS:
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
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
