"""Projects as folders: made whole or not at all, opened only where they are sound and on a local disk."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.usecases import project as module
from napari_deferredseg.usecases.project import Mount, init_project, network_kind, open_project
from napari_deferredseg.usecases.reading.open_case import load_case

HERE = Mount("/", "ext4", "rw,relatime")
WINDOWS = [Mount("C:\\", "NTFS", "rw,fixed"), Mount("H:\\", "NTFS", "rw,remote"), Mount("M:\\", "", "rw,remote")]
PLACES = [
    ("/home/ada/p", [HERE], None),
    ("/mnt/reads/p", [HERE, Mount("/mnt/reads", "nfs4", "rw,vers=4.2")], "nfs4"),
    ("/mnt/reads2/p", [HERE, Mount("/mnt/reads", "nfs4", "rw")], None),
    ("/mnt/reads", [HERE, Mount("/mnt/reads", "cifs", "rw")], "cifs"),
    ("/mnt/reads/scratch/p", [HERE, Mount("/mnt/reads", "nfs", ""), Mount("/mnt/reads/scratch", "xfs", "")], None),
    ("/mnt/reads/scratch/p", [Mount("/mnt/reads/scratch", "xfs", ""), Mount("/mnt/reads", "nfs", ""), HERE], None),
    ("/data/p", [HERE, Mount("/data", "xfs", ""), Mount("/data/deep", "nfs", "")], None),
    ("/home/ada/p", [Mount("/", "nfs", "ro"), Mount("/home", "tmpfs", "")], None),
    ("/srv/p", [Mount("/", "CIFS", "rw")], "CIFS"),
    ("/media/host/p", [HERE, Mount("/media/host", "9p", "rw")], "9p"),
    ("/media/host/p", [HERE, Mount("/media/host", "fuse.sshfs", "rw")], "fuse.sshfs"),
    ("/media/key/p", [HERE, Mount("/media/key", "fuseblk", "rw")], None),
    ("/Volumes/Reads/p", [Mount("/", "apfs", "rw"), Mount("/Volumes/Reads", "smbfs", "rw")], "smbfs"),
    ("/anywhere/p", [], None),
    ("C:\\Users\\Ada\\p", WINDOWS, None),
    ("H:\\reads\\p", WINDOWS, "NTFS"),
    ("h:\\reads\\p", WINDOWS, "NTFS"),
    ("M:\\reads\\p", WINDOWS, "network drive"),
    ("\\\\server\\reads\\p", WINDOWS, "UNC path"),
    ("\\\\server\\reads\\p", [], "UNC path"),
    ("//server/reads/p", WINDOWS, "UNC path"),
    ("Z:\\p", WINDOWS, None),
]


@pytest.mark.parametrize(("folder", "mounts", "kind"), PLACES)
def test_network_shares_are_told_from_local_disks(folder, mounts, kind):
    on_windows = "\\" in folder or folder.startswith("//")
    path = PureWindowsPath(folder) if on_windows else PurePosixPath(folder)
    assert network_kind(path, mounts) == kind  # type: ignore[arg-type]


def test_a_project_on_a_share_is_neither_made_nor_opened(unread, monkeypatch, tmp_path):
    share = Mount(str(tmp_path), "nfs4", "rw")

    class Disks:
        @staticmethod
        def disk_partitions(all: bool) -> list[object]:  # noqa: A002
            return [type("Partition", (), {**share._asdict(), "device": "server:/reads"})]

    monkeypatch.setattr(module, "psutil", Disks)
    for attempt in (lambda: init_project(tmp_path / "new"), lambda: open_project(unread.folder)):
        with pytest.raises(InputError, match=r"network share \(nfs4\).*local disk"):
            attempt()
    assert not (tmp_path / "new").exists()


def test_a_new_project_is_whole(tmp_path):
    with init_project(tmp_path / "a" / "b", "Study 7") as made:
        assert made.info.name == "Study 7"
        assert len(made.key) == 32
        assert made.store.readers() == []
    with init_project(tmp_path / "c") as other, open_project(tmp_path / "a" / "b") as again:
        assert again.info == made.info
        assert other.info.name == "c"
        assert other.key != again.key
        assert other.info.id != again.info.id


def test_an_empty_folder_will_do(tmp_path):
    (tmp_path / "p").mkdir()
    init_project(tmp_path / "p").close()
    open_project(tmp_path / "p").close()


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_project_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch, error, existed):
    folder = tmp_path / "p"
    if existed:
        folder.mkdir()

    def full(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        init_project(folder)
    assert [p.name for p in tmp_path.rglob("*")] == (["p"] if existed else [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "newer version"),
        ({"format": 99, "shards": ["a"], "hash_key": None}, "newer version"),
        ({"format": "x"}, "damaged"),
        ({"hash_key": ""}, "damaged"),
        ({"hash_key": "0" * 63}, "damaged"),
        ({"name": None}, "damaged"),
        ({"unknown": 1}, "damaged"),
    ],
)
def test_a_changed_project_file(unread, change, message):
    file = unread.folder / "project.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(Damaged if message == "damaged" else InputError, match=message) as caught:
        open_project(unread.folder)
    assert str(unread.folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_files_are_found_again_when_project_and_images_move_together(scene, tmp_path):
    moved = scene.root.rename(tmp_path / "elsewhere")
    with open_project(moved / "project") as project:
        (case,) = project.store.cases()
        assert case.source == "../ct.nii.gz"
        assert load_case(project, case.key).volume.source == str((moved / "ct.nii.gz").resolve())
