"""The model that comes with the product, on the abdomen that it is shown on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deferredseg.core.records import Reader
from napari_deferredseg.engine import Engine
from napari_deferredseg.io.phantom import make_phantom
from napari_deferredseg.io.writing import write_volume
from napari_deferredseg.usecases.models import find_model
from napari_deferredseg.usecases.open_case import load_prediction
from napari_deferredseg.usecases.predict import ModelInput
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.run import run_model

NAME = "abdomen-phantom"
MEGABYTE = 2**20


def test_it_is_small_and_has_a_card():
    known = find_model(NAME)
    assert known.shipped
    assert known.experts == ("all-round", "border", "inside", "outside")
    assert sum(p.stat().st_size for p in known.folder.iterdir()) < 8 * MEGABYTE
    assert "Not a medical" in known.read_card()


@pytest.mark.slow
def test_it_finds_what_it_gets_wrong(tmp_path):
    phantom = make_phantom(3)
    write_volume(tmp_path / "ct.mha", phantom.volume)
    with init_project(tmp_path / "project") as project, Engine() as engine:
        project.store.add_reader(Reader(login="ada", name="Ada"))
        files = ModelInput(volume=tmp_path / "ct.mha", model=find_model(NAME).folder, device="cpu")
        report = run_model(project, files, engine)
        labels, _, defer = load_prediction(project, report.prediction)
        truth = phantom.truth.array
        assert report.regions
        assert 0 < report.realised_share <= 0.10
        organs = (labels > 0) & (labels < 5)
        assert 2 * np.count_nonzero(organs & (labels == truth)) > 0.8 * (
            organs.sum() + ((truth > 0) & (truth < 5)).sum()
        )
        wrong = labels != truth
        assert defer[wrong].mean() > 4 * defer[~wrong].mean()
