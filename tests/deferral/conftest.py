from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.deferral.data.train_settings import TrainConfig
from napari_deferredseg.deferral.training.train import train
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.writing import write_labels, write_volume

CPU = torch.device("cpu")
SMALL = {"channels": [4, 8], "strides": [2], "num_res_units": 0}
READERS = ("Ada", "Ben", "Cleo")


def settings(**changes: Any) -> TrainConfig:
    """Two small networks on small slices, a few steps; `data__patch=...` changes a setting of a section."""
    plain: dict[str, Any] = {
        "folds": 2,
        "licence": "free to all",
        "precision": "32-true",
        "data": {"spatial_dims": 2, "patch": [16, 16], "flip_axes": [1, 2]},
        "network": {"arguments": SMALL},
        "fit": {"steps": 12, "batch": 4, "validate_every": 6, "learning_rate": 0.02},
        "router": {"network": {"arguments": SMALL}, "fit": {"steps": 6, "batch": 4, "validate_every": 3}},
        "policy": {"budgets": [0.05, 0.2], "unit": "voxels"},
    }
    for name, value in changes.items():
        *sections, last = name.split("__")
        place = plain
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return TrainConfig.model_validate(plain)


def toml_of(config: TrainConfig) -> str:
    """Configuration as a TOML file."""
    return "\n".join(_lines("", config.model_dump(mode="json")))


def _lines(place: str, content: dict[str, Any]) -> list[str]:
    plain = {k: v for k, v in content.items() if not isinstance(v, dict) and v is not None}
    lines = [f"[{place}]"] if place else []
    lines += [f"{k} = {json.dumps(v)}" for k, v in plain.items()]
    for name, part in content.items():
        if isinstance(part, dict):
            lines += _lines(f"{place}.{name}" if place else name, part)
    return lines


@dataclass(frozen=True)
class Recipe:
    """Generated cases: a bright disc (and a second one), readers who miss or add a patch of it."""

    shape: tuple[int, int, int] = (1, 24, 24)
    classes: int = 1
    channels: int = 1
    counts: tuple[int, int, int] = (6, 3, 3)
    labels: bool = True
    absent: bool = False
    """Each reader has read only two of three cases, and only the left half of those with an even number."""


def write_cases(folder: Path, seed: int = 0, **recipe: Any) -> Path:
    """Write images, masks and cases.json by a `Recipe`; return the latter."""
    plan = Recipe(**recipe)
    rng = np.random.default_rng(seed)
    names = {value: f"organ {value}" for value in range(1, plan.classes + 1)}
    content: dict[str, Any] = {"labels": {str(v): n for v, n in names.items()}}
    number = 0
    for split, count in zip(("training", "validation", "test"), plan.counts, strict=True):
        content[split] = []
        for _ in range(count):
            content[split].append(_write_case(folder, plan, number, rng))
            number += 1
    path = folder / "cases.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _write_case(folder: Path, recipe: Recipe, number: int, rng: np.random.Generator) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    geometry = Geometry(shape=recipe.shape, spacing=(1.0, 1.0, 1.0))
    truth = np.zeros(recipe.shape, np.uint8)
    y, x = np.indices(recipe.shape[1:])
    for value in range(1, recipe.classes + 1):
        cy, cx = rng.uniform(6, np.array(recipe.shape[1:]) - 6)
        truth[:, np.hypot(y - cy, x - cx) < rng.uniform(4, 6)] = value
    table = table_from_names({v: f"organ {v}" for v in range(1, recipe.classes + 1)})
    noise = rng.normal(0, 0.4, (recipe.channels, *recipe.shape))
    case: dict[str, Any] = {"image": [], "patient": f"p{number}", "site": "north" if number % 2 else "south"}
    for channel, one in enumerate(noise):
        name = f"{number}_image{channel}.nii.gz"
        write_volume(folder / name, Volume((truth + one).astype(np.float32), geometry, name))
        case["image"].append(name)
    if recipe.labels:
        case["label"] = f"{number}_label.nii.gz"
        write_labels(folder / case["label"], truth, geometry, table)
    case["experts"] = {}
    for j, reader in enumerate(READERS):
        if recipe.absent and (number + j) % 3 == 0:
            continue
        name = f"{number}_{reader}.nii.gz"
        mask = np.roll(truth, (j + 1, -j), axis=(1, 2))
        write_labels(folder / name, mask, geometry, table)
        case["experts"][reader] = name
    if recipe.absent and number % 2 == 0:
        left = np.zeros(recipe.shape, np.uint8)
        left[..., : recipe.shape[2] // 2] = 1
        write_labels(folder / f"{number}_support.nii.gz", left, geometry, table_from_names({1: "read"}))
        case["support"] = f"{number}_support.nii.gz"
    return case


class Lab:
    """What tests of training need."""

    readers = READERS
    settings = staticmethod(settings)
    toml_of = staticmethod(toml_of)
    write_cases = staticmethod(write_cases)

    @staticmethod
    def train(cases: Path, out: Path, config: TrainConfig | None = None, seed: int = 3, **more: Any) -> Path:
        """Train on the cases of a file."""
        return train(read_datalist(cases), out, config or settings(), seed=seed, device=CPU, **more)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases file of a few slices with one organ and three readers."""
    return write_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="session")
def model(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on them in two stages. Not to be written to."""
    return Lab.train(cases, tmp_path_factory.mktemp("models") / "small")
