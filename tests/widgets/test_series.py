"""A folder with two DICOM series asks which, and opens that one."""

from __future__ import annotations

import shutil

import pydicom
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QInputDialog

from napari_deferredseg.core.records import Reader
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.io.dicom import list_series
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.io.writing import write_labels
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.widgets.plugin.files import NOTHING, read_layers
from napari_deferredseg.widgets.viewer.volume_layers import info_of


@pytest.fixture
def two_series(data, tmp_path):
    """The CT head twice, the second time with other identifiers and ten slices."""
    folder = tmp_path / "study"
    shutil.copytree(data / "ct_head_dicom", folder / "one")
    (folder / "two").mkdir()
    slices = [pydicom.dcmread(path) for path in (data / "ct_head_dicom").iterdir()]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    for number, slice_ in enumerate(slices[:10]):
        slice_.SeriesInstanceUID = "1.2.826.0.1.3680043.9.1"
        slice_.SOPInstanceUID = f"1.2.826.0.1.3680043.9.1.{number + 1}"
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID
        slice_.SeriesNumber = 77
        slice_.save_as(folder / "two" / f"{number}")
    return folder


def answer(row: int | None, seen: list[str]) -> None:
    """Choose a row of the question as soon as it is asked, or dismiss it."""

    def act() -> None:
        (dialog,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QInputDialog) and w.isVisible()]
        seen.extend(dialog.comboBoxItems())
        if row is None:
            dialog.reject()
        else:
            dialog.setTextValue(dialog.comboBoxItems()[row])
            dialog.accept()

    QTimer.singleShot(1500, act)


@pytest.mark.parametrize("wanted", ["77", "other"])
def test_the_chosen_series_opens(open_viewer, two_series, wanted):
    open_viewer()
    seen: list[str] = []
    series = list_series(two_series)
    row = next(i for i, x in enumerate(series) if (x.number == 77) == (wanted == "77"))
    answer(row, seen)
    ((data, options, kind),) = read_layers(str(two_series))
    assert len(seen) == 2
    assert kind == "image"
    assert data.shape[0] == series[row].files
    assert options["metadata"]["deferredseg"].modality == "CT"


def test_a_dismissed_question_opens_nothing(open_viewer, two_series):
    viewer = open_viewer()
    answer(None, [])
    assert read_layers(str(two_series)) == NOTHING
    assert not [layer for layer in viewer.layers if info_of(layer)]


def test_the_run_panel_asks_and_the_case_remembers(open_seat, two_series, qtbot, tmp_path):
    _, panels = open_seat()
    run = panels["run"]
    series = list_series(two_series)
    short = next(i for i, x in enumerate(series) if x.number == 77)
    volume = read_volume(two_series, series[short].uid)
    for name, level in (("a", 50), ("b", 80)):
        mask = (volume.array > level).astype("uint8")
        write_labels(tmp_path / f"{name}.nii.gz", mask, volume.geometry, LabelTable())
    with init_project(tmp_path / "project") as project:
        project.store.add_reader(Reader(login="ada", name="Ada"))
    run.project_bar.open_folder(tmp_path / "project")
    run.form.volume.value = two_series
    run.form.first.value = tmp_path / "a.nii.gz"
    run.form.second.value = tmp_path / "b.nii.gz"
    answer(short, [])
    run.run()
    qtbot.waitUntil(lambda: run.session.case is not None, timeout=60_000)
    assert run.session.case.record.series == series[short].uid
    assert run.session.case.volume.array.shape[0] == 10
