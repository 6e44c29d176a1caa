from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.scan import Scan
from napari_deferredseg.deferral.data.images import ViewedScan
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.inference import maps_of
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.model.spec import read_spec
from napari_deferredseg.io.images import read_volume


@pytest.fixture
def copy(model, tmp_path):
    return Path(shutil.copytree(model, tmp_path / "copy"))


@pytest.fixture
def volume(cases):
    return read_volume(cases.parent / "0_image0.nii.gz")


def edited(folder, **changes):
    path = folder / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *places, last = name.split("__")
        part = content
        for place in places:
            part = part[place]
        part[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def refused(folder):
    with pytest.raises(InputError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value) or "network" in str(error.value)
    return str(error.value)


def same(a, b):
    arrays = ("labels", "defer", "alternative", "gain")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays) and a.experts == b.experts


def test_a_model_says_the_same_wherever_it_is_copied(model, copy, volume):
    here, there = (predict({}, silent, folder, Scan(volume), "cpu") for folder in (model, copy))
    assert same(here, there)
    assert here.table.name(1) == "organ 1"
    assert here.experts == ("Ada", "Ben", "Cleo")
    assert here.defer.min() >= 0
    assert here.defer.max() <= 1


def test_what_is_said_of_a_volume_is_what_was_judged(model, volume):
    """A run makes of the networks' maps what evaluation makes of them."""
    found, loaded = predict({}, silent, model, Scan(volume), "cpu"), load_model(model)
    policy, data = loaded.spec.policy, loaded.spec.config.data
    assert data.spacing_mm is None
    cpu = torch.device("cpu")
    maps = maps_of(loaded, ViewedScan(Scan(volume), data), loaded.segmentor.segment(Scan(volume), cpu), cpu)
    gain = policy.gain(maps)
    np.testing.assert_allclose(found.defer, policy.defer(maps, gain), atol=1e-6)
    np.testing.assert_allclose(found.gain, gain, atol=1e-3)
    classes = np.array([0, *(x.value for x in loaded.spec.table.labels)])
    ranked = classes[maps.probability.argsort(axis=0)]
    np.testing.assert_array_equal(found.labels, ranked[-1])
    np.testing.assert_array_equal(found.alternative, ranked[-2])


def test_a_warm_model_is_read_anew_when_its_weights_change(copy, volume):
    warm: dict[object, object] = {}
    first = predict(warm, silent, copy, Scan(volume), "cpu")
    assert same(first, predict(warm, silent, copy, Scan(volume), "cpu"))
    weights = load_file(copy / "model.safetensors")
    save_file({k: v * -1 for k, v in weights.items()}, copy / "model.safetensors")
    assert not same(first, predict(warm, silent, copy, Scan(volume), "cpu"))


def test_missing_parts(copy, tmp_path):
    assert "is no model folder" in refused(tmp_path / "none")
    (copy / "model.safetensors").unlink()
    assert "only safetensors" in refused(copy)
    (copy / "model.json").unlink()
    assert "is no model folder" in refused(copy)


def test_damaged_weights(copy):
    path = copy / "model.safetensors"
    whole = path.read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"\xff" * 100, whole[:7]):
        path.write_bytes(part)
        assert "no safetensors" in refused(copy)


class Code:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_weights_that_carry_code_never_run_it(copy, tmp_path, write):
    ran = tmp_path / "ran"
    path = copy / "model.safetensors"
    if write == "pickle":
        path.write_bytes(pickle.dumps(Code(ran)))
    else:
        torch.save({"segmentor.x": torch.zeros(1), "y": Code(ran)}, path)
    assert "no safetensors" in refused(copy)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Code(ran)))
    assert ran.exists()  # it would have


def test_weights_of_another_network(copy):
    path = copy / "model.safetensors"
    weights = load_file(path)
    first = next(k for k in weights if k.startswith("router."))
    save_file({k: v for k, v in weights.items() if k != first}, path)
    assert "not of this router" in refused(copy)
    save_file(weights | {first: torch.zeros(3, 3)}, path)
    assert "not of this router" in refused(copy)
    save_file({"a": torch.zeros(1)}, path)
    assert "not of this segmentor" in refused(copy)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "another format than 1"),
        ({"format": None}, "another format"),
        ({"config__network__name": "os.system"}, "no network of MONAI"),
        ({"config__router__network__name": "NoSuchNet"}, "no network of MONAI"),
        ({"config__network__arguments": {"channels": [4, 8], "strides": [2], "pretrained": True}}, "not fetched"),
        ({"config__network__arguments": {"channels": "many"}}, "network.arguments"),
        ({"experts": []}, "a reader"),
        ({"experts": ["Ada", "Ben"]}, "4 scalings for 3 agents"),
        ({"experts": "Ada"}, "experts"),
        ({"channels": 0}, "image channel"),
        ({"channels": 2}, "not of this segmentor"),
        ({"table__labels": []}, "a label"),
        ({"competence": []}, "0 scalings"),
        ({"policy__record": [0.5]}, "1 shares for 3 readers"),
        ({"temperature": "warm"}, "temperature"),
        ({"config__epochs": 4}, "config.epochs"),
    ],
)
def test_a_description_that_does_not_fit(copy, changes, says):
    assert says in refused(edited(copy, **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\ufeff{}"])
def test_a_damaged_description(copy, text):
    (copy / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_spec(copy)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_a_description_that_is_no_text(copy):
    (copy / "model.json").write_bytes(b"\x80\x02}q\x00.")
    assert "damaged" in refused(copy)
