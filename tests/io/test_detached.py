"""Voxels beside their header are read from a regular file in its folder, and from nowhere else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.images import read_volume

if TYPE_CHECKING:
    from pathlib import Path

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
OUTSIDE = ("../out.raw", "sub/../../out.raw", "{absolute}", "C:\\out.raw", "..\\out.raw", "//host/out.raw")
FORMATS = {".mhd": ".raw", ".nhdr": ".raw", ".hdr": ".img"}


@pytest.fixture(params=FORMATS)
def pair(request, tmp_path: Path) -> tuple[Path, Path]:
    """A header and its voxels in a folder of their own."""
    folder = tmp_path / "in"
    folder.mkdir()
    header, voxels = folder / f"a{request.param}", folder / f"a{FORMATS[request.param]}"
    if request.param == ".hdr":
        nib.save(nib.Nifti1Pair(VOXELS.T, np.eye(4)), header)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(header))
    return header, voxels


def renamed(header: Path, voxels: Path, name: str) -> None:
    header.write_bytes(header.read_bytes().replace(voxels.name.encode(), name.encode()))


def test_both_in_one_folder_are_read(pair) -> None:
    np.testing.assert_array_equal(read_volume(pair[0]).array, VOXELS)


def test_a_folder_below_is_in_the_folder(pair) -> None:
    header, voxels = pair
    if header.suffix == ".hdr":
        pytest.skip("a NIfTI header names no file")
    (header.parent / "sub").mkdir()
    voxels.rename(header.parent / "sub" / voxels.name)
    renamed(header, voxels, f"sub/{voxels.name}")
    np.testing.assert_array_equal(read_volume(header).array, VOXELS)


@pytest.mark.parametrize(
    "name", ["../out.raw", "sub/../../out.raw", "{absolute}", "C:\\out.raw", "..\\out.raw", "//host/out.raw"]
)
def test_a_name_that_leads_out_is_refused(pair, tmp_path: Path, name: str) -> None:
    header, voxels = pair
    if header.suffix == ".hdr":
        pytest.skip("a NIfTI header names no file")
    (header.parent / "sub").mkdir()
    (tmp_path / "out.raw").write_bytes(voxels.read_bytes())
    renamed(header, voxels, name.format(absolute=tmp_path / "out.raw"))
    with pytest.raises(InputError, match="not in its folder"):
        read_volume(header)


def test_a_link_out_is_refused(pair, tmp_path: Path) -> None:
    header, voxels = pair
    voxels.rename(tmp_path / "out.raw")
    try:
        voxels.symlink_to(tmp_path / "out.raw")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(InputError, match="a link out of its folder"):
        read_volume(header)


def test_a_link_inside_is_read(pair) -> None:
    header, voxels = pair
    voxels.rename(header.parent / "there.raw")
    try:
        voxels.symlink_to("there.raw")
    except OSError:
        pytest.skip("no links here")
    np.testing.assert_array_equal(read_volume(header).array, VOXELS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_at_once(pair) -> None:
    header, voxels = pair
    voxels.unlink()
    os.mkfifo(voxels)
    with pytest.raises(InputError, match="no regular file"):
        read_volume(header)
    header.unlink()
    os.mkfifo(header)
    with pytest.raises(InputError, match="no regular file"):
        read_volume(header)


def test_a_folder_and_nothing_are_no_voxels(pair) -> None:
    header, voxels = pair
    voxels.unlink()
    with pytest.raises(InputError, match="not beside it"):
        read_volume(header)
    voxels.mkdir()
    with pytest.raises(InputError, match="no regular file"):
        read_volume(header)


@pytest.mark.parametrize("name", ["LIST", "LIST 2", "a%03d.raw 1 2 1", "a%d.raw 1 2 1 2"])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_lists_and_patterns_are_refused_by_name(tmp_path: Path, suffix: str, name: str) -> None:
    header = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(header))
    renamed(header, tmp_path / "a.raw", name)
    with pytest.raises(InputError, match="several files") as caught:
        read_volume(header)
    assert name in str(caught.value)
