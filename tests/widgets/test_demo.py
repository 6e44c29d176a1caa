"""The demo as somebody starts it who has never seen the program."""

from __future__ import annotations

import subprocess
import sys

from PIL import Image

from napari_deferredseg.usecases.project import open_project


def test_the_demo_opens_with_a_region_ready_to_correct(tmp_path):
    folder, picture = tmp_path / "demo", tmp_path / "demo.png"
    command = [sys.executable, "-m", "napari_deferredseg.cli", "demo", "--project", folder, "--screenshot", picture]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert str(folder) in done.stdout.replace("\n", "")
    assert len(set(Image.open(picture).convert("L").resize((60, 40)).tobytes())) > 30
    with open_project(folder) as project:
        assert len(project.store.worklist("ben")) > 1
