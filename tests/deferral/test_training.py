from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.scan import Scan
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.deferral.data.images import ViewedScan
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.inference import maps_of
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_channels, read_volume
from napari_deferredseg.usecases.running.domain import domain_notes
from napari_deferredseg.usecases.running.models import describe_model

CPU = torch.device("cpu")


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def said_of(folder, array):
    model = load_model(folder)
    volume = Volume(array.astype(np.float32), Geometry(shape=array.shape[-3:], spacing=(1, 1, 1)), "made", ("one",))
    logits = model.segmentor.segment(Scan(volume), CPU)
    return maps_of(model, ViewedScan(Scan(volume), model.spec.config.data), logits, CPU)


def scalars(folder, stage, name):
    log = EventAccumulator(str(folder / "log" / stage / "version_0"))
    log.Reload()
    return [(x.step, x.value) for x in log.Scalars(name)]


def test_the_folder_is_a_model_and_nothing_else(model, cases):
    assert {p.name for p in model.iterdir()} == {"model.json", "model.safetensors", "CARD.md", "domain.json", "log"}
    card = (model / "CARD.md").read_text(encoding="utf-8")
    for said in (
        "Not a medical",
        "Ada, Ben, Cleo",
        "| training | 6 | 6 |",
        "the label of each case",
        "seed 3",
        "licence: free to all",
    ):
        assert said in card
    domain = describe_model(model).read_domain()
    assert domain.cases == 6
    assert domain_notes(describe_model(model), read_volume(read_datalist(cases).training[0].image[0])) == ()
    found = weights(model)
    assert all(torch.isfinite(v).all() for v in found.values())
    assert {k.partition(".")[0] for k in found} == {"segmentor", "router"}


def test_the_same_seed_gives_the_same_model_and_another_another(lab, cases, model, tmp_path):
    again = lab.train(cases, tmp_path / "small")
    assert same(weights(again), weights(model))
    assert (again / "model.json").read_bytes() == (model / "model.json").read_bytes()
    assert not same(weights(lab.train(cases, tmp_path / "other", seed=4)), weights(model))


def test_the_router_does_not_touch_the_segmentor(lab, cases, model, tmp_path):
    """Another router, trained otherwise, leaves the segmentor's logits as they are, to the last bit."""
    other = lab.train(cases, tmp_path / "other", lab.settings(router__loss="picce", router__fit__steps=1))
    mine, theirs = weights(model), weights(other)
    own = [k for k in mine if k.startswith("segmentor.")]
    assert own
    assert all(torch.equal(mine[k], theirs[k]) for k in own)
    assert not all(torch.equal(mine[k], theirs[k]) for k in mine)
    a, b = (said_of(folder, np.random.default_rng(0).normal(size=(1, 2, 24, 24))) for folder in (model, other))
    assert np.array_equal(a.probability, b.probability)
    assert not np.array_equal(a.shares, b.shares)


@pytest.mark.parametrize("loss", ["script-as-written", "dense-softmax", "joint-one-versus-all"])
def test_joint_losses_train(lab, cases, tmp_path, loss):
    folder = lab.train(cases, tmp_path / "joint", lab.settings(mode="joint", joint_loss=loss))
    found = load_model(folder)
    assert found.router is None
    assert all(torch.isfinite(v).all() for v in weights(folder).values())
    maps = said_of(folder, np.zeros((1, 1, 24, 24)))
    assert maps.shares.shape == (4, 1, 24, 24)
    assert np.isfinite(maps.shares).all()
    assert found.spec.policy.who == "shares"
    assert (found.spec.policy.where_weight, found.spec.policy.who_weight) == (1, 1)


@pytest.mark.parametrize("loss", ["excess-utility", "collaboration", "picce", "one-versus-all", "deferredseg"])
def test_missing_readers_leave_every_loss_finite(lab, tmp_path, loss):
    path = lab.write_cases(tmp_path / "cases", absent=True, labels=False)
    config = lab.settings(router__loss=loss, router__weights={"coherence": 0.1, "balance": 0.1})
    folder = lab.train(path, tmp_path / "model", config)
    assert all(torch.isfinite(v).all() for v in weights(folder).values())
    for stage in ("segmentor", "router"):
        assert np.isfinite([v for _, v in scalars(folder, stage, "validation_loss")]).all()
    assert "A reader's own vote is part of the consensus" in (folder / "CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("dims", [2, 3])
def test_several_classes_and_channels_on_volumes(lab, tmp_path, dims):
    path = lab.write_cases(tmp_path / "cases", shape=(6, 24, 24), classes=3, channels=2)
    patch = [16, 16] if dims == 2 else [8, 16, 16]
    config = lab.settings(data__spatial_dims=dims, data__patch=patch, data__flip_axes=[0, 2])
    folder = lab.train(path, tmp_path / "model", config)
    images = [path.parent / f"0_image{c}.nii.gz" for c in (0, 1)]
    found = predict({}, lambda share, doing: None, folder, Scan(read_channels(images)), "cpu")
    assert found.labels.shape == found.defer.shape == (6, 24, 24)
    assert found.gain.shape == (3, 6, 24, 24)
    assert found.gain.dtype == np.float16
    assert set(np.unique(found.labels)) <= {0, 1, 2, 3}
    assert (found.alternative != found.labels).all()
    assert found.table.name(3) == "organ 3"
    with pytest.raises(InputError, match="has 1 channels, the segmentor learned from 2"):
        predict({}, lambda share, doing: None, folder, Scan(read_volume(images[0])), "cpu")


def test_the_log_shows_losses_and_the_schedule_ends(lab, cases, tmp_path):
    told = []
    config = lab.settings(fit__steps=40, fit__validate_every=10)
    folder = lab.train(cases, tmp_path / "model", config, progress=lambda share, doing: told.append((share, doing)))
    assert {p.name for p in (folder / "log").iterdir()} == {"fold 1", "fold 2", "segmentor", "router"}
    assert [step for step, _ in scalars(folder, "segmentor", "validation_loss")] == [9, 19, 29, 39]
    losses = [v for _, v in scalars(folder, "segmentor", "training_loss")]
    assert losses[-1] < losses[0]
    rates = [v for _, v in scalars(folder, "segmentor", "learning_rate")]
    assert rates[-1] < 0.01 * max(rates)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any("segmentor: step 40 of 40" in doing for _, doing in told)


def test_stops_early_where_nothing_gets_better(lab, cases, tmp_path):
    steps = []
    config = lab.settings(fit__steps=60, fit__validate_every=2, fit__patience=2, fit__learning_rate=1e-12)
    lab.train(
        cases,
        tmp_path / "model",
        config,
        progress=lambda share, doing: steps.append(doing) if "step" in doing else None,
    )
    assert max(int(s.split()[2]) for s in steps if s.startswith("segmentor")) < 60


def test_progress_that_raises_ends_the_run_at_once(lab, cases, tmp_path):
    class Enough(Exception):
        pass

    def stop(share: float, doing: str) -> None:
        if doing.startswith("segmentor: step 2"):
            raise Enough

    with pytest.raises(Enough):
        lab.train(cases, tmp_path / "model", progress=stop)
    assert not (tmp_path / "model" / "model.json").exists()
    done = lab.train(cases, tmp_path / "model")
    assert (done / "model.json").exists()


def test_a_single_validation_patient_makes_a_model_that_can_be_read(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(4, 1, 0))
    found = load_model(lab.train(path, tmp_path / "model"))
    assert found.spec.policy.fell_back


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": []}, "no training cases"),
        ({"validation": []}, "no validation cases"),
        ({"experts": None}, "no training case names an expert"),
    ],
)
def test_cases_that_are_not_enough(lab, tmp_path, changes, says):
    path = lab.write_cases(tmp_path / "cases", counts=(3, 1, 1))
    content = json.loads(path.read_text(encoding="utf-8"))
    if "experts" in changes:
        content["training"] = [{k: v for k, v in c.items() if k != "experts"} for c in content["training"]]
    else:
        content |= changes
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=says):
        lab.train(path, tmp_path / "model")


def test_what_cannot_be_trained_is_refused_and_can_be_mended_in_the_same_folder(lab, cases, tmp_path):
    out = tmp_path / "model"
    with pytest.raises(InputError, match="folds = 7: there are 6 training patients"):
        lab.train(cases, out, lab.settings(folds=7))
    with pytest.raises(InputError, match="not a map of the patch"):
        lab.train(cases, out, lab.settings(data__patch=[17, 16]))
    three = lab.write_cases(tmp_path / "three", classes=3)
    with pytest.raises(InputError, match="knows one foreground"):
        lab.train(three, out, lab.settings(mode="joint", joint_loss="script-as-written"))
    content = json.loads(three.read_text(encoding="utf-8"))
    three.write_text(json.dumps({k: v for k, v in content.items() if k != "labels"}), encoding="utf-8")
    with pytest.raises(InputError, match="knows one foreground"):
        lab.train(three, out, lab.settings(mode="joint", joint_loss="script-as-written"))
    assert (lab.train(cases, out) / "model.json").exists()


def test_a_loss_that_leaves_the_numbers_is_said(lab, cases, tmp_path):
    with pytest.raises(InputError, match="loss is not finite"):
        lab.train(cases, tmp_path / "model", lab.settings(fit__learning_rate=1e38))


def test_a_folder_in_use_is_refused(lab, cases, model, tmp_path):
    with pytest.raises(InputError, match="holds files already"):
        lab.train(cases, model)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="holds files already"):
        lab.train(cases, tmp_path / "file")
