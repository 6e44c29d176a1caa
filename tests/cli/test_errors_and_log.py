"""Every kind of failure has its exit code and its one line; the log has the traceback and nobody's data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_deferredseg.cli.app import exit_codes
from napari_deferredseg.core.errors import DEFECT, MEMBERS
from napari_deferredseg.core.log import LogFile
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.io.images import read_volume, write_labels
from napari_deferredseg.store.database import sqlite
from napari_deferredseg.usecases import learn
from napari_deferredseg.usecases import project as projects
from napari_deferredseg.usecases.keys import own_folder
from napari_deferredseg.usecases.log import MOST, log_folder, open_log

PATIENT, PLACE, TEXT = "Plantedpatient", "Plantedplace", "Plantedtext"


@pytest.fixture
def logged(tmp_path, monkeypatch, whole_records):
    """What was logged by this test: a function that reads it."""
    folder = tmp_path / "log"
    monkeypatch.setenv("DEFERREDSEG_LOG", str(folder))
    return lambda: "".join(path.read_text("utf-8") for path in folder.glob("*"))


def raising(error):
    def fail(*args, **options):
        raise error

    return fail


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A command that fails with an exception: its words."""

    def command(error: Exception) -> tuple[object, ...]:
        monkeypatch.setattr(projects, "init_project", raising(error))
        return "project", "init", tmp_path / PLACE

    return command


@pytest.mark.parametrize("member", MEMBERS)
def test_a_kind_has_its_code_and_its_line(type_in, planted, logged, member):
    said = type_in(*planted(member(f"{TEXT}: try again")))
    assert said == (member.exit_code, "", f"deferredseg: {TEXT}: try again\n")
    assert member.__name__ in logged()
    assert TEXT not in logged()


def test_a_defect_is_one_line_that_names_the_log_which_has_the_traceback(type_in, planted, logged):
    said = type_in(*planted(KeyError(TEXT)))
    assert (said.code, said.out) == (DEFECT, "")
    (line,) = said.err.splitlines()
    assert line.startswith(f"deferredseg: unexpected: KeyError: '{TEXT}'; where it happened is in ")
    assert Path(line.rpartition(" is in ")[2]).is_file()
    assert "napari_deferredseg/cli/project.py:" in logged()
    assert "KeyError" in logged()
    assert TEXT not in logged()


def test_verbose_shows_the_log(type_in, planted, logged):
    said = type_in("--verbose", *planted(KeyError(TEXT)))
    *shown, line = said.err.splitlines()
    assert line.startswith("deferredseg: unexpected")
    assert any("napari_deferredseg/cli/project.py:" in x for x in shown)
    assert all(TEXT not in x for x in shown)


def test_help_and_docs_say_every_code(type_in, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    told = " ".join(type_in("--help").out.split())
    page = (Path(__file__).parents[2] / "docs" / "errors-and-log.md").read_text("utf-8")
    for code, kind in exit_codes().items():
        assert f"{code} {kind}" in told
        assert f"| {code} | {kind} |" in page
    for member in MEMBERS:
        assert f"`{member.__name__}`" in page


@pytest.fixture
def case(tmp_path):
    """A CT of a named patient in a folder with a telling name, two masks of it, and a project: `run`'s words."""
    folder = tmp_path / PLACE / "ct"
    folder.mkdir(parents=True)
    for z in range(8):
        ds = pydicom.Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.PatientName, ds.PatientID, ds.SeriesDescription = f"{PATIENT}^Jane", PATIENT, PATIENT
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber, ds.Modality = "1.2", "1.2.3", 3, "CT"
        ds.Rows, ds.Columns, ds.ImagePositionPatient = 32, 32, [-10.0, -20.0, 2.0 * z]
        ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness = [1, 0, 0, 0, 1, 0], [0.8, 0.8], 2.0
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.RescaleSlope, ds.RescaleIntercept = 16, 12, 11, 1, -1024
        ds.PixelData = np.random.default_rng(z).integers(0, 2000, (32, 32)).astype(np.uint16).tobytes()
        ds.save_as(folder / f"{PATIENT}{z}.dcm", enforce_file_format=True)
    geometry, masks = read_volume(folder).geometry, []
    for name, end in (("a", 22), ("b", 27)):
        mask = np.zeros((8, 32, 32), np.uint8)
        mask[2:6, 6:24, 6:end] = 1
        masks.append(tmp_path / PLACE / f"{PATIENT}-{name}.nii.gz")
        write_labels(masks[-1], mask, geometry, table_from_names({1: "liver"}))
    words = ("run", folder, "-p", tmp_path / PLACE / "p", "--labels", masks[0], "--labels")
    return words, masks[1]


def test_no_name_and_no_path_of_a_patient_is_logged(type_in, case, logged, tmp_path):
    words, second = case
    project = tmp_path / PLACE / "p"
    assert type_in("--verbose", "project", "init", project, "--name", PATIENT).code == 0
    assert type_in("reader", "add", f"{PATIENT} Jane", "-p", project).code == 0
    refused = type_in("--verbose", *words, tmp_path / PLACE / f"{PATIENT}-missing.nii.gz")
    assert refused.code == 1
    ran = type_in("--verbose", *words, second)
    assert ran.code == 0, ran.err
    damaged = next((project / "predictions").glob("*/labels.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert type_in("--verbose", "project", "verify", project).code == 5
    assert type_in("--verbose", "export", "-p", project, "-o", tmp_path / PLACE / "out").code == 5
    told = logged()
    assert told.count(" run: deferredseg") == 2
    assert "InputError" in told
    assert "Damaged" in told
    for secret in (PATIENT, PLACE, str(tmp_path)):
        assert secret not in told
        shown = [line for line in (refused.err + ran.err).splitlines() if " napari_deferredseg." in line]
        assert all(secret not in line for line in shown)


def test_files_of_processes_that_ended_do_not_pile_up(logged):
    folder = log_folder()
    folder.mkdir()
    for number in range(MOST + 20):  # no process has such an id
        (folder / f"deferredseg-20200101-{999_000_000 + number}.log").write_text("old", "utf-8")
    (folder / "notes.txt").write_text("mine", "utf-8")
    open_log()
    assert len(list(folder.glob("deferredseg-*.log"))) == MOST
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("lost", ["taken", "full"])
def test_a_defect_that_could_not_be_logged_names_no_log(type_in, planted, tmp_path, monkeypatch, whole_records, lost):
    place = tmp_path / lost / "log"
    monkeypatch.setenv("DEFERREDSEG_LOG", str(place))
    if lost == "taken":
        place.parent.write_bytes(b"")
    else:
        place.mkdir(parents=True)
        monkeypatch.setattr(LogFile, "_open", raising(OSError(28, "No space left on device")))
    said = type_in(*planted(KeyError(TEXT)))
    assert said.code == DEFECT
    assert said.err.endswith("; it could not be logged, deferredseg --verbose shows where it happened\n")


def test_the_log_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    for setting, folder in (("DEFERREDSEG_LOG", log_folder), ("DEFERREDSEG_CONFIG", own_folder)):
        monkeypatch.setenv(setting, "~/x")
        assert folder() == tmp_path / "x"


def test_memory_that_runs_out_is_no_defect(type_in, planted, logged):
    said = type_in(*planted(MemoryError()))
    assert (said.code, said.err) == (
        6,
        "deferredseg: there is not enough memory for this: close other programs, or use a smaller image\n",
    )


def test_a_project_on_a_full_disk_is_one_line_and_leaves_nothing(type_in, tmp_path, monkeypatch, logged):
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "max_page_count=4"))
    said = type_in("project", "init", tmp_path / "p")
    assert said.code == 1
    assert "database or disk is full): its disk is full: free some space" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("begun", [True, False])
def test_a_training_that_is_interrupted_says_what_stays(type_in, tmp_path, monkeypatch, logged, begun):
    def train(*words, **options):
        if begun:
            (tmp_path / "m" / "work").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(learn, "train_model", train)
    said = type_in("train", "--data", tmp_path / "cases.json", "--out", tmp_path / "m")
    kept = f"what is done is kept in {tmp_path / 'm' / 'work'}: the same command goes on from there"
    assert said.code == 130
    assert said.err == f"deferredseg: interrupted; {kept if begun else 'nothing was left half done'}\n"
