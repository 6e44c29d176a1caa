"""A network that this project has never seen: its TOML, its weights, its trust."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.deferral.config import ModuleConfig, TrainConfig, read_config
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model import load_model
from napari_deferredseg.deferral.segmentors.module import classes_of, in_table_order, load_checkpoint, make_network
from napari_deferredseg.deferral.trust import trust
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_volume

CODE = """
import torch
from torch import nn

class Bright(nn.Module):
    def __init__(self, classes=2, width=1):
        super().__init__()
        self.head = nn.Conv2d(width, classes, 1)
        self.deep = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, image):
        return {"out": self.head(image), "deep": self.deep(image)}

def number():
    return 7
"""
TOML = """
[segmentor]
kind = "module"
factory = "far_away:Bright"
arguments = { classes = 2 }
checkpoint = "weights.pth"
labels = ["organ 1"]

[segmentor.view]
spatial_dims = 2
patch = [16, 16]

[data]
spatial_dims = 2
patch = [16, 16]

[router]
network.arguments = { channels = [4, 8], strides = [2], num_res_units = 0 }
fit = { steps = 6, batch = 4, validate_every = 3 }

[policy]
budgets = [0.05, 0.2]
unit = "voxels"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folder with a package of somebody else, weights as a training tool leaves them, and a configuration."""
    for name in ("XDG_CONFIG_HOME", "HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    (tmp_path / "far_away.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "far_away", raising=False)
    weight = torch.tensor([0.0, 6.0]).reshape(2, 1, 1, 1)
    state = {"head.weight": weight, "head.bias": torch.tensor([0.0, -7.0])}
    state |= {"deep.weight": torch.zeros(2, 1, 3, 3), "deep.bias": torch.zeros(2)}
    torch.save({"epoch": 4, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "weights.pth")
    (tmp_path / "train.toml").write_text(TOML)
    return tmp_path


def trained(place, cases, lab, **changes):
    config = read_config(place / "train.toml")
    if changes:
        config = config.model_copy(update={"segmentor": config.segmentor.model_copy(update=changes)})
    return lab.train(cases, place / "model", config)


def test_a_router_learns_on_a_network_of_somebody_else(place, cases, lab):
    folder = trained(place, cases, lab)
    found = load_file(folder / "model.safetensors")
    assert found["segmentor.head.bias"].tolist() == [0.0, -7.0]
    assert str(place) not in (folder / "model.json").read_text("utf-8")
    assert "trained elsewhere" in (folder / "CARD.md").read_text("utf-8")
    (place / "weights.pth").unlink()
    trust("far_away:Bright")
    case = read_datalist(cases).test[0]
    said = predict({}, silent, folder, read_volume(case.image[0]), "cpu")
    image = read_volume(case.image[0]).array
    by_hand = 6 * (image - image.mean()) / image.std() - 7 > 0
    np.testing.assert_array_equal(said.labels > 0, by_hand)
    assert by_hand.any()
    assert said.gain.shape == (3, *image.shape)


def test_no_code_runs_that_nobody_allowed(place, cases, lab):
    folder = trained(place, cases, lab)
    del sys.modules["far_away"]
    (place / "far_away.py").write_text("raise SystemExit('code from data ran')")
    with pytest.raises(InputError, match=r"deferredseg model trust far_away:Bright") as refused:
        load_model(folder)
    assert "\n" not in str(refused.value)
    assert "far_away" not in sys.modules


def test_another_checkpoint_is_another_run(place, cases, lab):
    config = read_config(place / "train.toml")

    def stopped(share, doing):
        if share > 0.75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.train(cases, place / "model", config, progress=stopped)
    for path in (place / "model" / "work").rglob("*.ckpt"):
        path.unlink()
    state = torch.load(place / "weights.pth", weights_only=True)["state_dict"]
    save_file({k.removeprefix("module."): v * -1 for k, v in state.items()}, place / "weights.safetensors")
    again = config.segmentor.model_copy(update={"checkpoint": place / "weights.safetensors"})
    folder = lab.train(cases, place / "model", config.model_copy(update={"segmentor": again}))
    fresh = lab.train(cases, place / "fresh", config.model_copy(update={"segmentor": again}))
    assert load_file(folder / "model.safetensors").keys() == load_file(fresh / "model.safetensors").keys()
    ours, theirs = (json.loads((x / "model.json").read_text("utf-8"))["temperature"] for x in (folder, fresh))
    assert ours == theirs


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/deferredseg-evil",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"state_dict": Evil()}, "code from files is never run"),
        ({"head.weight": torch.zeros(2, 1, 1, 1)}, "lacks deep.bias"),
        ({"epoch": 3}, "holds no state dict"),
        (
            {
                "head.weight": torch.zeros(5, 1, 1, 1),
                "head.bias": torch.zeros(2),
                "deep.weight": torch.zeros(2, 1, 3, 3),
                "deep.bias": torch.zeros(2),
            },
            "size mismatch",
        ),
    ],
)
def test_weights_that_are_not_the_network_s_are_refused(place, content, says):
    torch.save(content, place / "weights.pth")
    config = read_config(place / "train.toml").segmentor
    with pytest.raises(InputError, match=says) as refused:
        load_checkpoint(make_network(config), config.checkpoint)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"factory": "far_away:Dark"}, "has no attribute"),
        ({"factory": "nowhere.at.all:Net"}, "install its package"),
        ({"factory": "far_away:number", "arguments": {}}, "makes a int"),
        ({"arguments": {"depth": 3}}, "segmentor.arguments of far_away:Bright"),
        ({"arguments": {"classes": 3}, "checkpoint": None}, "correct segmentor.labels"),
        ({"labels": ("spleen",)}, "the segmentor knows spleen, but the cases have 'organ 1'"),
        ({"checkpoint": "none.pth"}, "segmentor.checkpoint"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(place, cases, lab, changes, says):
    if changes.get("checkpoint"):
        changes = {**changes, "checkpoint": place / "none.pth"}
    with pytest.raises(InputError, match=says) as refused:
        trained(place, cases, lab, **changes)
    assert "\n" not in str(refused.value)


def test_classes_come_in_the_order_of_the_table():
    config = ModuleConfig(kind="module", factory="a:b", labels=("liver", "spleen", "aorta"))
    classes = classes_of(config, table_from_names({3: "Aorta", 7: "liver"}))
    assert sorted(classes) == [1, 3]
    logits = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    found = in_table_order(logits, (3, 1))
    share = np.exp(logits) / np.exp(logits).sum(axis=0)
    mine = np.exp(found) / np.exp(found).sum(axis=0)
    np.testing.assert_allclose(mine[1:], share[[3, 1]], atol=1e-6)
    np.testing.assert_allclose(mine[0], share[[0, 2]].sum(axis=0), atol=1e-6)


def test_a_foreground_logit_has_one_label_and_a_joint_mode_no_foreign_segmentor():
    plain = {"kind": "module", "factory": "a:b", "labels": ["x", "y"]}
    with pytest.raises(ValueError, match="one foreground-logit has one"):
        ModuleConfig.model_validate(plain | {"output": "foreground-logit"})
    with pytest.raises(ValueError, match="stays"):
        TrainConfig.model_validate({"mode": "joint", "segmentor": plain})
    with pytest.raises(ValueError, match="factory"):
        ModuleConfig.model_validate(plain | {"factory": "os.system"})


def test_the_number_of_channels_is_checked(place):
    from napari_deferredseg.deferral.segmentors.module import ModuleSegmentor

    config = read_config(place / "train.toml").segmentor
    segmentor = ModuleSegmentor(make_network(config), config, (1,), None)
    volume = Volume(np.zeros((2, 1, 16, 16)), Geometry(shape=(1, 16, 16), spacing=(1, 1, 1)), "two", ("a", "b"))
    with pytest.raises(InputError, match="has 2 channels, the segmentor learned from 1"):
        segmentor.segment(volume, torch.device("cpu"))
