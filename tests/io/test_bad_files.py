"""Every file here is wrong in one way and must be refused in one line that names it; nothing else is said."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import LabelTable, Volume
from napari_deferredseg.io.images import (
    on_grid_of,
    read_channels,
    read_labels,
    read_probabilities,
    read_volume,
    write_labels,
    write_volume,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GRID = Geometry(shape=(6, 7, 8), spacing=(0.7, 0.8, 2.5), origin=(1, 2, 3))
VOXELS = np.random.default_rng(0).integers(0, 1000, GRID.shape).astype(np.int16)
NRRD = (
    "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\n"
    "sizes: 2 2 2\nspace directions: {}\nencoding: raw\n\n"
)


def image(path: Path, array: np.ndarray = VOXELS, zipped: bool = False) -> Path:
    x = sitk.GetImageFromArray(array)
    x.SetSpacing(GRID.spacing)
    sitk.WriteImage(x, str(path), zipped)
    return path


def good(folder: Path, suffix: str, zipped: bool = False) -> bytes:
    path = image(folder / f"good{suffix}", zipped=zipped)
    content = path.read_bytes()
    path.unlink()
    return content


def header(folder: Path, *fields: tuple[str, int, tuple[float, ...]]) -> bytes:
    content = bytearray(good(folder, ".nii"))
    for layout, offset, values in fields:
        struct.pack_into(layout, content, offset, *values)
    return bytes(content) + bytes(20000)


def meta(folder: Path, old: str, new: str) -> bytes:
    return good(folder, ".mha").replace(old.encode(), new.encode())


def spoilt(content: bytes, at: float = 0.6) -> bytes:
    i = int(len(content) * at)
    return content[:i] + bytes(b ^ 0xFF for b in content[i : i + 8]) + content[i + 8 :]


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


BYTES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "empty.nii": ("empty", lambda f: b""),
    "empty.nrrd": ("empty", lambda f: b""),
    "empty.mha": ("empty", lambda f: b""),
    "empty.png": ("empty", lambda f: b""),
    "empty.dcm": ("DICOM", lambda f: b""),
    "words.nii": ("NIfTI", lambda f: b"hello world " * 100),
    "words.nii.gz": ("NIfTI", lambda f: b"hello world " * 100),
    "words.nrrd": ("cannot be read", lambda f: b"hello world " * 100),
    "words.mha": ("MetaImage", lambda f: b"hello world " * 100),
    "words.png": ("PNG", lambda f: b"hello world " * 100),
    "words.dcm": ("DICOM", lambda f: b"hello world " * 100),
    "words.jpg": ("known format", lambda f: b"hello world " * 100),
    "words": ("known format", lambda f: b"hello world " * 100),
    "cut.nii": ("cut off", lambda f: cut(good(f, ".nii"))),
    "cut.nii.gz": ("incomplete", lambda f: cut(good(f, ".nii.gz", True))),
    "cut_inside.nii.gz": ("cut off", lambda f: gzip.compress(good(f, ".nii")[:-100])),
    "cut.nrrd": ("cut off", lambda f: cut(good(f, ".nrrd"))),
    "cut_zipped.nrrd": ("incomplete", lambda f: cut(good(f, ".nrrd", True))),
    "cut.mha": ("cut off", lambda f: cut(good(f, ".mha"))),
    "cut_zipped.mha": ("cut off", lambda f: cut(good(f, ".mha", True))),
    "header_only.nii": ("NIfTI", lambda f: good(f, ".nii")[:100]),
    "header_only.nrrd": ("cannot be read", lambda f: good(f, ".nrrd")[:60]),
    "header_only.mha": ("lacks", lambda f: good(f, ".mha")[:100]),
    "damaged.nii.gz": ("damaged", lambda f: spoilt(good(f, ".nii.gz", True))),
    "damaged_checksum.nii.gz": ("damaged", lambda f: good(f, ".nii.gz", True)[:-8] + bytes(8)),
    "damaged.mha": ("damaged", lambda f: spoilt(good(f, ".mha", True), 0.8)),
    "damaged.nrrd": ("damaged", lambda f: spoilt(good(f, ".nrrd", True), 0.8)),
    "zero_size.nii": ("empty axis", lambda f: header(f, ("<h", 42, (0,)))),
    "negative_size.nii": ("empty axis", lambda f: header(f, ("<h", 44, (-7,)))),
    "rank.nii": ("dimensions", lambda f: header(f, ("<h", 40, (9,)))),
    "zero_size.mha": ("empty axis", lambda f: meta(f, "DimSize = 8 7 6", "DimSize = 8 0 6")),
    "nan_spacing.nii": ("spacing", lambda f: header(f, ("<f", 80, (float("nan"),)))),
    "zero_spacing.nii": ("spacing", lambda f: header(f, ("<f", 84, (0.0,)))),
    "negative_spacing.nii": ("spacing", lambda f: header(f, ("<f", 88, (-2.5,)))),
    "zero_spacing.mha": ("spacing", lambda f: meta(f, "ElementSpacing = 0.", "ElementSpacing = -0.")),
    "zero_spacing.nrrd": ("spacing", lambda f: NRRD.format("(0,0,0) (0,1,0) (0,0,1)").encode() + bytes(8)),
    "nan_spacing.nrrd": ("cannot be read", lambda f: NRRD.format("(nan,0,0) (0,1,0) (0,0,1)").encode() + bytes(8)),
    "sheared.nrrd": ("rotation", lambda f: NRRD.format("(1,0,0) (0.3,1,0) (0,0,1)").encode() + bytes(8)),
    "sheared.nii": (
        "sheared",
        lambda f: header(
            f, ("<3f", 80, (1, 1, 1)), ("<2h", 252, (0, 1)), ("<12f", 280, (1, 0.6, 0, 0, 0, 0.8, 0, 0, 0, 0, 1, 0))
        ),
    ),
    "sheared_sform_good_qform.nii": (
        "sheared",
        lambda f: header(
            f, ("<3f", 80, (1, 1, 1)), ("<2h", 252, (1, 1)), ("<12f", 280, (1, 0.6, 0, 0, 0, 0.8, 0, 0, 0, 0, 1, 0))
        ),
    ),
    "two_sizes.nii": ("sform", lambda f: header(f, ("<3f", 80, (1, 1, 1)))),
    "nan_sform.nii": ("sform", lambda f: header(f, ("<f", 292, (float("nan"),)))),
    "nan_qform.nii": ("qform", lambda f: header(f, ("<f", 268, (float("nan"),)))),
    "metres.nii": ("millimetres", lambda f: header(f, ("<B", 123, (1,)))),
    "complex.nii": ("complex", lambda f: header(f, ("<2h", 70, (32, 64)))),
    "colour.nii": ("colour", lambda f: header(f, ("<2h", 70, (128, 24)))),
    "long_double.nii": ("float128", lambda f: header(f, ("<2h", 70, (1536, 128)))),
    "bad_number.mha": ("DimSize", lambda f: meta(f, "DimSize = 8 7 6", "DimSize = 8 x 6")),
}


def refused(
    call: Callable[[], object], folder: Path, name: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Check that a call raises one clear line, says nothing else and leaves the folder as it was."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    capfd.readouterr()
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert reason in message
    assert name in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert "itk" not in message.casefold()
    assert len(message) < 500
    assert capfd.readouterr() == ("", "")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("read", [read_volume, read_labels, read_probabilities])
@pytest.mark.parametrize("name", BYTES)
def test_a_malformed_file_is_refused(tmp_path: Path, name: str, read, capfd) -> None:
    reason, content = BYTES[name]
    (tmp_path / name).write_bytes(content(tmp_path))
    refused(lambda: read(tmp_path / name), tmp_path, name, reason if read is read_volume else "", capfd)


def four(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"time{suffix}"
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(VOXELS)] * 3), str(path))
        return path

    return make


def colours(suffix: str, components: int = 3) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"colour{suffix}"
        shape = (1, 5, 5, components)[1 if suffix == ".png" else 0 :]
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.uint8), isVector=True), str(path))
        return path

    return make


def values(name: str, *numbers: float, dtype: str = "float32") -> Callable[[Path], Path]:
    return lambda folder: image(folder / name, np.array(numbers, dtype).reshape(1, 1, -1))


def folder_of_text(folder: Path) -> Path:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("no image")
    return folder / "texts"


def detached(folder: Path) -> Path:
    image(folder / "alone.mhd")
    (folder / "alone.raw").unlink()
    return folder / "alone.mhd"


def detached_cut(folder: Path) -> Path:
    path = image(folder / "half.mhd")
    (folder / "half.raw").write_bytes(bytes(50))
    return path


def detached_nrrd(folder: Path) -> Path:
    image(folder / "alone.nhdr")
    (folder / "alone.raw").unlink()
    return folder / "alone.nhdr"


CALLS: dict[str, tuple[Callable[..., object], Callable[[Path], Path], str]] = {
    "no such file": (read_volume, lambda f: f / "none.nii.gz", "no such file"),
    "no such labels": (read_labels, lambda f: f / "none.nii.gz", "no such file"),
    "folder without images": (read_volume, folder_of_text, "no DICOM images"),
    "folder as labels": (read_labels, folder_of_text, "not read from DICOM"),
    "voxel file missing": (read_volume, detached, "alone.raw"),
    "voxel file cut": (read_volume, detached_cut, "cut off"),
    "nrrd voxel file missing": (read_volume, detached_nrrd, "alone.raw"),
    "time series nifti": (read_volume, four(".nii.gz"), "3 volumes"),
    "time series nrrd": (read_volume, four(".nrrd"), "3 volumes"),
    "time series mha": (read_volume, four(".mha"), "3 volumes"),
    "time series as labels": (read_labels, four(".nii"), "3 layers"),
    "rgb nrrd": (read_volume, colours(".nrrd"), "colour"),
    "rgb mha": (read_volume, colours(".mha"), "colour"),
    "rgba mha": (read_volume, colours(".mha", 4), "colour"),
    "rgb png": (read_volume, colours(".png"), "colour"),
    "complex nrrd": (
        read_volume,
        lambda f: image(f / "complex.nrrd", np.zeros((2, 2, 2), np.complex64)),
        "complex",
    ),
    "fractional labels": (
        read_labels,
        values("p.nii.gz", 0, 1, 0.37),
        "0.37 is no label",
    ),
    "negative labels": (read_labels, values("n.mha", 0, -3, dtype="int16"), "-3 is no label"),
    "large labels": (read_labels, values("l.nrrd", 0, 65536, dtype="int32"), "larger than 65535"),
    "nan labels": (read_labels, values("nan.nii", 0, np.nan), "NaN"),
    "infinite labels": (read_labels, values("inf.nii", 0, np.inf), "NaN or infinite"),
    "probability above one": (read_probabilities, values("p.nii.gz", 0, 1.2), "0 to 1"),
    "probability below zero": (read_probabilities, values("p.nii.gz", 0, -0.2), "0 to 1"),
    "probability nan": (read_probabilities, values("p.nii.gz", 0, np.nan), "NaN"),
    "probability nan nrrd": (read_probabilities, values("p.nrrd", 0, np.nan), "NaN"),
    "probability nan double": (read_probabilities, values("p.nii", 0, np.nan, dtype="float64"), "NaN"),
    "labels as probabilities": (read_probabilities, values("p.nii.gz", 0, 1, dtype="uint8"), "is it a label map"),
    "series of a file": (lambda p: read_volume(p, "3"), values("p.nii.gz", 0, 1), "leave --series out"),
    "cut png": (read_volume, lambda f: png(f, cut), "incomplete"),
    "damaged png": (read_volume, lambda f: png(f, lambda b: spoilt(b, 0.5)), "damaged"),
}


def png(folder: Path, spoil: Callable[[bytes], bytes]) -> Path:
    path = image(folder / "a.png", VOXELS[0].astype(np.uint8))
    path.write_bytes(spoil(path.read_bytes()))
    return path


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cannot_work_is_refused(tmp_path: Path, name: str, capfd) -> None:
    call, make, reason = CALLS[name]
    path = make(tmp_path)
    refused(lambda: call(path), tmp_path, str(path), reason, capfd)


def test_probabilities_that_do_not_sum_to_one(tmp_path: Path, capfd) -> None:
    p = np.full((2, *GRID.shape), 0.4, np.float32)
    write_volume(tmp_path / "p.nrrd", Volume(p, GRID, "made", ("a", "b")))
    refused(lambda: read_probabilities(tmp_path / "p.nrrd"), tmp_path, "p.nrrd", "do not sum to 1", capfd)


def test_channels_on_two_grids(tmp_path: Path, capfd) -> None:
    write_volume(tmp_path / "a.nii", Volume(VOXELS, GRID, "made"))
    write_volume(tmp_path / "b.nii", Volume(VOXELS, GRID.model_copy(update={"origin": (1.0, 2.0, 4.0)}), "made"))
    write_volume(tmp_path / "c.nii", Volume(np.stack([VOXELS] * 2), GRID, "made", ("x", "y")))
    a, b, c = (tmp_path / f"{n}.nii" for n in "abc")
    refused(lambda: read_channels([a, b]), tmp_path, str(a), f"{b}: is not on the grid", capfd)
    refused(lambda: read_channels([a, c]), tmp_path, str(c), "2 channels", capfd)
    refused(lambda: read_channels([]), tmp_path, "", "no image", capfd)


def test_a_mask_of_another_image(tmp_path: Path, capfd) -> None:
    write_volume(tmp_path / "image.nii", Volume(VOXELS, GRID, "made"))
    shifted = GRID.model_copy(update={"origin": (1.0, 2.0, 3.5)})
    write_labels(tmp_path / "mask.nii", np.zeros(GRID.shape, np.uint8), shifted, LabelTable())
    volume, mask = read_volume(tmp_path / "image.nii"), read_labels(tmp_path / "mask.nii")
    refused(lambda: on_grid_of(volume, mask), tmp_path, "mask.nii", "0.5 mm away", capfd)
    refused(lambda: on_grid_of(volume, mask), tmp_path, "image.nii", "grid", capfd)


ZEROS = np.zeros(GRID.shape, np.uint8)
UNKNOWN = GRID.model_copy(update={"orientation_known": False})
WRITES = {
    "another shape": ("m.nii.gz", ZEROS[1:], GRID, "does not fit"),
    "another type": ("m.nii.gz", ZEROS.astype(np.int32), GRID, "uint8 or uint16"),
    "format": ("m.png", ZEROS, GRID, "use one of"),
    "no format": ("m", ZEROS, GRID, "use one of"),
    "no folder": ("none/m.nii", ZEROS, GRID, "folder does not exist"),
    "unknown orientation nrrd": ("m.nrrd", ZEROS, UNKNOWN, "orientation is unknown"),
    "unknown orientation elsewhere": ("m.nii", ZEROS, UNKNOWN, "cannot hold the grid"),
    "too far away": ("m.nii", ZEROS, GRID.model_copy(update={"origin": (1e7 + 0.3, 0.0, 0.0)}), "cannot hold the grid"),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_cannot_work_leaves_nothing(tmp_path: Path, name: str, capfd) -> None:
    file, array, geometry, reason = WRITES[name]
    refused(lambda: write_labels(tmp_path / file, array, geometry, LabelTable()), tmp_path, file, reason, capfd)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, capfd) -> None:
    write_labels(tmp_path / "m.nii", ZEROS, GRID, LabelTable())
    far = GRID.model_copy(update={"origin": (1e7 + 0.3, 0.0, 0.0)})
    refused(lambda: write_labels(tmp_path / "m.nii", ZEROS, far, LabelTable()), tmp_path, "m.nii", "grid", capfd)
