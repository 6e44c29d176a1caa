"""MONAI bundles: a folder or a zip, read as plain data; the mask is that of MONAI's own transforms and inferer."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import Compose, Invertd

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.scan import Scan
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.deferral.data.segmentor_settings import BundleConfig
from napari_deferredseg.deferral.data.train_settings import read_config
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.segmentors.bundle.segmentor import (
    completed,
    load_weights,
    make_network,
    segmentor_over,
)
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.io.writing import write_volume

CPU = torch.device("cpu")
NETWORK: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
METADATA = {
    "network_data_format": {
        "inputs": {"image": {"type": "image", "num_channels": 1, "spatial_shape": [16, 16, 16]}},
        "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "spleen", "2": "liver"}}},
    }
}
INFERENCE: dict[str, Any] = {
    "image_key": "image",
    "sizes": {"window": [16, 24, 8]},
    "network_def": {"_target_": "UNet", **NETWORK},
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "@image_key",
                "a_min": -100,
                "a_max": 200,
                "b_min": 0.0,
                "b_max": 1.0,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@sizes::window", "overlap": 0.5, "mode": "gaussian"},
    "postprocessing": {"_target_": "Compose", "transforms": [{"_target_": "Activationsd", "softmax": True}]},
}
TURNED = ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def write_bundle(folder, inference=INFERENCE, metadata=METADATA, weights=None):
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), "utf-8")
    (folder / "configs" / "inference.json").write_text(json.dumps(inference), "utf-8")
    torch.manual_seed(1)
    torch.save(UNet(**NETWORK).state_dict() if weights is None else weights, folder / "models" / "model.pt")
    return folder


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "organs")


def changed(base, **changes):
    """Copy of settings with parts replaced; `a__b=...` goes deeper."""
    found = json.loads(json.dumps(base))
    for name, value in changes.items():
        *places, last = name.split("__")
        here = found
        for place in places:
            here = here[place]
        here[last] = value
    return found


def volume_of(direction, shape=(20, 26, 30)):
    rng = np.random.default_rng(3)
    geometry = Geometry(shape=shape, spacing=(0.9, 1.3, 2.6), origin=(-30.0, 12.0, 55.0), direction=direction)
    return Volume(rng.normal(40, 80, shape).astype(np.float32), geometry, "made")


def segmentor_of(config, names=("spleen", "liver")):
    found = completed(config)
    network = make_network(found)
    load_weights(network, found)
    return segmentor_over(network, found, table_from_names(dict(enumerate(names, start=1))), None)


def by_monai(bundle, path):
    """Labels (z, y, x) as MONAI's own bundle machinery makes them, on the grid of the file."""
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "inference.json")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    steps: Compose = parser.get_parsed_content("preprocessing")
    data = steps({"image": path})
    plain: SlidingWindowInferer = parser.get_parsed_content("inferer")
    with torch.no_grad():
        data["pred"] = plain(data["image"][None], network)[0]
    back = Invertd(keys="pred", transform=steps, orig_keys="image", nearest_interp=False)(data)["pred"]
    return back.argmax(dim=0).numpy().transpose(2, 1, 0)


@pytest.mark.parametrize("direction", [((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)), TURNED], ids=["axial", "turned"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_the_mask_is_that_of_monai(bundle, tmp_path, direction, packed):
    volume = volume_of(direction)
    write_volume(tmp_path / "image.nii.gz", volume)
    theirs = by_monai(bundle, tmp_path / "image.nii.gz")
    path = bundle
    if packed:
        path = tmp_path / "packed" / "organs.zip"
        path.parent.mkdir()
        shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path, "organs")
    logits = segmentor_of(BundleConfig(kind="bundle", bundle=path)).segment(Scan(volume), CPU)
    assert (np.bincount(theirs.ravel()) > 1000).sum() >= 2
    assert (logits.argmax(axis=0) == theirs).mean() > 0.999


def test_classes_follow_the_table_and_the_rest_is_background(bundle):
    scan, config = Scan(volume_of(TURNED)), BundleConfig(kind="bundle", bundle=bundle)
    both, turned, one = (
        segmentor_of(config, n).segment(scan, CPU) for n in (("spleen", "liver"), ("Liver", "spleen"), ("liver",))
    )
    np.testing.assert_array_equal(both[[0, 2, 1]], turned)
    assert len(one) == 2
    np.testing.assert_array_equal(one[1], turned[1])


def test_a_single_logit_is_a_foreground(tmp_path):
    network = NETWORK | {"out_channels": 1}
    inference = changed(INFERENCE, network_def={"_target_": "monai.networks.nets.UNet", **network})
    inference["postprocessing"]["transforms"] = [{"_target_": "Activationsd", "sigmoid": True}]
    metadata = changed(METADATA, network_data_format__outputs__pred__channel_def={"0": "spleen"})
    folder = write_bundle(tmp_path / "one", inference, metadata, UNet(**network).state_dict())
    found = segmentor_of(BundleConfig(kind="bundle", bundle=folder), ("spleen",)).segment(Scan(volume_of(TURNED)), CPU)
    assert len(found) == 2
    assert not found[0].any()
    assert found[1].std() > 0


TOML = """
[segmentor]
kind = "bundle"
bundle = "organs"
labels = ["spleen", "organ 1"]

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


def test_a_router_learns_on_a_bundle_and_the_model_needs_it_no_more(bundle, cases, lab, tmp_path):
    (tmp_path / "train.toml").write_text(TOML)
    folder = lab.train(cases, tmp_path / "model", read_config(tmp_path / "train.toml"))
    case = read_datalist(cases).test[0]
    scan = Scan(read_volume(case.image[0]))
    mask = segmentor_of(BundleConfig(kind="bundle", bundle=bundle, labels=("spleen", "organ 1")), ("organ 1",))
    shutil.rmtree(bundle)
    assert str(tmp_path) not in (folder / "model.json").read_text("utf-8")
    said = predict({}, silent, folder, scan, "cpu")
    np.testing.assert_array_equal(said.labels, mask.segment(scan, CPU).argmax(axis=0))
    assert said.gain.shape[0] == 3


def test_a_model_folder_names_networks_of_monai_only(bundle, cases, lab, tmp_path):
    (tmp_path / "train.toml").write_text(TOML)
    folder = lab.train(cases, tmp_path / "model", read_config(tmp_path / "train.toml"))
    content = json.loads((folder / "model.json").read_text("utf-8"))
    content["config"]["segmentor"]["network"] = {"name": "__builtins__", "arguments": {}}
    (folder / "model.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="no network of MONAI"):
        load_model(folder)


class Evil:
    def __reduce__(self):
        return os.system, ("touch deferredseg-evil",)


BAD: dict[str, tuple[dict, dict, dict | None, str]] = {
    "code for the network": (
        changed(INFERENCE, network_def__channels="$[4, 8]"),
        METADATA,
        None,
        r"has code for network_def\.channels \('\$\[4, 8\]'\), which is never run; write segmentor\.network",
    ),
    "a network within a network": (
        changed(INFERENCE, network_def__act={"_target_": "os.path.Join"}),
        METADATA,
        None,
        r"makes network_def\.act by os\.path\.Join",
    ),
    "what doubles at each turn": (
        changed(
            INFERENCE,
            preprocessing={f"_{i}": [f"@preprocessing::_{i + 1}"] * 9 for i in range(9)}
            | {"_9": 1}
            | {"transforms": [{"_target_": "Spacingd", "pixdim": "@preprocessing::_0"}]},
        ),
        METADATA,
        None,
        "go round in circles",
    ),
    "windows of two overlaps": (
        changed(INFERENCE, inferer__overlap=[0.5, 0.5, 0.1]),
        METADATA,
        None,
        "segmentor.overlap",
    ),
    "windows as large as the image": (
        changed(INFERENCE, inferer__roi_size=[16, 16, None]),
        METADATA,
        None,
        "how large its windows are; write segmentor.patch",
    ),
    "a network of others": (
        changed(INFERENCE, network_def__target_="x", network_def={"_target_": "os.path.Join"}),
        METADATA,
        None,
        "none of MONAI's",
    ),
    "no such network": (changed(INFERENCE, network_def={"_target_": "UNot"}), METADATA, None, "no network of MONAI"),
    "no network": (changed(INFERENCE, network_def=7), METADATA, None, "defines no network_def"),
    "a transform that is not known": (
        changed(INFERENCE, preprocessing={"transforms": [{"_target_": "Lambdad", "func": "x"}]}),
        METADATA,
        None,
        "Lambdad is not known",
    ),
    "arguments of a transform": (
        changed(INFERENCE, preprocessing={"transforms": [{"_target_": "Spacingd", "size": 3}]}),
        METADATA,
        None,
        "Spacingd: ",
    ),
    "round in circles": (changed(INFERENCE, inferer="@inferer"), METADATA, None, "go round in circles"),
    "a reference to nothing": (
        changed(INFERENCE, inferer="@nothing::here"),
        METADATA,
        None,
        "refers to @nothing::here",
    ),
    "no windows": (changed(INFERENCE, inferer={}), METADATA, None, "write segmentor.patch"),
    "classes that overlap": (
        changed(INFERENCE, postprocessing={"transforms": [{"sigmoid": True}]}),
        METADATA,
        None,
        "may overlap",
    ),
    "a network for slices": (
        changed(INFERENCE, network_def__spatial_dims=2, inferer={"roi_size": [16, 16]}),
        METADATA,
        None,
        "UNet sees slices",
    ),
    "a network that fetches": (
        changed(INFERENCE, network_def={"_target_": "HoVerNet", "pretrained_url": "http://127.0.0.1:9/x"}),
        METADATA,
        None,
        "no segmentation network",
    ),
    "no preparation": (changed(INFERENCE, preprocessing={}), METADATA, None, "does not say how images are prepared"),
    "an overlap of more than all": (changed(INFERENCE, inferer__overlap=1.5), METADATA, None, "overlap"),
    "a list for settings": (INFERENCE, changed(METADATA, network_data_format=[]), None, "not written as MONAI"),
    "words for sizes": (changed(INFERENCE, inferer__roi_size=["a"]), METADATA, None, "not written as MONAI"),
    "steps without names": (
        changed(INFERENCE, preprocessing={"transforms": ["Spacingd"]}),
        METADATA,
        None,
        "not written as MONAI",
    ),
    "true for a number": (
        INFERENCE,
        changed(METADATA, network_data_format__inputs__image__num_channels=True),
        None,
        "write segmentor.channels",
    ),
    "no names": (INFERENCE, changed(METADATA, network_data_format__outputs={}), None, "write segmentor.labels"),
    "no channels": (INFERENCE, changed(METADATA, network_data_format__inputs={}), None, "write segmentor.channels"),
    "other weights": (INFERENCE, METADATA, {"a": torch.zeros(1)}, "lacks model.0.conv.unit0.adn.N.bias|lacks "),
    "weights that carry code": (INFERENCE, METADATA, {"a": Evil()}, "code from files is never run"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_a_line(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    inference, metadata, weights, says = BAD[case]
    folder = write_bundle(tmp_path / "organs", inference, metadata, weights)
    with pytest.raises(InputError, match=says) as refused:
        segmentor_of(BundleConfig(kind="bundle", bundle=folder))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "deferredseg-evil").exists()


def test_steps_for_labels_are_not_for_the_image(tmp_path):
    steps = [*INFERENCE["preprocessing"]["transforms"], {"_target_": "Lambdad", "keys": "label"}]
    plain = BundleConfig(kind="bundle", bundle=write_bundle(tmp_path / "plain"))
    more = write_bundle(tmp_path / "more", changed(INFERENCE, preprocessing__transforms=steps))
    assert completed(BundleConfig(kind="bundle", bundle=more)).transforms == completed(plain).transforms


UNUSED = {
    "imports": ["$import os"],
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network": "$@network_def.to(@device)",
    "run": "$__import__('os').system('touch deferredseg-evil')",
    "inferer": INFERENCE["inferer"] | {"device": "@device", "sw_batch_size": "$2 ** 2", "roi_size": "$@sizes::window"},
    "preprocessing": {
        "_target_": "Compose",
        "device": "$torch.device('cpu')",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "$@image_key.lower()", "reader": "$str"},
            *INFERENCE["preprocessing"]["transforms"],
            {"_target_": "CastToTyped", "keys": "@image_key", "dtype": "$torch.float32"},
            {"_target_": "Lambdad", "keys": "label", "func": "$lambda x: x"},
            {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x", "_disabled_": True},
        ],
    },
    "postprocessing": {"transforms": [{"_target_": "SaveImaged", "output_dir": "$os.getcwd()"}]},
}


@pytest.mark.parametrize("packed", [".json", ".yaml"])
def test_code_in_places_that_are_not_used_is_left_alone_and_never_run(tmp_path, monkeypatch, packed):
    monkeypatch.chdir(tmp_path)
    folder = write_bundle(tmp_path / "organs", INFERENCE | UNUSED)
    if packed == ".yaml":
        (folder / "configs" / "inference.json").unlink()
        (folder / "configs" / "inference.yaml").write_text(yaml.safe_dump(INFERENCE | UNUSED), "utf-8")
    plain = completed(BundleConfig(kind="bundle", bundle=write_bundle(tmp_path / "plain")))
    assert completed(BundleConfig(kind="bundle", bundle=folder)).model_copy(update={"bundle": plain.bundle}) == plain
    assert not (tmp_path / "deferredseg-evil").exists()


WRITTEN = {
    "network": {"name": "UNet", "arguments": NETWORK | {"channels": [2, 4]}},
    "transforms": ({"name": "ScaleIntensityd"},),
    "patch": (16, 16, 16),
    "overlap": 0.1,
    "output": "logits",
    "labels": ("pancreas", "colon"),
    "channels": 1,
}
CODE = {
    "network": ("network_def", "$UNet()"),
    "transforms": ("preprocessing__transforms", "$[]"),
    "patch": ("inferer__roi_size", "$[96, 96, 96]"),
    "overlap": ("inferer__overlap", "$1 / 4"),
    "output": ("postprocessing__transforms", "$[]"),
}


@pytest.mark.parametrize("key", WRITTEN)
def test_what_is_written_wins(tmp_path, key):
    """Over what the bundle says, and over code there; without it, the line names the key to write."""
    folder = write_bundle(tmp_path / "organs")
    said = completed(BundleConfig(kind="bundle", bundle=folder)).model_dump(mode="json")
    found = completed(BundleConfig.model_validate({"kind": "bundle", "bundle": folder, key: WRITTEN[key]}))
    wanted = BundleConfig.model_validate(said | {key: WRITTEN[key]})
    assert found == wanted
    if key not in CODE:
        return
    place, code = CODE[key]
    folder = write_bundle(tmp_path / "code", changed(INFERENCE, **{place: code}))
    with pytest.raises(InputError, match=rf"which is never run; write segmentor\.{key}$"):
        completed(BundleConfig(kind="bundle", bundle=folder))
    again = completed(BundleConfig.model_validate({"kind": "bundle", "bundle": folder, key: WRITTEN[key]}))
    assert again == wanted.model_copy(update={"bundle": folder})


def test_classes_that_overlap_are_found_behind_a_reference(tmp_path):
    steps = {"after": {"transforms": [{"_target_": "Activationsd", "sigmoid": "@each"}]}, "each": True}
    folder = write_bundle(tmp_path / "organs", INFERENCE | steps | {"postprocessing": "@after"})
    with pytest.raises(InputError, match="may overlap"):
        completed(BundleConfig(kind="bundle", bundle=folder))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken"])
def test_no_bundle_is_a_line(tmp_path, content):
    path = tmp_path / "organs.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="give the folder or zip of a bundle") as refused:
        completed(BundleConfig(kind="bundle", bundle=path))
    assert "\n" not in str(refused.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("organs/configs/metadata.json", "{")
    with pytest.raises(InputError, match="is no JSON"):
        completed(BundleConfig(kind="bundle", bundle=path))


def test_a_member_that_would_unpack_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "organs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("organs/configs/metadata.json", " " * (4 << 20))
    assert path.stat().st_size < 10_000
    monkeypatch.setenv("DEFERREDSEG_VOXELS_GIB", "0.001")
    with pytest.raises(InputError, match=r"metadata\.json would unpack to 0\.0 GiB, more than 0\.001"):
        completed(BundleConfig(kind="bundle", bundle=path))
