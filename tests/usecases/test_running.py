"""Running an external AI: what is kept, what is refused, that a refused or cancelled run leaves no trace."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import Reader, State, Verdict
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.usecases.demo import READERS, make_demo
from napari_deferredseg.usecases.export import export_cases
from napari_deferredseg.usecases.project import init_project, open_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external

TWO_REGIONS = Budget(amount=2, unit="regions")


def tree(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith(("-wal", "-shm"))
    }


def like(path: Path, source: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sitk.ReadImage(str(source)))
    sitk.WriteImage(image, str(path))
    return path


def test_a_run_gives_every_region_to_somebody(unread):
    with unread.open() as project:
        report = run_external(project, unread.files)
        items = project.store.items()
    assert report.new
    assert len(report.regions) == len(items) >= 4
    assert {item.region.id: item.assignment.reader for item in items} == {
        a.region_id: a.reader for a in report.assignments
    }
    assert 0 < report.realised_share <= 0.1
    first, second = (sitk.GetArrayFromImage(sitk.ReadImage(str(x))) for x in (unread.first, unread.second))
    for region in report.regions:
        inside = tuple(slice(lo, hi) for lo, hi in region.box)
        assert (first != second)[inside][region.mask].any()


def test_the_same_run_again_reports_what_is_there(scene):
    with scene.open() as project:
        before = project.store.items()
        project.store.add_reader(Reader(login="zoe", name="Zoe", capacity=600))
        report = run_external(project, scene.files)
        after = project.store.items()
    assert not report.new
    assert [x.assignment for x in after] == [x.assignment for x in before]
    assert [a.region_id for a in report.assignments] == [x.region.id for x in before]
    assert "zoe" not in {a.reader for a in report.assignments}


def test_going_back_to_an_earlier_budget_is_a_new_run(scene):
    with scene.open() as project:
        first = [x.region.box for x in project.store.items()]
        assert run_external(project, scene.files, TWO_REGIONS).new
        assert len(project.store.items()) == 2
        back = run_external(project, scene.files)
        assert back.new
        assert sorted(x.region.box for x in project.store.items()) == sorted(first)
        assert not run_external(project, scene.files).new
        assert len(project.store.cases()) == 1


def test_one_image_is_one_case_wherever_it_lies(scene, tmp_path):
    copy = tmp_path / "copy.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(scene.volume)), str(copy))
    with scene.open() as project:
        report = run_external(project, replace(scene.files, volume=copy), TWO_REGIONS)
        assert [case.key for case in project.store.cases()] == [report.case.key]


def reoriented(path: Path, axes: str) -> Path:
    """Same voxels stored along other axes."""
    one = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(one.affine), nib.orientations.axcodes2ornt(axes))
    other = path.with_name(f"{axes}_{path.name}")
    nib.save(one.as_reoriented(turn), other)
    return other


def test_masks_stored_along_other_axes_give_the_same_run_and_say_so(scene):
    turned = tuple(reoriented(path, axes) for path, axes in ((scene.first, "RAS"), (scene.second, "SLA")))
    for path in turned:
        shutil.copy(scene.root / "first.labels.csv", path.with_name(f"{path.name.removesuffix('.nii.gz')}.labels.csv"))
    with scene.open() as project:
        report = run_external(project, replace(scene.files, labels=turned))
    assert not report.new
    assert [note for note in report.cautions if "in another order" in note] == [
        note
        for path in turned
        for note in report.cautions
        if note.startswith(f"{path}: holds the voxels of {scene.volume}")
    ]
    assert len(report.cautions) >= 2


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (3, 4)])
def test_a_scan_with_two_forms_is_run_and_its_mask_lies_where_it_lies_for_everybody(unread, codes):
    files = []
    for path in (unread.volume, unread.first, unread.second):
        image = nib.load(path)
        image.header["qoffset_x"] += 30
        image.header["qform_code"], image.header["sform_code"] = codes
        other = path.with_name(f"moved_{path.name}")
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), other)
        files.append(other)
    with unread.open() as project:
        report = run_external(project, replace(unread.files, volume=files[0], labels=tuple(files[1:])))
        mask = export_cases(project, unread.root / "out")[0].files[0]
    assert any("qform" in note and "sform was taken" in note for note in report.cautions)
    np.testing.assert_allclose(report.case.geometry.affine(), read_volume(unread.volume).geometry.affine(), atol=1e-4)
    np.testing.assert_allclose(nib.load(mask).affine, nib.load(files[0]).affine, atol=1e-4)
    scan_of_itk, mask_of_itk = (sitk.ReadImage(str(path)) for path in (files[0], mask))
    corner = tuple(n - 1 for n in scan_of_itk.GetSize())
    for index in ((0, 0, 0), corner):
        np.testing.assert_allclose(
            mask_of_itk.TransformIndexToPhysicalPoint(index),
            scan_of_itk.TransformIndexToPhysicalPoint(index),
            atol=1e-4,
        )


def test_names_that_are_not_utf_8_are_kept_and_found_again(unread):
    folder = unread.root / os.fsdecode(b"M\xfcller")
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names only")
    for path in (unread.volume, unread.first, unread.second):
        shutil.move(path, folder / path.name)
    files = ExternalInput(folder / unread.volume.name, (folder / unread.first.name, folder / unread.second.name))
    with unread.open() as project:
        report = run_external(project, files)
        key = report.case.key
    with unread.open() as project:
        record = project.store.case(key)
        record.source.encode()
        assert project.absolute(record.source) == files.volume.resolve()
        np.testing.assert_array_equal(load_case(project, key).volume.array, read_volume(files.volume).array)
        exported = export_cases(project, folder / "out")
        assert exported[0].files[0].is_file()
    shutil.copytree(unread.folder, folder / "project")
    with pytest.raises(InputError, match="its name is not UTF-8"):
        open_project(folder / "project")
    with pytest.raises(InputError, match="its name is not UTF-8"):
        init_project(folder / "new")


def test_two_images_are_two_cases_and_desks_are_minded(scene):
    other = like(scene.root / "other.nii.gz", scene.volume, np.zeros((24, 40, 44), np.int16))
    with scene.open() as project:
        run_external(project, replace(scene.files, volume=other))
        items = project.store.items()
        shares = [
            sum(x.region.minutes for x in items if x.assignment.reader == reader.login) / reader.capacity
            for reader in project.store.readers()
        ]
        assert len(project.store.cases()) == 2
    assert max(shares) - min(shares) < 0.08


@pytest.mark.parametrize(
    ("value", "remark"), [(0, "the AI's mask is empty and nothing speaks against it"), (1, "given twice")]
)
def test_masks_that_agree_leave_nothing_to_review(unread, value, remark):
    array = np.zeros((24, 40, 44), np.uint8)
    array[5:9, 5:20, 5:20] = value
    masks = tuple(like(unread.root / f"{name}.nii.gz", unread.volume, array) for name in "ab")
    with unread.open() as project:
        report = run_external(project, replace(unread.files, labels=masks))
        assert (report.regions, report.assignments, report.realised_share) == ((), (), 0)
        assert remark in report.account
        assert load_case(project, report.case.key).labels.max() == value
        again = run_external(project, replace(unread.files, labels=masks))
        assert not again.new
        assert remark in again.account


def test_a_budget_too_small_for_any_region_says_so(unread):
    with unread.open() as project:
        report = run_external(project, unread.files, Budget(amount=1e-6, unit="voxels"))
    assert not report.regions
    assert "budget has no room" in report.account


def test_a_run_over_a_region_that_is_being_read_is_refused_whole(scene):
    with scene.open() as project:
        item = project.store.items()[0]
        assert project.store.claim(item.region.id, item.assignment.reader)
    before = tree(scene.folder)
    with scene.open() as project, pytest.raises(Busy, match=r"is reading .* submitted or left first"):
        run_external(project, scene.files, TWO_REGIONS)
    assert tree(scene.folder) == before


def test_work_done_survives_another_run(scene):
    session = Session()
    session.set_project(scene.open())
    session.set_case(load_case(session.project, session.project.store.cases()[0].key))
    session.choose_reader("ben")
    item = session.worklist()[0]
    session.begin(item)
    box = item.region.box
    session.work[slices(box)] = 2 if (session.work[slices(box)] != 2).any() else 1
    session.note_change(box)
    session.submit(Verdict.EDITED)
    shown = session.work.copy()
    project = session.project
    run_external(project, scene.files, TWO_REGIONS)
    case = load_case(project, project.store.cases()[0].key)
    np.testing.assert_array_equal(case.composed, shown)
    assert {x.assignment.state for x in project.store.items()} == {State.OPEN}
    session.close()


STAGES = ("reading the volume", "reading the masks", "making regions", "assigning readers", "saving")


@pytest.mark.parametrize("stage", STAGES)
def test_a_cancelled_run_leaves_no_trace(unread, stage):
    before = tree(unread.folder)

    def stop(share: float, doing: str) -> None:
        if doing == stage:
            raise KeyboardInterrupt

    with unread.open() as project, pytest.raises(KeyboardInterrupt):
        run_external(project, unread.files, progress=stop)
    assert tree(unread.folder) == before


def test_cancelled_after_it_was_kept_it_is_kept_whole(unread):
    def stop(share: float, doing: str) -> None:
        if doing == "done":
            raise KeyboardInterrupt

    with unread.open() as project:
        with pytest.raises(KeyboardInterrupt):
            run_external(project, unread.files, progress=stop)
        assert not run_external(project, unread.files).new
        assert load_case(project, project.store.cases()[0].key).labels.any()


def test_progress_only_grows(unread):
    shares: list[float] = []
    with unread.open() as project:
        run_external(project, unread.files, progress=lambda share, doing: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_an_image_that_does_not_say_how_it_lies_waits_for_somebody_to_check(unread):
    for path in (unread.volume, unread.first, unread.second):
        plain = path.with_name(path.name.removesuffix(".gz"))
        sitk.WriteImage(sitk.ReadImage(str(path)), str(plain))
        content = bytearray(plain.read_bytes())
        content[252:256] = bytes(4)  # qform_code and sform_code
        plain.write_bytes(content)
    plain = {name: unread.root / f"{name}.nii" for name in ("ct", "first", "second")}
    files = replace(unread.files, volume=plain["ct"], labels=(plain["first"], plain["second"]))
    before = tree(unread.folder)
    with unread.open() as project:
        with pytest.raises(InputError, match="left and right may be swapped"):
            run_external(project, files)
        assert tree(unread.folder) == before
        report = run_external(project, replace(files, orientation_checked=True))
        assert report.regions
        assert not report.case.geometry.orientation_known


@pytest.mark.parametrize("flip", ["moved", "turned", "smaller"])
def test_masks_on_another_grid_are_refused(unread, flip):
    image = sitk.ReadImage(str(unread.second))
    if flip == "moved":
        image.SetOrigin([x + 0.5 for x in image.GetOrigin()])
    elif flip == "turned":
        image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    else:
        image = image[1:]
    other = unread.root / "other.nii.gz"
    sitk.WriteImage(image, str(other))
    before = tree(unread.folder)
    with unread.open() as project, pytest.raises(InputError, match=r"other\.nii\.gz: is not on the grid of .*ct\.nii"):
        run_external(project, replace(unread.files, labels=(unread.first, other)))
    assert tree(unread.folder) == before


def test_a_mask_is_no_image(unread):
    copy = unread.root / "copy.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(unread.second)), str(copy))
    before = tree(unread.folder)
    with unread.open() as project, pytest.raises(InputError, match=r"copy\.nii\.gz holds the very voxels of the mask"):
        run_external(project, replace(unread.files, volume=copy))
    assert tree(unread.folder) == before


def test_nobody_to_read(unread, tmp_path):
    with init_project(tmp_path / "empty") as project, pytest.raises(InputError, match="no readers yet; add") as none:
        run_external(project, unread.files)
    assert none.value.command == "deferredseg reader add"
    with init_project(tmp_path / "admin") as project:
        project.store.add_reader(Reader(login="root", name="Root", role="admin", capacity=0))
        with pytest.raises(InputError, match="no readers yet: Root has 0 minutes a day"):
            run_external(project, unread.files, by="root")
        assert project.store.cases() == []
    assert not (tmp_path / "admin" / "predictions").exists()


def test_the_demo_is_a_project_with_work_for_everybody(tmp_path):
    report = make_demo(tmp_path / "demo", seed=3)
    with open_project(tmp_path / "demo") as project:
        assert [r.login for r in project.store.readers()] == [r.login for r in READERS]
        for reader in READERS:
            assert project.store.worklist(reader.login)
        names = {report.prediction.table.name(v) for region in report.regions for v in region.labels}
        assert "liver" in names
        load_case(project, report.case.key)
    with pytest.raises(InputError, match="not empty"):
        make_demo(tmp_path / "demo")


def test_the_demo_is_the_same_for_the_same_seed(tmp_path):
    a, b = (make_demo(tmp_path / name, seed=3) for name in "ab")
    assert [r.box for r in a.regions] == [r.box for r in b.regions]
    assert [x.reader for x in a.assignments] != []
    assert a.prediction.labels_hash == b.prediction.labels_hash
