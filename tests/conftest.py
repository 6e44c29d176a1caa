from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import Reader
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.io.writing import write_labels, write_volume
from napari_deferredseg.usecases.project import init_project, open_project
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deferredseg.usecases.project import Project

DATA = Path(os.environ.get("DEFERREDSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def _own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keys, receipts and logs of the tests' projects stay out of the configuration folder of whoever runs them."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFERREDSEG_CONFIG", str(folder))
        patch.setenv("DEFERREDSEG_LOG", str(folder / "log"))
        yield folder


@pytest.fixture
def whole_records() -> Iterator[None]:
    """Records of the log as a program makes them: napari's plugin for tests turns their arguments into text."""
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture(autouse=True)
def _no_receipts(_own_folder: Path) -> None:
    """Copies of one project have one id: what a test submitted is not remembered in the next."""
    shutil.rmtree(_own_folder / "receipts", ignore_errors=True)
    for mark in _own_folder.glob("keys/*.mark"):
        mark.unlink()


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real images; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no test images at {DATA}; set DEFERREDSEG_TEST_DATA")
    return DATA


OBLIQUE = tuple(tuple(float(v) for v in row) for row in Rotation.from_euler("xz", (17, -8), degrees=True).as_matrix())
GRID = Geometry(shape=(24, 40, 44), spacing=(1.5, 1.25, 3.0), origin=(-31.5, 12.25, -420.0), direction=OBLIQUE)
READERS = (
    Reader(login="ada", name="Ada Moreau", capacity=20, groups=("abdomen",)),
    Reader(login="ben", name="Ben Okafor", capacity=40, groups=("abdomen",)),
    Reader(login="lea", name="Lea Brandt", capacity=60, role="lead"),
)


@dataclass(frozen=True)
class Scene:
    """A small oblique volume with two masks that differ in six places, and a project of three readers.

    The labels are liver (1) and spleen (2).
    """

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "project"

    @property
    def volume(self) -> Path:
        return self.root / "ct.nii.gz"

    @property
    def first(self) -> Path:
        return self.root / "first.nii.gz"

    @property
    def second(self) -> Path:
        return self.root / "second.nii.gz"

    @property
    def files(self) -> ExternalInput:
        return ExternalInput(volume=self.volume, labels=(self.first, self.second))

    def open(self) -> Project:
        return open_project(self.folder)


def _make_scene(root: Path) -> Scene:
    scene = Scene(root)
    z, y, x = np.indices(GRID.shape)
    first = np.zeros(GRID.shape, np.uint8)
    first[4:20, 6:34, 4:22] = 1
    first[6:16, 10:30, 26:40] = 2
    second = first.copy()
    for center, value in zip(
        ((6, 10, 8), (10, 20, 12), (16, 28, 16), (8, 14, 30), (12, 22, 34), (11, 26, 38)),
        (0, 2, 0, 1, 0, 1),
        strict=True,
    ):
        near = sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), center, GRID.spacing_zyx, strict=True)) <= 36
        second[near & (first > 0)] = value
    image = np.random.default_rng(5).normal(-40, 10, GRID.shape) + 60 * first
    table = table_from_names({1: "liver", 2: "spleen"})
    write_volume(scene.volume, Volume(image.astype(np.int16), GRID, "ct"))
    write_labels(scene.first, first, GRID, table)
    write_labels(scene.second, second, GRID, table)
    with init_project(scene.folder) as project:
        for reader in READERS:
            project.store.add_reader(reader)
    return scene


@pytest.fixture(scope="session")
def _scene_made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return _make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def _scene_run(_scene_made: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("scenes") / "run"
    shutil.copytree(_scene_made.root, root)
    scene = Scene(root)
    with scene.open() as project:
        run_external(project, scene.files)
    return scene


@pytest.fixture
def unread(_scene_made: Scene, tmp_path: Path) -> Scene:
    """The scene before any model ran."""
    return Scene(Path(shutil.copytree(_scene_made.root, tmp_path / "scene")))


@pytest.fixture
def scene(_scene_run: Scene, tmp_path: Path) -> Scene:
    """The scene with its regions assigned."""
    return Scene(Path(shutil.copytree(_scene_run.root, tmp_path / "scene")))


SETTINGS = """
folds = 2
[data]
patch = [16, 32, 32]
[network]
arguments = {channels = [4, 8], strides = [2], num_res_units = 0}
[fit]
steps = 40
batch = 2
learning_rate = 0.02
validate_every = 40
[router.network]
arguments = {channels = [4, 8], strides = [2], num_res_units = 0}
[router.fit]
steps = 10
batch = 2
validate_every = 10
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model for volumes like the scene's: labels liver and spleen, expert channels north and south.

    North errs on the spleen, south on the liver. It is trained in another process: torch is not loaded in this one.
    """
    root = tmp_path_factory.mktemp("tiny")
    cases = [_learnt_case(root, number) for number in range(6)]
    listed = {"labels": {"1": "liver", "2": "spleen"}, "training": cases[:4], "validation": cases[4:]}
    (root / "cases.json").write_text(json.dumps(listed), "utf-8")
    (root / "settings.toml").write_text(SETTINGS, "utf-8")
    words = ("train", "--data", "cases.json", "--config", "settings.toml", "--out", "tiny", "--device", "cpu")
    command = [sys.executable, "-m", "napari_deferredseg.cli", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return root / "tiny"


def _learnt_case(root: Path, number: int) -> dict[str, object]:
    rng = np.random.default_rng(number)
    (z, y, x), grid = rng.integers(-2, 3, 3), Geometry(shape=GRID.shape, spacing=GRID.spacing)
    table = table_from_names({1: "liver", 2: "spleen"})
    truth = np.zeros(GRID.shape, np.uint8)
    truth[4 + z : 20 + z, 6 + y : 34 + y, 4 + x : 22 + x] = 1
    truth[6 + z : 16 + z, 10 + y : 30 + y, 26 + x : 40 + x] = 2
    image = (rng.normal(-40, 20, GRID.shape) + 60 * truth).astype(np.int16)
    write_volume(root / f"{number}.nii.gz", Volume(image, grid, "ct"))
    write_labels(root / f"{number}-label.nii.gz", truth, grid, table)
    experts = {}
    for name, weak in (("north", 2), ("south", 1)):
        mask = truth.copy()
        for corner in rng.integers(0, np.array(GRID.shape) - 8, (8, 3)):
            block = tuple(slice(i, i + 8) for i in corner)
            mask[block][truth[block] == weak] = 0
        experts[name] = f"{number}-{name}.nii.gz"
        write_labels(root / experts[name], mask, grid, table)
    label = f"{number}-label.nii.gz"
    return {"image": f"{number}.nii.gz", "label": label, "experts": experts, "patient": str(number)}
