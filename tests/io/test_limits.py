from __future__ import annotations

import gzip
import struct
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.headers.limits import DEFAULT_GIB, GIB, SETTING, most_bytes, require_fits
from napari_deferredseg.io.images import read_labels, read_volume


def test_sixteen_gibibytes_are_the_rule() -> None:
    assert most_bytes() == DEFAULT_GIB * GIB == 16 * 2**30
    require_fits("a.nii", (2048, 2048, 1024), 4)
    with pytest.raises(
        InputError, match=r"a\.nii: claims 2048 x 2048 x 1025 voxels, 16\.0 GiB.*DEFERREDSEG_VOXELS_GIB"
    ):
        require_fits("a.nii", (2048, 2048, 1025), 4)


def test_the_setting_moves_the_limit(monkeypatch) -> None:
    monkeypatch.setenv(SETTING, "0.5")
    with pytest.raises(InputError, match=r"0\.5 GiB"):
        require_fits("a.nii", (1024, 1024, 513), 1)
    require_fits("a.nii", (1024, 1024, 512), 1)


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "inf"])
def test_a_setting_that_is_no_size_is_refused(monkeypatch, text: str) -> None:
    monkeypatch.setenv(SETTING, text)
    with pytest.raises(InputError, match=f"{SETTING}=.* is no number"):
        most_bytes()


def claiming(suffix: str, n: int) -> bytes:
    """A file whose header claims n x n x n bytes of voxels and that holds a few."""
    if suffix.startswith(".nii"):
        header = nib.Nifti1Header()
        header.set_data_dtype(np.uint8)
        header.set_data_shape((n, n, n))
        header["vox_offset"] = 352
        content = header.binaryblock + bytes(1000)
        return gzip.compress(content) if suffix == ".nii.gz" else content
    if suffix == ".nrrd":
        return f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {n} {n} {n}\nencoding: gzip\n\n".encode() + gzip.compress(
            bytes(1000)
        )
    if suffix == ".mha":
        return f"NDims = 3\nDimSize = {n} {n} {n}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode() + bytes(
            99
        )
    head = b"IHDR" + struct.pack(">IIBBBBB", n * n, n, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png"])
@pytest.mark.parametrize("read", [read_volume, read_labels])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_unpacked(tmp_path, suffix: str, read) -> None:
    (tmp_path / f"a{suffix}").write_bytes(claiming(suffix, 2600))
    with pytest.raises(InputError, match=r"claims .* voxels, 16\.4 GiB, more than the 16 GiB"):
        read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_sparse_file_is_bounded_too(tmp_path, monkeypatch, suffix: str) -> None:
    monkeypatch.setenv(SETTING, "0.001")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(claiming(suffix, 200).replace(b"encoding: gzip", b"encoding: raw"))
    with path.open("r+b") as f:
        f.truncate(1 << 30)
    with pytest.raises(InputError, match=r"more than the 0\.001 GiB"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_stream_that_holds_far_more_than_it_claims_is_left_early(tmp_path, suffix: str) -> None:
    """A few kilobytes that unpack to many megabytes."""
    content = claiming(suffix, 10)
    bomb = gzip.compress(bytes(64 << 20))
    if suffix == ".nii.gz":
        content = gzip.compress(gzip.decompress(content)[:352]) + bomb
    elif suffix == ".nrrd":
        content = content[: content.index(b"\n\n") + 2] + bomb
    else:
        content = content[:-99].replace(b"NDims", b"CompressedData = True\nNDims") + bomb
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(InputError, match="counts 1000 bytes of voxels, as many again or more follow"):
        read_volume(tmp_path / f"a{suffix}")


def test_values_of_scaled_numbers_count_as_they_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(SETTING, str(2000 / GIB))
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((10, 10, 10))
    for slope, fits in ((1.0, True), (0.5, False)):
        header["scl_slope"], header["scl_inter"], header["vox_offset"] = slope, 0, 352
        (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(1004))
        if fits:
            assert read_volume(tmp_path / "a.nii").array.dtype == np.uint8
        else:
            with pytest.raises(InputError, match="claims 10 x 10 x 10 voxels"):
                read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("x.mha: Failed to allocate memory for image.")])
@pytest.mark.parametrize("read", [read_volume, read_labels])
def test_memory_that_runs_out_is_told_as_that(tmp_path, monkeypatch, error, read) -> None:
    def full(*args: object) -> None:
        raise error

    (tmp_path / "x.mha").write_bytes(claiming(".mha", 4) + bytes(64))
    monkeypatch.setattr(sitk, "ReadImage", full)
    with pytest.raises(InputError, match="there is no memory for its voxels"):
        read(tmp_path / "x.mha")
