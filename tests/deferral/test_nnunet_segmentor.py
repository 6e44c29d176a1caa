"""A trained nnU-Net: the masks of its own command, what its passes disagree on, its files, what they may not run."""

from __future__ import annotations

import json
import os
import pickle
import pydoc
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from napari_deferredseg.core.errors import InputError, MissingExtra
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.scan import Scan
from napari_deferredseg.core.volume import LabelTable, Volume, table_from_names
from napari_deferredseg.deferral.data.segmentor_settings import NnunetConfig
from napari_deferredseg.deferral.data.train_settings import read_config
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.segmentors.nnunet.segmentor import (
    FINER,
    NnunetSegmentor,
    Passes,
    completed,
    exchange,
    load_weights,
    make_network,
    segmentor_over,
)
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_labels, read_volume
from napari_deferredseg.io.writing import write_labels, write_volume

pytest.importorskip("nnunetv2")
pytestmark = pytest.mark.slow  # whichever comes first waits for the training
CPU = torch.device("cpu")
TABLE = table_from_names({3: "organ 2", 5: "organ 1"})  # not in the order of nnU-Net
TRAINER = """
import random

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA

class TinyTrainer(nnUNetTrainerNoDA):
    def initialize(self):
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(self.fold)
        super().initialize()
        torch.set_num_threads(1)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 80, 1

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        found = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = (0, 1, 2)
        return found

    def perform_actual_validation(self, save_probabilities=False):
        pass
"""
SMALL = {
    "n_stages": 3,
    "features_per_stage": [8, 16, 16],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [1, 1, 1],
    "n_conv_per_stage_decoder": [1, 1],
}
# Size and spacing (z, y, x), and how wide a border of zeros is: the thick voxels lie along x.
VOLUMES = (
    ((40, 36, 10), (1.0, 1.0, 3.0), 0),
    ((44, 40, 12), (1.0, 1.0, 3.0), 4),
    ((40, 40, 10), (1.1, 1.1, 3.0), 3),
    ((36, 36, 14), (1.0, 1.0, 2.5), 0),
    ((40, 38, 11), (0.9, 0.9, 3.0), 2),
)


@dataclass(frozen=True)
class Nnunet:
    """A data set of nnU-Net, and what its commands have made of it."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "raw" / "Dataset501_Balls" / "imagesTr"

    @property
    def folder(self) -> Path:
        return self.root / "results" / "Dataset501_Balls" / "TinyTrainer__nnUNetPlans__3d_fullres"

    def command(self, name: str, *arguments: str, **more: str) -> None:
        """Run a command of nnU-Net. Threads that wait must sleep where several share few cores."""
        places = {f"nnUNet_{x}": str(self.root / x) for x in ("raw", "preprocessed", "results", "extTrainer")}
        script = shutil.which(name, path=str(Path(sys.executable).parent))
        environment = {**os.environ, **places, "OMP_WAIT_POLICY": "PASSIVE", "nnUNet_n_proc_DA": "0", **more}
        done = subprocess.run(
            [str(script), *arguments], env=environment, cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def segmentor(self, table: LabelTable = TABLE, **settings) -> NnunetSegmentor:
        config = completed(NnunetConfig(kind="nnunet", **{"folder": self.folder, **settings}))
        network = make_network(config)
        load_weights(network, config)
        return segmentor_over(network, config, table, None)


@pytest.fixture(scope="session")
def nnunet(tmp_path_factory) -> Nnunet:
    """Two folds trained for some seconds by nnU-Net's own commands. Not to be written to."""
    made = Nnunet(tmp_path_factory.mktemp("nnunet"))
    (made.root / "extTrainer").mkdir()
    (made.root / "extTrainer" / "tiny.py").write_text(TRAINER)
    write_dataset(made.images.parent)
    arguments = ("-d", "501", "-c", "3d_fullres", "-npfp", "1", "-np", "1")
    made.command("nnUNetv2_plan_and_preprocess", *arguments, nnUNet_n_proc_DA="1")
    path = made.root / "preprocessed" / "Dataset501_Balls" / "nnUNetPlans.json"
    plans = json.loads(path.read_text("utf-8"))
    plans["configurations"]["3d_fullres"] |= {"patch_size": [8, 24, 24], "batch_size": 2}
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] |= SMALL
    path.write_text(json.dumps(plans), "utf-8")
    for fold in ("0", "1"):
        made.command("nnUNetv2_train", "501", "3d_fullres", fold, "-tr", "TinyTrainer", "-device", "cpu")
    return made


def write_dataset(folder: Path) -> None:
    """Write noisy balls of two kinds, near each other in grey."""
    rng = np.random.default_rng(0)
    for number, (shape, spacing, border) in enumerate(VOLUMES):
        place = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
        truth = np.zeros(shape, np.uint8)
        for value in (1, 2):
            centre = np.multiply(shape, spacing) * rng.uniform(0.3, 0.7, 3)
            truth[np.linalg.norm(place - centre.reshape(3, 1, 1, 1), axis=0) < rng.uniform(7, 9)] = value
        image = (100 + 120 * truth + rng.normal(0, 25, shape)).astype(np.float32)
        if border:
            inside = np.zeros(shape, bool)
            inside[border:-border, border + 1 : -border, 1:-1] = True
            image[~inside], truth[~inside] = 0, 0
        geometry = Geometry(shape=shape, spacing=spacing[::-1], origin=(5.0, -7.0, 3.0))
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_volume(folder / "imagesTr" / f"c{number}_0000.nii.gz", Volume(image, geometry, "made"))
        write_labels(folder / "labelsTr" / f"c{number}.nii.gz", truth, geometry, LabelTable())
    content = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "organ 1": 1, "organ 2": 2, "ignore": 3},
        "numTraining": len(VOLUMES),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(("folds", "mirror"), [((0, 1), True), ((0,), False)])
def test_masks_are_those_of_nnunet_s_own_command(nnunet, tmp_path, capsys, folds, mirror):
    """Volumes that it turns, crops and resamples, by labels in another order than its own."""
    which = ["-d", "501", "-c", "3d_fullres", "-tr", "TinyTrainer", "-f", *map(str, folds)]
    how = ["-device", "cpu", "-npp", "0", "-nps", "0", *([] if mirror else ["--disable_tta"])]
    nnunet.command("nnUNetv2_predict", "-i", str(nnunet.images), "-o", str(tmp_path), *which, *how)
    segmentor = nnunet.segmentor(folds=folds, mirror=mirror)
    both, sizes = np.zeros(3), np.zeros(3)
    for image in sorted(nnunet.images.iterdir()):
        found = segmentor.segment(Scan(read_volume(image)), CPU)
        assert np.isfinite(found).all()
        mask = np.array([0, 2, 1])[found.argmax(axis=0)]
        wanted = read_labels(tmp_path / image.name.replace("_0000", "")).array
        for value in range(3):
            both[value] += 2 * ((mask == value) & (wanted == value)).sum()
            sizes[value] += (mask == value).sum() + (wanted == value).sum()
    assert sizes.min() > 1000  # of voxels: not a mask of one label
    assert (both / sizes).min() >= 0.999
    assert capsys.readouterr().out == ""


def test_a_label_that_the_cases_do_not_have_counts_as_background(nnunet):
    scan = Scan(read_volume(nnunet.images / "c0_0000.nii.gz"))
    both, one = (nnunet.segmentor(table).segment(scan, CPU) for table in (TABLE, table_from_names({1: "organ 2"})))
    assert one.shape[0] == 2
    np.testing.assert_array_equal(one.argmax(axis=0), both.argmax(axis=0) == 1)
    assert one.argmax(axis=0).any()


def test_the_probability_is_the_mean_over_folds_and_mirrored_images(nnunet):
    """By hand, on an image that fits into one window."""
    rng = np.random.default_rng(1)
    array = rng.normal(100, 40, (24, 24, 8)).astype(np.float32)
    array[6:16, 4:14, 2:6] += 140
    volume = Volume(array, Geometry(shape=array.shape, spacing=(3.0, 1.0, 1.0)), "made")
    segmentor = nnunet.segmentor(table_from_names({1: "organ 1", 2: "organ 2"}))
    found = segmentor.segment(Scan(volume), CPU)
    turned = torch.from_numpy(((array - array.mean()) / array.std()).transpose(2, 0, 1).copy())[None, None]
    said = []
    with torch.inference_mode():
        for network in segmentor.network:
            for axes in ((), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)):
                said.append(network(turned.flip(axes)).flip(axes)[0].numpy().transpose(0, 2, 3, 1))
    assert len({x.argmax(axis=0).tobytes() for x in said}) > 1  # the passes disagree
    own = np.mean([softmax(x, axis=0) for x in said], axis=0)
    mask = np.mean(said, axis=0).argmax(axis=0)
    agree = found.argmax(axis=0) == mask
    assert agree.mean() > 0.999  # nnU-Net blends in half precision
    same = agree & (own.argmax(axis=0) == mask)
    np.testing.assert_allclose(softmax(found, axis=0)[:, same], own[:, same], atol=4e-3)
    surer = softmax(np.mean(said, axis=0), axis=0)
    assert np.abs(own - surer).max() > 0.02  # softmax of the mean is another probability


def test_passes_mirror_a_patch_and_turn_back_what_is_said():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 3, 3, padding=1).requires_grad_(False)
    image = torch.randn(1, 1, 6, 5)
    said = torch.stack([network(image), network(image.flip(3)).flip(3)])
    found = Passes(network, [(), (1,)], shares=True)(image)
    torch.testing.assert_close(found, torch.cat([said.mean(0), said.softmax(2).mean(0) * FINER], dim=1))
    torch.testing.assert_close(Passes(network, [()], shares=False)(image), said[0])


def test_the_mask_wins_over_probabilities():
    logits = np.array([[-0.7, -0.7, -3.0], [-0.7, -1.2, -0.1], [-5.0, -2.0, -4.0]], np.float32)[:, None, None]
    before = logits.copy()
    mask = np.array([[[1, 1, 1]]], np.uint16)  # beside a tie, against the best, as the best
    exchange(logits, mask)
    np.testing.assert_array_equal(logits.argmax(axis=0), mask)
    np.testing.assert_array_equal((logits / 3).astype(np.float16).argmax(axis=0), mask)  # also scaled, and as kept
    np.testing.assert_allclose(np.sort(logits, axis=0), np.sort(before, axis=0), atol=0.011)
    np.testing.assert_array_equal(logits[..., 2], before[..., 2])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of nnU-Net's mean over nothing
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_an_image_without_anything_in_it_has_finite_logits(nnunet, fill):
    array = np.full((9, 20, 20), fill, np.float32)
    volume = Volume(array, Geometry(shape=array.shape, spacing=(3.0, 1.0, 1.0)), "blank")
    found = nnunet.segmentor().segment(Scan(volume), CPU)
    assert np.isfinite(found).all()


TOML = """
[segmentor]
kind = "nnunet"
folder = "trained"

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
def place(nnunet, tmp_path):
    """Folder with a copy of the trained nnU-Net and a configuration."""
    shutil.copytree(nnunet.folder, tmp_path / "trained")
    (tmp_path / "train.toml").write_text(TOML)
    return tmp_path


def test_a_router_learns_on_it_and_the_model_needs_its_folder_no_more(place, lab, nnunet):
    cases = lab.write_cases(place / "cases", shape=(3, 24, 24), classes=2)
    folder = lab.train(cases, place / "model", read_config(place / "train.toml"))
    scan = Scan(read_volume(read_datalist(cases).test[0].image[0]))
    wanted = nnunet.segmentor(table_from_names({1: "organ 1", 2: "organ 2"})).segment(scan, CPU)
    shutil.rmtree(place / "trained")
    np.testing.assert_array_equal(load_model(folder).segmentor.segment(scan, CPU), wanted)
    np.testing.assert_array_equal(predict({}, silent, folder, scan, "cpu").labels, wanted.argmax(axis=0))
    assert str(place) not in (folder / "model.json").read_text("utf-8")
    assert "nnU-Net (folds 0, 1), trained elsewhere" in (folder / "CARD.md").read_text("utf-8")
    content = (folder / "model.json").read_text("utf-8")
    (folder / "model.json").write_text(content.replace("dynamic_network_architectures.architectures.unet", "os.path"))
    with pytest.raises(InputError, match="network_class_name"):
        load_model(folder)


def use(place, **changes):
    """Get as far as a run does before it fits anything."""
    config = completed(NnunetConfig(kind="nnunet", folder=place / "trained", **changes))
    network = make_network(config)
    load_weights(network, config)
    segmentor_over(network, config, TABLE, None).try_out()


def refused(place, says, kind=InputError, **changes):
    with pytest.raises(kind, match=says) as error:
        use(place, **changes)
    assert "\n" not in str(error.value)


def test_a_checkpoint_with_code_is_refused_and_nothing_runs(place):
    marker, path = place / "ran", place / "trained" / "fold_0" / "checkpoint_final.pth"

    class Evil:
        def __reduce__(self):
            return open, (str(marker), "w")

    pickle.loads(pickle.dumps(Evil())).close()
    assert marker.exists()  # it would
    marker.unlink()
    content = torch.load(path, weights_only=False)
    torch.save({**content, "logging": Evil()}, path)
    refused(place, "code from files is never run")
    assert not marker.exists()


def test_a_checkpoint_of_an_older_numpy_is_read(place):
    path = place / "trained" / "fold_0" / "checkpoint_final.pth"
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    (name,) = (x for x in parts if x.endswith("data.pkl"))
    assert b"numpy._core.multiarray" in parts[name]
    parts[name] = parts[name].replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for key, value in parts.items():
            new.writestr(key, value)
    use(place)


UNET = "dynamic_network_architectures.architectures.unet."


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("architecture.network_class_name", "subprocess.Popen", "network_class_name = 'subprocess.Popen'"),
        ("architecture.network_class_name", UNET + "torch.load", "network_class_name"),
        ("architecture.network_class_name", UNET + "PlainConvUNet.forward", "network_class_name"),
        ("architecture.arch_kwargs.conv_op", "os.system", "conv_op is 'os.system', no layer of torch.nn"),
        ("architecture.arch_kwargs.nonlin", "torch.nn.modules.module.warnings.warn", "no layer of torch.nn"),
        ("architecture._kw_requires_import", ["conv_op", "strides"], "strides is .*, no layer of torch.nn"),
        ("preprocessor_name", "Foreign", "preprocessor_name = 'Foreign'"),
        ("resampling_fn_data", "system", "resampling_fn_data = 'system'"),
        ("resampling_fn_probabilities", "system", "resampling_fn_probabilities"),
        ("normalization_schemes", ["Foreign"], "normalization_schemes.0 = 'Foreign'"),
        ("previous_stage", "3d_lowres", "second stage of a cascade"),
        ("/label_manager", "Foreign", "label_manager = 'Foreign'"),
        ("/image_reader_writer", "NibabelIOWithReorient", "image_reader_writer = 'NibabelIOWithReorient'"),
        ("/transpose_forward", [0, 0, 1], "must hold each of 0, 1, 2 once"),
        ("architecture.arch_kwargs.n_stages", 7, "describe no network"),
        ("architecture.arch_kwargs.features_per_stage", [8, 16, 24], "size mismatch"),
        ("patch_size", [7, 23, 24], "cannot take its own patch"),
    ],
)
def test_plans_that_name_what_is_not_nnunet_s_are_refused(place, monkeypatch, where, value, says):
    path = place / "trained" / "plans.json"
    plans = json.loads(path.read_text("utf-8"))
    part = plans if where.startswith("/") else plans["configurations"]["3d_fullres"]
    *sections, last = where.removeprefix("/").split(".")
    for section in sections:
        part = part[section]
    part[last] = value
    path.write_text(json.dumps(plans), "utf-8")
    looked_up, locate = [], pydoc.locate
    monkeypatch.setattr(pydoc, "locate", lambda name, *more: looked_up.append(name) or locate(name, *more))  # type: ignore[func-returns-value]
    refused(place, says)
    assert value not in looked_up


def test_plans_that_inherit_and_those_of_earlier_versions_are_read(place):
    path = place / "trained" / "plans.json"
    plans = json.loads(path.read_text("utf-8"))
    known = plans["configurations"]
    own = known["3d_fullres"]
    shape = own.pop("architecture")["arch_kwargs"]
    own |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 8,
        "unet_max_num_features": 16,
        "n_conv_per_stage_encoder": shape["n_conv_per_stage"],
        "n_conv_per_stage_decoder": shape["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [1, 2, 2],
        "pool_op_kernel_sizes": shape["strides"],
        "conv_kernel_sizes": shape["kernel_sizes"],
    }
    known["3d_fullres"] = {"inherits_from": "first", "patch_size": own.pop("patch_size")}
    known["first"] = own
    path.write_text(json.dumps(plans), "utf-8")
    use(place)
    known["first"] = {"inherits_from": "3d_fullres"}
    path.write_text(json.dumps(plans), "utf-8")
    refused(place, "has no configuration '3d_fullres'")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"background": 0, "whole": [1, 2], "core": [2]}, "trained on regions"),
        ({"background": 0, "organ 1": 1, "organ 2": 3}, "without gaps"),
        ({"background": 0, "organ 1": 1, "liver": 2}, "the segmentor knows organ 1, liver, but the cases have"),
    ],
)
def test_labels_that_cannot_be_used_are_said_in_a_line(place, labels, says):
    path = place / "trained" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"labels": labels}), "utf-8")
    refused(place, says)


@pytest.mark.parametrize(
    ("gone", "changes", "says"),
    [
        (".", {}, r"plans\.json: is missing; give the folder of a trained nnU-Net"),
        ("plans.json", {}, r"plans\.json: is missing"),
        ("dataset.json", {}, r"dataset\.json: is missing"),
        ("fold_1", {"folds": (0, 1)}, r"checkpoint_final\.pth: is missing; correct segmentor.folds"),
        ("fold_1", {"checkpoint": "checkpoint_new.pth"}, r"holds no fold_N/checkpoint_new\.pth"),
        (None, {"folder": None}, "segmentor.folder is missing"),
    ],
)
def test_what_is_missing_is_named(place, gone, changes, says):
    if gone is not None:
        path = place / "trained" / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=says) as error:
        completed(NnunetConfig(kind="nnunet", **{"folder": place / "trained", **changes}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_a_damaged_checkpoint_is_a_line(place, content):
    (place / "trained" / "fold_0" / "checkpoint_final.pth").write_bytes(content)
    refused(place, r"checkpoint_final\.pth")


def test_folds_that_are_there_are_taken(place):
    assert completed(NnunetConfig(kind="nnunet", folder=place / "trained")).folds == (0, 1)
    (place / "trained" / "fold_0").rename(place / "trained" / "fold_all")
    assert completed(NnunetConfig(kind="nnunet", folder=place / "trained")).folds == (1,)
    shutil.rmtree(place / "trained" / "fold_1")
    assert completed(NnunetConfig(kind="nnunet", folder=place / "trained")).folds == ("all",)
    with pytest.raises(ValueError, match="one twice"):
        NnunetConfig(kind="nnunet", folds=(1, 1))
    with pytest.raises(ValueError, match="name of a file"):
        NnunetConfig(kind="nnunet", checkpoint="../x.pth")


def test_without_nnunet_a_line_says_how_to_get_it(place, monkeypatch):
    for name in [x for x in sys.modules if x.partition(".")[0] == "nnunetv2"]:
        monkeypatch.setitem(sys.modules, name, None)
    refused(place, r'pip install "napari-deferredseg\[nnunet\]"', MissingExtra)
