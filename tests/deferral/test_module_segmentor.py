"""A network that this project has never seen: its TOML, its weights, its trust."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_deferredseg.core.errors import Damaged, InputError, NotAllowed
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.scan import Scan
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.deferral.data.segmentor_settings import ModuleConfig
from napari_deferredseg.deferral.data.train_settings import TrainConfig, read_config
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.model.trust import call_of, distrust, trust, trusted
from napari_deferredseg.deferral.segmentors.module import classes_of, in_table_order, load_weights, make_network
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
    trust(call_of(read_config(place / "train.toml").segmentor))  # type: ignore[arg-type]
    case = read_datalist(cases).test[0]
    said = predict({}, silent, folder, Scan(read_volume(case.image[0])), "cpu")
    image = read_volume(case.image[0]).array
    by_hand = 6 * (image - image.mean()) / image.std() - 7 > 0
    np.testing.assert_array_equal(said.labels > 0, by_hand)
    assert by_hand.any()
    assert said.gain.shape == (3, *image.shape)


def test_no_code_runs_that_nobody_allowed(place, cases, lab):
    folder = trained(place, cases, lab)
    call = call_of(read_config(place / "train.toml").segmentor)  # type: ignore[arg-type]
    trust(call)
    load_model(folder)
    content = json.loads((folder / "model.json").read_text("utf-8"))
    content["config"]["segmentor"]["arguments"]["width"] = 1
    (place / "other").mkdir()
    (place / "other" / "model.json").write_text(json.dumps(content))
    (place / "other" / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    distrust(call)
    del sys.modules["far_away"]
    (place / "far_away.py").write_text("raise SystemExit('code from data ran')")
    with pytest.raises(NotAllowed, match="deferredseg model trust") as refused:
        load_model(folder)
    assert call in str(refused.value)
    assert "\n" not in str(refused.value)
    trust(call)
    with pytest.raises(NotAllowed, match='"width": 1'):  # other arguments are another call
        load_model(place / "other")
    assert "far_away" not in sys.modules


def test_a_damaged_list_of_what_is_allowed_is_not_written_over(place):
    trust("a:b {}")
    (file,) = (place / "settings").rglob("trusted.json")
    file.write_text('["a:b {}", ')
    for action in (trusted, lambda: trust("c:d {}")):
        with pytest.raises(Damaged, match="damaged"):
            action()
    assert file.read_text() == '["a:b {}", '


def stopped_at(share):
    def stop(done, doing):
        if done > share:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("change", ["weights", "cases"])
def test_logits_of_another_segmentor_or_case_are_not_mixed_in(place, cases, lab, change):
    """A run is cut off while it segments, and started again with something else."""
    data = shutil.copytree(cases.parent, place / "data") / cases.name
    with pytest.raises(KeyboardInterrupt):
        lab.train(data, place / "model", read_config(place / "train.toml"), progress=stopped_at(0.5))
    assert list((place / "model").rglob("logits.npy"))
    if change == "weights":
        state = torch.load(place / "weights.pth", weights_only=True)["state_dict"]
        torch.save({k: v * -1 for k, v in state.items()}, place / "weights.pth")
    else:
        content = json.loads(data.read_text("utf-8"))
        del content["training"][0]
        data.write_text(json.dumps(content), "utf-8")
    config = read_config(place / "train.toml")
    again, fresh = (lab.train(data, place / name, config) for name in ("model", "fresh"))
    assert_same_weights(load_file(again / "model.safetensors"), load_file(fresh / "model.safetensors"))


def test_half_written_logits_are_made_again(place, cases, lab, monkeypatch):
    config = read_config(place / "train.toml")

    def full(path, array, **more):
        if "logits" in str(path):
            path.write_bytes(b"\x93NUMPY")
            raise OSError(28, "No space left on device")
        return plain(path, array, **more)

    plain = np.save
    with monkeypatch.context() as disk:
        disk.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            lab.train(cases, place / "model", config)
    folder, fresh = (lab.train(cases, place / name, config) for name in ("model", "fresh"))
    assert_same_weights(load_file(folder / "model.safetensors"), load_file(fresh / "model.safetensors"))


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_weights_that_layers_share_are_saved(place, cases, lab):
    (place / "far_away.py").write_text(
        CODE.replace("        self.deep =", "        self.twin = self.head\n        self.deep =")
    )
    state = torch.load(place / "weights.pth", weights_only=True)["state_dict"]
    state |= {k.replace("head", "twin"): v for k, v in state.items() if "head" in k}
    torch.save(state, place / "weights.pth")
    folder = trained(place, cases, lab)
    assert load_file(folder / "model.safetensors")["segmentor.twin.bias"].tolist() == [0.0, -7.0]


@pytest.mark.parametrize("prefix", ["model.module.", "model._orig_mod.", "module.", ""])
def test_what_training_tools_put_before_names_is_taken_off(place, prefix):
    config = read_config(place / "train.toml").segmentor
    state = torch.load(place / "weights.pth", weights_only=True)["state_dict"]
    torch.save({k.replace("module.", prefix): v for k, v in state.items()}, place / "weights.pth")
    network = make_network(config)  # type: ignore[arg-type]
    load_weights(network, config)  # type: ignore[arg-type]
    assert network.head.bias.tolist() == [0.0, -7.0]  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02", b"PK\x03\x04 broken"])
def test_a_damaged_file_is_a_line(place, content):
    (place / "weights.pth").write_bytes(content)
    config = read_config(place / "train.toml").segmentor
    with pytest.raises(InputError, match=r"weights\.pth") as refused:
        load_weights(make_network(config), config)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            "[segmentor]\nkind = 'module'\nlabels = ['a']\nfactory = 'a:b'\nbogus = 1",
            "segmentor.bogus is no setting; settings there: arguments, ",
        ),
        ("[segmentor]\nfoo = 1", "segmentor.kind is missing or unknown: write one of monai, module, "),
        ("[segmentor]\nkind = 'module'\nlabels = ['a']", "segmentor.factory is missing"),
        ("[segmentor]\nkind = 'x'", "write one of monai, module, "),
        ("[segmentor]\nkind = 'module'\nlabels = ['a']\nfactory = 'os'", "segmentor.factory = 'os'"),
        ("[segmentor]\nkind = 'module'\nlabels = ['a', 'A']\nfactory = 'a:b'", "a name twice"),
    ],
)
def test_settings_are_named_as_they_are_written(tmp_path, toml, says):
    path = tmp_path / "settings.toml"
    path.write_text(toml)
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        read_config(path)
    assert "\n" not in str(refused.value)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/deferredseg-evil",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"state_dict": Evil()}, "code from files is never run"),
        ({"head.weight": torch.zeros(2, 1, 1, 1)}, "lacks deep.bias"),
        ({"epoch": 3}, "holds no state dict"),
        ({"of.another": torch.zeros(1)}, "lacks deep.bias"),
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
        load_weights(make_network(config), config)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"factory": "far_away:Dark"}, "has no attribute"),
        ({"factory": "nowhere.at.all:Net"}, "install its package"),
        ({"factory": "far_away:number", "arguments": {}}, "makes a int"),
        ({"arguments": {"depth": 3}}, "segmentor.arguments of far_away:Bright"),
        ({"labels": ("organ 1", "other")}, "correct segmentor.labels"),
        ({"checkpoint": None}, "segmentor.checkpoint is missing"),
        ({"channels": 3}, "cannot take a patch of 3 channels"),
        ({"labels": ("spleen",)}, "the segmentor knows spleen, but the cases have 'organ 1'"),
        ({"checkpoint": "none.pth"}, r"none\.pth: cannot be read"),
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
    classes = classes_of(config.labels, table_from_names({3: "Aorta", 7: "liver"}))
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
    segmentor = ModuleSegmentor(make_network(config), config, (1,), None)  # type: ignore[arg-type]
    volume = Volume(np.zeros((2, 1, 16, 16)), Geometry(shape=(1, 16, 16), spacing=(1, 1, 1)), "two", ("a", "b"))
    with pytest.raises(InputError, match="has 2 channels, the segmentor learned from 1"):
        segmentor.segment(Scan(volume), torch.device("cpu"))
