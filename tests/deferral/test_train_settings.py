from __future__ import annotations

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.train_settings import TrainConfig, read_config


def refused(tmp_path, text: str) -> str:
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_config(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value).removeprefix(str(path))


def test_no_file_means_defaults():
    assert read_config(None) == TrainConfig()


def test_every_setting_survives_the_file(tmp_path, lab):
    config = lab.settings(router__loss="picce", data__intensity="window", data__window=[-10.5, 80], mode="joint")
    path = tmp_path / "train.toml"
    path.write_text(lab.toml_of(config), encoding="utf-8")
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("mode = 'three-stage'", ["mode", "three-stage", "two-stage", "joint"]),
        ("[router]\nloss = 'hinge'", ["router.loss", "hinge", "excess-utility", "picce", "deferredseg"]),
        ("[policy]\nunit = 'pixels'", ["policy.unit", "voxels", "predicted-foreground"]),
        ("[fit]\nsteps = 0", ["fit.steps", "0", "greater than or equal to 1"]),
        ("folds = 1", ["folds", "greater than or equal to 2"]),
        ("[data]\npatch = [4, 64, 64]", ["data", "[4, 64, 64]", "8 voxels or more"]),
        ("[data]\nspatial_dims = 2", ["data", "2 sizes"]),
        ("[data]\nspatial_dims = 4", ["data.spatial_dims", "2 or 3"]),
        ("[data]\nflip_axes = [3]", ["data.flip_axes", "0, 1 or 2"]),
        ("[data]\nspacing_mm = [0, 1, 1]", ["data.spacing_mm", "greater than 0"]),
        ("[data]\nwindow = [100, 100]", ["window", "must rise"]),
        ("[policy]\nbudgets = [5]", ["budgets [5.0]", "up to 1"]),
        ("[policy]\nbudgets = []", ["budgets []"]),
        ("[fit]\nlearning_rate = 'fast'", ["fit.learning_rate", "fast"]),
        ("precision = '16'", ["precision", "auto", "32-true"]),
    ],
)
def test_names_the_field_and_what_it_may_be(tmp_path, text, names):
    said = refused(tmp_path, text)
    assert [name for name in names if name not in said] == []


@pytest.mark.parametrize(
    ("text", "field", "there"),
    [
        ("epochs = 3", "epochs", ["folds", "mode", "router"]),
        ("[fit]\nepochs = 3", "fit.epochs", ["batch", "learning_rate", "steps"]),
        ("[router.fit]\nlr = 0.1", "router.fit.lr", ["learning_rate"]),
        ("[router.weights]\nbalanced = 1.0", "router.weights.balanced", ["balance", "coherence"]),
        ("[data]\nspacing = [1, 1, 1]", "data.spacing ", ["spacing_mm", "patch"]),
    ],
)
def test_an_unknown_setting_lists_those_there_are(tmp_path, text, field, there):
    said = refused(tmp_path, text)
    assert field in said
    listed = said.partition("settings there: ")[2].split(", ")
    assert set(there) <= set(listed)


def test_files_that_are_no_toml(tmp_path):
    assert "no TOML" in refused(tmp_path, "folds: 3")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(InputError, match="no TOML"):
        read_config(tmp_path / "latin.toml")
