from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from napari_deferredseg.deferral.model.model import load_model

TOGETHER = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "napari_deferredseg.cli")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs libuv there, which torch lacks")
def test_two_processes_train_one_model(lab, cases, model, tmp_path):
    config, out = tmp_path / "train.toml", tmp_path / "small"
    config.write_text(lab.toml_of(lab.settings()), encoding="utf-8")
    options = ("train", "--data", cases, "--out", out, "--config", config, "--seed", "3", "--device", "cpu")
    done = subprocess.run(
        [sys.executable, *TOGETHER, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in out.iterdir()} == {p.name for p in model.iterdir()}
    together, alone = (load_file(folder / "model.safetensors") for folder in (out, model))
    assert all(torch.isfinite(v).all() for v in together.values())
    assert together.keys() == alone.keys()
    assert not all(torch.equal(together[k], alone[k]) for k in alone)  # batches of twice as many patches
    assert load_model(out).spec.data_digest == load_model(model).spec.data_digest
