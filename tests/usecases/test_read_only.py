"""A project on media that cannot be written is listed and verified; what would change it is refused in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.store import arrays
from napari_deferredseg.usecases.project import DATABASE, open_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.record.verify import verify_project
from napari_deferredseg.usecases.running import run
from napari_deferredseg.usecases.running.models import add_model
from napari_deferredseg.usecases.running.predict import ModelInput


@pytest.fixture
def burnt(scene, monkeypatch) -> Iterator[Path]:
    """The scene's project as it is on a disc: nothing in it may change, not even by the superuser."""
    folder = scene.folder
    access = os.access

    def on_a_disc(path, mode, **more) -> bool:
        return not (mode & os.W_OK and str(path).startswith(str(folder))) and access(path, mode, **more)

    monkeypatch.setattr(os, "access", on_a_disc)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_listed_and_verified(scene, burnt):
    before = contents(burnt)
    with open_project(burnt) as project:
        assert project.store.reads_only
        assert len(project.store.items()) > 3
        assert project.store.worklist("ben")
        assert [r.login for r in project.store.readers()] == ["ada", "ben", "lea"]
        assert load_case(project, project.store.cases()[0].key).composed.any()
        assert verify_project(project).problems == ()
    assert contents(burnt) == before


def test_what_would_change_it_is_one_line(scene, burnt):
    before = contents(burnt)
    with open_project(burnt) as project:
        item = project.store.worklist("ben")[0]
        for change in (
            lambda: project.store.claim(item.region.id, "ben"),
            lambda: project.store.skip(item.region.id, "ben"),
            lambda: project.store.assign(item.region.id, reader="ada", group=None, by="lea"),
        ):
            with pytest.raises(NotAllowed, match=r"project\.sqlite cannot be used now .*only read: copy") as caught:
                change()
            assert "\n" not in str(caught.value)
    assert contents(burnt) == before


def test_a_run_and_a_models_copy_are_refused_before_any_work(scene, burnt, tmp_path, monkeypatch):
    def work(*_, **__):
        raise AssertionError("it has begun")

    for place in ("predict_external", "predict_with_model", "describe_model"):
        monkeypatch.setattr(run, place, work)
    nowhere = ModelInput(volume=scene.volume, model=tmp_path)
    with open_project(burnt) as project:
        for change in (
            lambda: run.run_external(project, scene.files),
            lambda: run.run_model(project, nowhere, runner=None),
            lambda: add_model(project, tmp_path),
        ):
            with pytest.raises(NotAllowed, match="cannot be written here, only read: copy the project"):
                change()


def test_a_run_is_refused_before_any_work_where_only_its_arrays_cannot_be_written(scene, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **more: Path(path).name != "predictions" and access(path, mode, **more)
    )
    monkeypatch.setattr(run, "predict_external", None)
    with open_project(scene.folder) as project, pytest.raises(NotAllowed, match="predictions cannot be written: "):
        run.run_external(project, scene.files)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "; free some space"),
        (errno.EACCES, "may write$"),
        (errno.EROFS, "may write$"),
        (errno.EIO, "disk"),
    ],
)
def test_what_cannot_be_written_has_its_own_remedy(scene, monkeypatch, number, words):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(arrays, "private_folder", fail)
    with open_project(scene.folder) as project:
        labels, alternative, defer = project.predictions.load(project.store.predictions()[0].id)
        with pytest.raises(InputError, match=rf"{os.strerror(number)}.*{words}"):
            project.predictions.save("another", labels, alternative, defer)


def test_one_that_was_copied_in_the_middle_of_a_write_is_refused(scene, burnt):
    log = burnt / f"{DATABASE}-wal"
    burnt.chmod(0o755)
    log.write_bytes(b"something")
    with pytest.raises(InputError, match="was copied while somebody wrote to it"):
        open_project(burnt)
    log.unlink()
