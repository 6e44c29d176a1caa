"""File names that are not UTF-8, as old shares and archives have them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Label, LabelTable, Volume
from napari_deferredseg.io.images import read_labels, read_probabilities, read_volume, write_labels, write_volume
from napari_deferredseg.io.plain_names import is_plain

LATIN = os.fsdecode(b"M\xfcller")
GRID = Geometry(shape=(3, 4, 5), spacing=(0.7, 0.8, 2.5), origin=(1, 2, 3))
VOXELS = np.arange(60, dtype=np.uint8).reshape(GRID.shape)
TABLE = LabelTable(labels=(Label(value=7, name="liver", color=(1, 2, 3)),))


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    try:
        (tmp_path / LATIN).mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names only")
    return tmp_path / LATIN


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr", ".png"])
@pytest.mark.parametrize("stem", ["plain", LATIN])
def test_an_image_is_read_whatever_its_name(latin: Path, suffix: str, stem: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[0] if suffix == ".png" else VOXELS), str(latin.parent / f"a{suffix}"))
    for path in latin.parent.glob("a.*"):  # with the voxels of a detached header
        shutil.move(path, latin / (f"{stem}{suffix}" if path.suffix == suffix or ".nii" in suffix else path.name))
    path = latin / f"{stem}{suffix}"
    np.testing.assert_array_equal(read_volume(path).array, VOXELS[:1] if suffix == ".png" else VOXELS)
    np.testing.assert_array_equal(read_labels(path).array, VOXELS[:1] if suffix == ".png" else VOXELS)
    with pytest.raises(InputError) as caught:
        read_probabilities(path)
    assert is_plain(str(caught.value))
    assert r"M\udcfcller" in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("stem", ["plain", LATIN])
def test_labels_are_written_whatever_the_name(latin: Path, suffix: str, stem: str) -> None:
    path = latin / f"{stem}{suffix}"
    write_labels(path, VOXELS, GRID, TABLE)
    back = read_labels(path)
    np.testing.assert_array_equal(back.array, VOXELS)
    assert back.geometry.same_grid(GRID)
    assert back.table.name(7) == "liver"
    assert {p.name for p in latin.iterdir()} == {path.name, f"{stem}.labels.csv"}


def test_the_voxels_of_a_plain_header_have_such_a_name(latin: Path) -> None:
    header = latin.parent / "a.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(header))
    header.write_bytes(header.read_bytes().replace(b"a.raw", b"M\xfcller.raw"))
    shutil.move(header.with_name("a.raw"), header.with_name(f"{LATIN}.raw"))
    with pytest.raises(InputError, match="name is not UTF-8"):
        read_volume(header)


def test_no_link_and_no_copy_is_one_line(latin: Path, monkeypatch) -> None:
    write_volume(latin / "a.mha", Volume(VOXELS, GRID, "made"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    np.testing.assert_array_equal(read_volume(latin / "a.mha").array, VOXELS)  # a copy
    with pytest.raises(InputError, match="name is not UTF-8"):
        write_volume(latin / "b.mha", Volume(VOXELS, GRID, "made"))
    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(InputError, match="name is not UTF-8"):
        read_volume(latin / "a.mha")
    assert [p.name for p in latin.iterdir()] == ["a.mha"]
