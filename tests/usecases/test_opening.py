"""A case opens only on the very image it was made from."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.records import Verdict, new_id
from napari_deferredseg.usecases.reading.open_case import load_case, load_images
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.run import run_external


def changed(scene, change) -> None:
    image = sitk.ReadImage(str(scene.volume))
    changed = change(image)
    sitk.WriteImage(image if changed is None else changed, str(scene.volume))


def one_voxel(image: sitk.Image) -> None:
    image[5, 6, 7] = image[5, 6, 7] + 1


def flipped(image: sitk.Image) -> sitk.Image:
    array = sitk.GetArrayFromImage(image)[:, :, ::-1].copy()
    made = sitk.GetImageFromArray(array)
    made.CopyInformation(image)
    return made


def moved(image: sitk.Image) -> None:
    image.SetOrigin([x + 0.01 for x in image.GetOrigin()])


def other_spacing(image: sitk.Image) -> None:
    image.SetSpacing([x * 1.01 for x in image.GetSpacing()])


def mirrored(image: sitk.Image) -> None:
    image.SetDirection([-x if i % 3 == 0 else x for i, x in enumerate(image.GetDirection())])


def floats(image: sitk.Image) -> sitk.Image:
    return sitk.Cast(image, sitk.sitkFloat32)


CHANGES = [one_voxel, flipped, moved, other_spacing, mirrored, floats]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_another_image_under_the_same_name_is_refused(scene, change):
    changed(scene, change)
    with scene.open() as project:
        (case,) = project.store.cases()
        with pytest.raises(Damaged, match=r"ct\.nii\.gz is no longer the image .* put the original back"):
            load_case(project, case.key)


def test_the_same_image_written_again_is_the_same(scene):
    changed(scene, lambda image: None)
    with scene.open() as project:
        load_case(project, project.store.cases()[0].key)


@pytest.mark.parametrize("how", ["gone", "empty", "a folder", "words"])
def test_an_image_that_cannot_be_read_is_one_line(scene, how):
    scene.volume.unlink()
    if how == "a folder":
        scene.volume.mkdir()
    elif how != "gone":
        scene.volume.write_bytes(b"" if how == "empty" else b"hello " * 99)
    with scene.open() as project:
        (case,) = project.store.cases()
        with pytest.raises(InputError, match=r"ct\.nii\.gz") as caught:
            load_case(project, case.key)
    assert len(str(caught.value).splitlines()) == 1


def test_a_correction_for_another_image_is_refused_by_the_store(scene):
    """Two images in one project: what is painted on one cannot be sent to the other's region."""
    first = scene.root / "first_ct.nii.gz"
    shutil.copy(scene.volume, first)
    changed(scene, one_voxel)
    session = Session()
    project = scene.open()
    shutil.move(scene.volume, scene.root / "second_ct.nii.gz")
    shutil.move(first, scene.volume)
    run_external(project, replace(scene.files, volume=scene.root / "second_ct.nii.gz"))
    a, b = project.store.cases()
    session.set_project(project)
    session.set_case(load_case(project, a.key))
    session.choose_reader("ben")
    other = next(x for x in session.worklist() if x.case.key == b.key)
    with pytest.raises(InputError, match="is not open"):
        session.begin(other)
    mine = next(x for x in session.worklist() if x.case.key == a.key)
    assert session.begin(mine)
    session.work[tuple(slice(lo, hi) for lo, hi in mine.region.box)] = 9
    session.note_change(mine.region.box)
    correction = session.submit(Verdict.EDITED)
    stray = replace(correction, id=new_id(), region_id=other.region.id, case_key=b.key)
    with pytest.raises(InputError):
        project.store.submit(stray)
    assert project.store.corrections(case_key=b.key) == []
    np.testing.assert_array_equal(load_case(project, b.key).composed, load_case(project, b.key).labels)
    session.close()


@pytest.mark.parametrize("name", ["labels", "alternative", "defer"])
@pytest.mark.parametrize("change", ["a bit", "all zero"])
def test_a_changed_array_is_one_line(scene, name, change):
    (path,) = scene.folder.glob(f"predictions/*/{name}.npy")
    array = np.load(path)
    if change == "all zero":
        array[:] = 0
    else:
        array.ravel().view(np.uint8)[1000] ^= 1
    np.save(path, array)
    with scene.open() as project, pytest.raises(Damaged, match=rf"{name}\.npy is damaged"):
        load_case(project, project.store.cases()[0].key)


def test_an_unknown_case(scene):
    with scene.open() as project, pytest.raises(InputError, match="known cases: case-"):
        load_case(project, "case-0")


def test_a_run_from_where_the_image_is_now_finds_it_again(scene):
    there = scene.volume.parent / "archive"
    there.mkdir()
    moved_to = shutil.move(scene.volume, there / scene.volume.name)
    with scene.open() as project:
        (case,) = project.store.cases()
        with pytest.raises(InputError, match="run again from where it is now"):
            load_case(project, case.key)
        report = run_external(project, replace(scene.files, volume=moved_to))
        assert report.case.key == case.key
        assert load_case(project, case.key).record.source == project.relative(moved_to)


def test_images_read_before_show_the_case_as_it_stands_now(scene):
    with scene.open() as project:
        (case,) = project.store.cases()
        ready = load_images(project, case.key)
        submit_something(project, case.key)
        opened = load_case(project, case.key, ready=ready)
        assert opened.volume is ready.volume
        assert len(opened.corrections) == 1
        assert (opened.composed == 9).any()
        np.testing.assert_array_equal(opened.labels, ready.labels)


def test_images_of_an_earlier_run_or_another_case_are_read_again(scene):
    with scene.open() as project:
        (case,) = project.store.cases()
        ready = load_images(project, case.key)
        run_external(project, replace(scene.files, labels=scene.files.labels[::-1]))
        opened = load_case(project, case.key, ready=ready)
        assert opened.prediction == project.store.prediction(case.key)
        assert opened.prediction != ready.prediction
        assert (opened.labels != ready.labels).any()


def submit_something(project, key: str) -> None:
    session = Session()
    session.set_project(project)
    session.set_case(load_case(project, key))
    session.choose_reader("ben")
    item = session.worklist()[0]
    assert session.begin(item)
    session.work[tuple(slice(lo, hi) for lo, hi in item.region.box)] = 9
    session.note_change(item.region.box)
    session.submit(Verdict.EDITED)
