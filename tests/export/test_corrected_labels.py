"""What is exported: the first mask where nobody corrected, the readers' labels where they are answerable."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import State, Verdict
from napari_deferredseg.usecases.export import export_cases, make_exporter
from napari_deferredseg.usecases.reading.defer import Target, defer_drawn
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_deferredseg.core.boxes import Box


@pytest.fixture
def session(scene) -> Iterator[Session]:
    """A session with the case open; nobody has said who they are."""
    made = Session()
    made.set_project(scene.open())
    key = made.project.store.cases()[0].key
    made.set_case(load_case(made.project, key))
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path_factory) -> Path:
    """An empty folder to export to."""
    return tmp_path_factory.mktemp("out")


def begin(session: Session, reader: str, number: int = 0):
    """Open the reader's region at this place of the worklist."""
    session.choose_reader(reader)
    item = session.worklist()[number]
    assert session.begin(item)
    return item


def draw_for(session: Session, reader: str, box: Box):
    drawn = np.zeros(session.case.labels.shape, bool)
    drawn[slices(box)] = True
    return defer_drawn(session.project, session.case, drawn, Target(reader=reader), "lea")


def begin_region(session: Session, reader: str, region) -> None:
    session.choose_reader(reader)
    assert session.begin(next(x for x in session.worklist() if x.region.id == region.id))


def paint(session: Session, box: Box, value: int) -> None:
    session.work[slices(box)] = value
    session.note_change(box)


def exported(session: Session, out: Path) -> np.ndarray:
    (done,) = export_cases(session.project, out)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(done.files[0])))


def provenance(out: Path) -> dict:
    (path,) = out.glob("*.provenance.json")
    return json.loads(path.read_text("utf-8"))


def test_nothing_corrected_on_an_oblique_grid(scene, session, folder):
    labels = exported(session, folder)
    (file,) = folder.glob("*.nii.gz")
    image, source = sitk.ReadImage(str(file)), sitk.ReadImage(str(scene.volume))
    np.testing.assert_array_equal(labels, sitk.GetArrayFromImage(sitk.ReadImage(str(scene.first))))
    assert image.GetSize() == source.GetSize()
    for of in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(image, of)(), getattr(source, of)(), rtol=0, atol=1e-6)
    assert (folder / f"{file.name.removesuffix('.nii.gz')}.labels.csv").read_text("utf-8").count("spleen") == 1


def test_the_paint_and_nothing_else_is_exported(session, folder):
    ai = np.array(session.case.labels)
    expected = ai.copy()
    for reader in ("ada", "ben"):
        region = begin(session, reader).region
        (z, _), (y, _), (x, _) = region.box
        box = ((z, z + 2), (y - 1, y + 3), (x, x + 3))  # partly outside of the region
        paint(session, box, 7)
        session.submit(Verdict.EDITED)
        expected[slices(box)] = 7
    labels = exported(session, folder)
    np.testing.assert_array_equal(labels, expected)
    support = np.zeros(ai.shape, bool)
    for correction in session.project.store.corrections():
        support[slices(correction.box)] |= correction.support
    assert np.any(labels != ai)
    np.testing.assert_array_equal(labels[~support], ai[~support])


def test_what_the_screen_shows_is_what_is_exported(session, folder):
    rng = np.random.default_rng(11)
    for reader in ("ada", "ben", "lea", "ben"):
        region = begin(session, reader).region
        for _ in range(3):
            box = tuple((lo + int(rng.integers(-2, 2)), hi + int(rng.integers(-1, 3))) for lo, hi in region.box)
            paint(session, box, int(rng.integers(0, 3)))
        session.submit(Verdict.EDITED if session.painted() else Verdict.ACCEPTED)
    np.testing.assert_array_equal(exported(session, folder), session.work)
    np.testing.assert_array_equal(session.work, load_case(session.project, session.case.record.key).composed)


def test_two_readers_on_overlapping_regions(session, folder):
    left, right = ((8, 10), (10, 20), (4, 10)), ((8, 10), (10, 20), (10, 16))
    a, b = draw_for(session, "ada", left), draw_for(session, "ben", right)
    ai = np.array(session.case.labels)

    begin_region(session, "ada", a)
    paint(session, ((8, 10), (10, 20), (4, 12)), 5)  # two columns into Ben's region
    session.submit(Verdict.EDITED)
    begin_region(session, "ben", b)
    assert (session.work[8:10, 10:20, 4:12] == 5).all(), "Ben does not see what Ada painted"
    paint(session, ((8, 10), (10, 20), (9, 12)), 6)  # one column into Ada's
    session.submit(Verdict.EDITED)

    expected = ai.copy()
    expected[8:10, 10:20, 4:10] = 5  # her region, her labels, though he came later
    expected[8:10, 10:20, 10:12] = 6
    np.testing.assert_array_equal(exported(session, folder), expected)
    lines = provenance(folder)["corrections"]
    assert [line["reader"] for line in lines] == ["ada", "ben"]
    assert [line["changed_voxels"] for line in lines] == [2 * 10 * 8, 2 * 10 * 3]


def test_an_accepted_region_keeps_a_neighbour_out(session, folder):
    region = draw_for(session, "ada", ((8, 10), (10, 20), (4, 10)))
    near = draw_for(session, "ben", ((8, 10), (10, 20), (11, 15)))
    ai = np.array(session.case.labels)
    begin_region(session, "ada", region)
    session.submit(Verdict.ACCEPTED)
    begin_region(session, "ben", near)
    paint(session, ((8, 10), (10, 20), (8, 15)), 9)
    session.submit(Verdict.EDITED)
    expected = ai.copy()
    expected[8:10, 10:20, 10:15] = 9
    np.testing.assert_array_equal(exported(session, folder), expected)


def test_an_amended_correction_replaces_the_first(session, folder):
    ai = np.array(session.case.labels)
    item = begin(session, "ada")
    (z, _), (y, _), (x, _) = item.region.box
    first, second = ((z, z + 1), (y, y + 2), (x, x + 2)), ((z, z + 1), (y + 2, y + 4), (x, x + 2))
    paint(session, first, 7)
    old = session.submit(Verdict.EDITED)

    session.amend_last()
    assert (session.work[slices(first)] == 7).all(), "the earlier work is not there to go on from"
    session.work[slices(first)] = ai[slices(first)]
    session.note_change(first)
    paint(session, second, 8)
    new = session.submit(Verdict.EDITED)
    assert new.supersedes == old.id

    expected = ai.copy()
    expected[slices(second)] = 8
    np.testing.assert_array_equal(exported(session, folder), expected)
    (line,) = provenance(folder)["corrections"]
    assert (line["id"], line["supersedes"], line["verdict"]) == (new.id, old.id, "edited")
    assert [c.id for c in session.project.store.history(item.region.id)] == [old.id, new.id]


def test_amended_to_accepted_brings_the_first_mask_back(session, folder):
    ai = np.array(session.case.labels)
    item = begin(session, "ben")
    paint(session, item.region.box, 3)
    session.submit(Verdict.EDITED)
    session.amend_last()
    index, values = session.reset_to_ai()
    session.work[index] = values
    session.note_change(item.region.box)
    session.submit(Verdict.ACCEPTED)
    np.testing.assert_array_equal(exported(session, folder), ai)


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.INDETERMINATE, Verdict.POINTLESS])
def test_a_verdict_without_paint_changes_no_label(session, folder, verdict):
    region = begin(session, "lea").region
    session.reading.note = "artefact"
    session.submit(verdict)
    np.testing.assert_array_equal(exported(session, folder), session.case.labels)
    (line,) = provenance(folder)["corrections"]
    assert (line["verdict"], line["changed_voxels"], line["note"]) == (verdict, 0, "artefact")
    assert line["region"] == region.id


def test_provenance_names_image_model_and_who_did_what_when(session, folder):
    region = begin(session, "ada").region
    paint(session, region.box, 7)
    correction = session.submit(Verdict.EDITED)
    (done,) = export_cases(session.project, folder)
    assert (done.corrections, done.waiting) == (1, len(session.project.store.items()) - 1)
    case, prediction = session.case.record, session.case.prediction
    facts = provenance(folder)
    assert facts["voxel_hash"] == case.voxel_hash
    assert (facts["case"], facts["model"]) == (case.key, "external:labels")
    assert facts["prediction"] == prediction.id
    assert facts["settings"]["budget"] == 0.1
    assert facts["regions"] == len(session.project.store.items())
    (line,) = facts["corrections"]
    assert (line["reader"], line["region"], line["model"]) == ("ada", region.id, "external:labels")
    assert line["started"] <= line["submitted"] == correction.submitted.isoformat()
    assert line["box_zyx"] == [list(span) for span in correction.box]


def test_a_second_export_replaces_the_first(session, folder):
    before = exported(session, folder)
    region = begin(session, "ben").region
    paint(session, region.box, 9)
    session.submit(Verdict.EDITED)
    after = exported(session, folder)
    assert (after[slices(region.box)] == 9).all()
    assert not (before == 9).any()
    assert sorted(p.suffix for p in folder.iterdir() if p.name != "receipt.json") == [".csv", ".gz", ".json"]


@pytest.mark.parametrize("name", [".nii.gz", ".labels.csv", ".provenance.json"])
def test_somebody_elses_file_is_not_overwritten(session, folder, name):
    theirs = folder / f"{session.case.record.key}{name}"
    theirs.write_bytes(b"mine")
    with pytest.raises(InputError, match="no export of this case"):
        export_cases(session.project, folder)
    assert [p.read_bytes() for p in folder.iterdir()] == [b"mine"]


def test_an_export_of_another_project_is_not_overwritten(session, folder):
    export_cases(session.project, folder)
    (path,) = folder.glob("*.provenance.json")
    path.write_text(path.read_text("utf-8").replace(session.case.record.voxel_hash, "0" * 32), "utf-8")
    mask = next(folder.glob("*.nii.gz")).read_bytes()
    with pytest.raises(InputError, match="another folder"):
        export_cases(session.project, folder)
    assert next(folder.glob("*.nii.gz")).read_bytes() == mask


def test_a_file_in_the_way(session, folder):
    (folder / "file").write_bytes(b"")
    for out in (folder / "file", folder / "file" / "below"):
        with pytest.raises(InputError, match="file"):
            export_cases(session.project, out)
    assert [p.name for p in folder.iterdir()] == ["file"]


@pytest.mark.parametrize(("moment", "kept"), [("exporting", True), ("done", False)])
def test_an_interrupted_export_leaves_whole_files(session, folder, moment, kept):
    exported(session, folder)
    old = {p.name: p.read_bytes() for p in folder.iterdir()}
    paint(session, begin(session, "ada").region.box, 4)
    session.submit(Verdict.EDITED)

    def stop(share: float, doing: str) -> None:
        if doing.startswith(moment):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_cases(session.project, folder, progress=stop)
    new = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert new.keys() == old.keys()
    assert (new == old) == kept


def test_skipped_and_declined_regions_wait(session, folder):
    begin(session, "ben")
    session.skip()
    begin(session, "lea")
    session.decline("not my field")
    (done,) = export_cases(session.project, folder)
    states = [item.assignment.state for item in session.project.store.items()]
    assert {State.SKIPPED, State.DECLINED} < set(states)
    assert (done.corrections, done.waiting) == (0, len(states))


def test_a_crop_needs_more_room_than_the_mask_had(session, folder):
    """A label over 255 on a mask of uint8 widens the export instead of wrapping round."""
    region = begin(session, "ada").region
    assert session.work.dtype == np.uint8
    session.work = session.reading.work = session.work.astype(np.uint16)
    paint(session, region.box, 300)
    session.submit(Verdict.EDITED)
    labels = exported(session, folder)
    assert labels.dtype == np.uint16
    assert (labels[slices(region.box)] == 300).all()


@pytest.mark.parametrize("form", ["nifti", "nnunet", "monai"])
def test_no_file_of_an_export_says_where_anything_was_read_from(unread, folder, form):
    hidden = ("van_der_berg", "jan_1949", "jan_first", "jan_second")
    home = unread.root / hidden[0]
    home.mkdir()
    for path, name in zip((unread.volume, unread.first, unread.second), hidden[1:], strict=True):
        path.rename(home / f"{name}.nii.gz")
    (unread.root / "first.labels.csv").rename(home / "jan_first.labels.csv")
    files = ExternalInput(home / "jan_1949.nii.gz", (home / "jan_first.nii.gz", home / "jan_second.nii.gz"))
    with unread.open() as project:
        run_external(project, files)
        export_cases(project, folder / "plain", make_exporter(form))
        export_cases(project, folder / "named", make_exporter(form, with_sources=True))
    assert not [name for name in hidden if name in everything_in(folder / "plain")]
    named = everything_in(folder / "named")
    assert all(name in named for name in hidden)
    assert '"source": "../van_der_berg/jan_1949.nii.gz"' in named


def everything_in(folder: Path) -> str:
    """Names and contents of all files, unpacked."""
    texts = []
    for path in (x for x in folder.rglob("*") if x.is_file()):
        stored = path.read_bytes()
        unpacked = gzip.decompress(stored) if path.suffix == ".gz" else b""
        texts.append(f"{path.relative_to(folder)}\n{(stored + unpacked).decode('latin-1')}")
    return "\n".join(texts)
