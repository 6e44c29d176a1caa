"""The model that comes with the product, on the abdomen that it is shown on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import Reader
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.engine import Engine
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.io.phantom import make_phantom
from napari_deferredseg.io.phantom_cases import make_case
from napari_deferredseg.io.writing import write_volume
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.reading.open_case import load_prediction
from napari_deferredseg.usecases.running.domain import domain_notes
from napari_deferredseg.usecases.running.models import find_model
from napari_deferredseg.usecases.running.predict import ModelInput
from napari_deferredseg.usecases.running.run import run_model

NAME = "abdomen-phantom"
MEGABYTE = 2**20


class NoEngine(Engine):
    """Fails a test that starts a model."""

    def run(self, *_args, **_options):
        raise AssertionError("the model was started")


def test_it_is_small_and_has_a_card():
    known = find_model(NAME)
    assert known.shipped
    assert known.experts == ("all-round", "border", "inside", "outside")
    assert sum(p.stat().st_size for p in known.folder.iterdir()) < 8 * MEGABYTE
    assert "Not a medical" in known.read_card()


def test_generated_abdomens_are_what_it_learned_from():
    known = find_model(NAME)
    for volume in (make_phantom(0).volume, make_case(7, 4).volume):
        assert domain_notes(known, volume) == ()
    assert all("voxels" in note for note in domain_notes(known, make_case(7, 4, "small").volume))


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("abdomen_ct/ct.nii.gz", "distributed otherwise"),
        ("abdomen_ct/ct_small.nii.gz", "distributed otherwise"),
        ("spleen_ct/image.nii.gz", "voxels"),
        ("flair_lesions/flair.nii.gz", "voxels"),
        ("t1_head/t1.nii.gz", "voxels"),
        ("ct_head_dicom", "voxels"),
    ],
)
def test_real_scans_are_refused_unless_somebody_knows(data, tmp_path, path, why):
    with init_project(tmp_path / "project") as project:
        project.store.add_reader(Reader(login="ada", name="Ada"))
        files = ModelInput(volume=data / path, model=find_model(NAME).folder, device="cpu")
        with pytest.raises(InputError, match=rf"is unlike what .*{NAME} learned from: .*{why}.*--outside-domain") as no:
            run_model(project, files, NoEngine())
        assert "\n" not in str(no.value)
        assert project.store.cases() == []
    (note,) = domain_notes(find_model(NAME), read_volume(data / path), outside_allowed=True)
    assert why in note


def test_an_mr_with_the_grey_values_of_its_abdomens_is_refused():
    volume = make_phantom(0).volume
    grid = Geometry(shape=volume.geometry.shape, spacing=volume.geometry.spacing)
    with pytest.raises(InputError, match="modality is MR, theirs CT"):
        domain_notes(find_model(NAME), Volume(volume.array, grid, "mr", modality="MR"))


@pytest.mark.slow
def test_it_finds_what_it_gets_wrong(tmp_path):
    phantom = make_phantom(3)
    write_volume(tmp_path / "ct.mha", phantom.volume)
    with init_project(tmp_path / "project") as project, Engine() as engine:
        project.store.add_reader(Reader(login="ada", name="Ada"))
        files = ModelInput(volume=tmp_path / "ct.mha", model=find_model(NAME).folder, device="cpu")
        report = run_model(project, files, engine)
        assert not [note for note in report.cautions if "unlike" in note or "range unknown" in note]
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
