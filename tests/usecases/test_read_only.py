"""A project on media that cannot be written is listed and verified; what would change it is refused in one line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.open_case import load_case
from napari_deferredseg.usecases.project import DATABASE, open_project
from napari_deferredseg.usecases.verify import verify_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def burnt(scene, monkeypatch) -> Path:
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
            with pytest.raises(InputError, match=r"project\.sqlite cannot be used now .*only read: copy") as caught:
                change()
            assert "\n" not in str(caught.value)
    assert contents(burnt) == before


def test_one_that_was_copied_in_the_middle_of_a_write_is_refused(scene, burnt):
    log = burnt / f"{DATABASE}-wal"
    burnt.chmod(0o755)
    log.write_bytes(b"something")
    with pytest.raises(InputError, match="was copied while somebody wrote to it"):
        open_project(burnt)
    log.unlink()
