"""Every file of a DICOM folder is a slice, a proven copy, known to be no image, or named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom import list_series, read_series
from napari_deferredseg.io.images import read_volume

SHAPE = (5, 4, 5)


def last(stack: Path) -> Path:
    """The slice at the end of the series: nothing but its own file tells that it is missing."""
    return stack / "I2"


def replaced(make):
    """Spoiler that writes something else in the place of the last slice."""

    def spoil(stack: Path) -> str:
        content = last(stack).read_bytes()
        last(stack).unlink()
        return make(last(stack), content)

    return spoil


def written(name: str, content) -> object:
    def make(path: Path, old: bytes) -> str:
        new = path.with_name(name)
        new.write_bytes(content(old))
        return new.name

    return replaced(make)


def in_zip(path: Path, content: bytes) -> str:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as z:
        z.writestr(path.name, content)
    return "I2.zip"


def in_tar(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with tarfile.open(path.with_name("rest"), "w") as t:
        t.add(path, path.name)
    path.unlink()
    return "rest"


def to_nowhere(path: Path, content: bytes) -> str:
    path.symlink_to("nowhere/object")
    return path.name


def a_pipe(path: Path, content: bytes) -> str:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes on this system")
    os.mkfifo(path)
    return path.name


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n"
UNREADABLE = {
    "empty": (written("I2", lambda _: b""), "is empty"),
    "zeros": (written("I2", lambda old: bytes(len(old))), "filled with zeros"),
    "zeros and longer than what is looked at": (written("I2", lambda _: bytes(3 << 20)), "filled with zeros"),
    "zeros after the header": (written("I2", lambda old: old[:400] + bytes(len(old) - 400)), "cut off or damaged"),
    "link": (replaced(to_nowhere), "link to a file that is not there"),
    "pipe": (replaced(a_pipe), "no regular file"),
    "gzip": (written("I2.gz", gzip.compress), "packed .gzip."),
    "gzip under its old name": (written("I2", gzip.compress), "packed .gzip."),
    "bzip2": (written("I2.bz2", bz2.compress), "packed .bzip2."),
    "xz": (written("I2.xz", lzma.compress), "packed .xz."),
    "zip": (replaced(in_zip), "packed .zip."),
    "tar": (replaced(in_tar), "packed .tar."),
    "Git LFS": (written("I2", lambda _: POINTER), "pointer of Git LFS"),
    "git-annex": (written("I2", lambda _: b"/annex/objects/SHA256E-s5--4d7a\n"), "pointer of git-annex"),
    "page of an error": (written("I2.dcm", lambda _: b"<html><h1>404 Not Found</h1></html>"), "holds text"),
    "bytes": (written("I2.dcm", lambda _: b"\x03\x01junk\x00" * 300), "no DICOM file"),
    "mark overwritten": (written("I2", lambda old: old[:128] + b"XXXX" + old[132:]), "no DICOM file"),
    "cut in the pixels": (written("I2", lambda old: old[:-7]), "last 7 bytes"),
    "cut in the header": (written("I2", lambda old: old[:500]), "cut off or damaged"),
    "cut in the preamble": (written("I2", lambda old: old[:90]), "filled with zeros"),
    "partial download": (written("I2.part", lambda old: old[:700]), "cut off or damaged"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_may_be_the_last_slice_is_named(stack: Path, name: str) -> None:
    spoil, reason = UNREADABLE[name]
    file = spoil(stack)
    assert len(list_series(stack)) == 1
    with pytest.raises(InputError, match=reason) as caught:
        read_series(stack, None)
    assert f"{stack / file}: " in str(caught.value)


def test_a_damaged_file_of_another_series_does_not_matter_where_it_says_so(stack: Path, write_slice) -> None:
    for z in range(2):
        write_slice(stack / f"other{z}", (0, 0, z), series="1.2.9")
    (stack / "other1").write_bytes((stack / "other1").read_bytes()[:-5])
    assert read_series(stack, "1.2.3").array.shape == SHAPE
    with pytest.raises(InputError, match="other1"):
        read_series(stack, "1.2.9")


KNOWN = {
    "README": b"about",
    "notes.txt": b"",
    "sidecar.json": b"{}",
    "report.pdf": b"%PDF-1.4",
    "preview.png": b"\x89PNG",
    "mask.nii.gz": gzip.compress(b"n"),
    "Thumbs.db": b"\xd0\xcf",
    ".DS_Store": b"\0\0\0\1Bud1",
    "._I2": b"\x00\x05\x16\x07\x00\x02",
    "DICOMDIR": bytes(300),
    "autorun.inf": b"[autorun]",
    "viewer.exe": b"MZ\0\0",
}


def test_files_known_by_name_to_be_something_else_are_left_out(stack: Path) -> None:
    for name, content in KNOWN.items():
        (stack / name).write_bytes(content)
    assert read_series(stack, None).array.shape == SHAPE


def test_a_slice_is_a_slice_under_any_name(stack: Path) -> None:
    expected = read_series(stack, None).array
    for i, name in enumerate(("a.txt", ".hidden", "deeper/1.2.840.113619.77", "b.json", "DICOMDIR")):
        (stack / name).parent.mkdir(exist_ok=True)
        (stack / f"I{i}").rename(stack / name)
    np.testing.assert_array_equal(read_series(stack, None).array, expected)


OTHERS = {
    "report": ("1.2.840.10008.5.1.4.1.1.88.11", "SR"),
    "presentation state": ("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
    "raw data": ("1.2.840.10008.5.1.4.1.1.66", "MR"),
    "structures": ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
    "Siemens raw": ("1.3.12.2.1107.5.9.1", "MR"),
    "Philips raw": ("1.3.46.670589.11.0.0.12.1", "MR"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_objects_without_an_image_are_left_out_and_named_where_alone(stack: Path, write_slice, name: str) -> None:
    uid, modality = OTHERS[name]
    alone = stack.parent / "alone"
    alone.mkdir()
    ds = write_slice(alone / "object", (0, 0, 0), SOPClassUID=uid, Modality=modality, ImagePositionPatient=None)
    ds.file_meta.MediaStorageSOPClassUID = uid
    del ds.PixelData, ds.Rows, ds.Columns
    ds.save_as(alone / "object")
    with pytest.raises(InputError, match=r"no DICOM images.*object is a"):
        read_series(alone, None)
    with pytest.raises(InputError, match="no image"):
        read_volume(alone / "object")
    shutil.copy(alone / "object", stack)
    assert read_series(stack, None).array.shape == SHAPE


CONTRADICTIONS: dict[str, Any] = {
    "class of a report": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
    "class of a segmentation": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
    "class cut short": {"SOPClassUID": "1.2.840.1", "PixelData": None},
    "no rows": {"Rows": None},
    "no pixels": {"PixelData": None},
    "modality of a report": {"Modality": "SR"},
    "another study": {"StudyInstanceUID": "1.2.77"},
    "another kind": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
    "no sign": {"PixelRepresentation": None},
    "a number that is none": {"RescaleSlope": None, "RescaleIntercept": None},
    "empty series": {"SeriesInstanceUID": ""},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_last_slice_that_says_to_be_something_else_is_named(stack: Path, name: str) -> None:
    ds = pydicom.dcmread(last(stack))
    for tag, value in CONTRADICTIONS[name].items():
        if value is None:
            delattr(ds, tag)
        else:
            setattr(ds, tag, value)
    ds.save_as(last(stack))
    for chosen in (None, "1.2.3"):
        with pytest.raises(InputError, match="I2"):
            read_series(stack, chosen)


def test_slices_that_share_one_instance_uid_are_all_slices(stack: Path) -> None:
    expected = read_series(stack, None).array
    for path in stack.iterdir():
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        ds.save_as(path)
    np.testing.assert_array_equal(read_series(stack, None).array, expected)
    assert list_series(stack)[0].files == 5


def test_one_instance_uid_one_place_and_two_contents_are_named(stack: Path) -> None:
    ds = pydicom.dcmread(stack / "I2")
    ds.PixelData = bytes(40)
    ds.save_as(stack / "changed")
    with pytest.raises(InputError, match="I2 and changed lie at the same position and carry one SOPInstanceUID"):
        read_series(stack, None)


def test_copies_count_once_whatever_their_uid_and_encoding(stack: Path) -> None:
    expected = read_series(stack, None)
    shutil.copytree(stack, stack.parent / "copy")
    for i, path in enumerate(sorted((stack.parent / "copy").iterdir())):
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = generate_uid()
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pydicom.dcmwrite(stack / f"copy{i}", ds, implicit_vr=True, little_endian=True)
        shutil.copy(path, stack / f"true copy {i}")
    (stack / "link").symlink_to(stack.parent / "copy", target_is_directory=True)
    (stack / "link" / "round").symlink_to(stack, target_is_directory=True)
    found = read_series(stack, None)
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.geometry == expected.geometry


def test_slices_behind_a_linked_folder_are_read(stack: Path) -> None:
    (stack.parent / "far").mkdir()
    last(stack).rename(stack.parent / "far" / "I2")
    (stack / "near").symlink_to(stack.parent / "far", target_is_directory=True)
    assert read_series(stack, None).array.shape == SHAPE


@pytest.mark.parametrize("kind", ["with meta", "implicit", "explicit", "big endian"])
def test_files_without_a_preamble_are_read(stack: Path, kind: str) -> None:
    expected = read_series(stack, None).array
    for path in stack.iterdir():
        if kind == "with meta":
            path.write_bytes(path.read_bytes()[132:])
            continue
        ds = pydicom.Dataset(pydicom.dcmread(path))
        if kind == "big endian":
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        pydicom.dcmwrite(path, ds, implicit_vr=kind == "implicit", little_endian=kind != "big endian")
        assert path.read_bytes()[:2] == (b"\x00\x08" if kind == "big endian" else b"\x08\x00")
    np.testing.assert_array_equal(read_series(stack, None).array, expected)
    assert read_volume(stack / "I2").array.shape == (1, 4, 5)


def test_empty_uids_are_grouped_by_geometry(stack: Path, write_slice) -> None:
    expected = read_series(stack, None)
    write_slice(stack / "scout", (0, 0, 0), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    for path in stack.iterdir():
        ds = pydicom.dcmread(path)
        ds.SOPClassUID = ds.SOPInstanceUID = ds.SeriesInstanceUID = ds.StudyInstanceUID = ""
        ds.save_as(path)
    stacks = {x.files: x for x in list_series(stack)}
    assert set(stacks) == {1, 5}
    assert stacks[5].uid.startswith("no-uid-")
    np.testing.assert_array_equal(read_series(stack, stacks[5].uid).array, expected.array)
    (stack / "scout").unlink()
    found = read_series(stack, None)
    assert found.geometry == expected.geometry
    assert list_series(stack)[0].uid == stacks[5].uid


def test_names_that_are_not_utf8_are_read(stack: Path) -> None:
    expected = read_series(stack, None).array
    try:
        folder = Path(os.fsdecode(os.fsencode(stack.parent) + b"/M\xfcller"))
        shutil.move(stack, folder)
        (folder / "I2").rename(os.fsdecode(os.fsencode(folder) + b"/sch\xf6n"))
    except OSError:
        pytest.skip("this file system takes no such names")
    np.testing.assert_array_equal(read_series(folder, None).array, expected)
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        ds.Rows, ds.Columns, ds.PixelData = 16, 20, bytes(640)
        ds.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
        ds.save_as(path)
    assert read_series(folder, None).array.shape == (5, 16, 20)


def test_a_table_of_contents_tells_how_long_a_series_is(stack: Path) -> None:
    for path in stack.iterdir():
        ds = pydicom.dcmread(path)
        for name in ("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"):
            setattr(ds, name, "")
        ds.StudyID, ds.StudyDate, ds.StudyTime, ds.InstanceNumber = (
            "1",
            "20200101",
            "120000",
            int(ds.ImagePositionPatient[2]) // 2,
        )
        ds.save_as(path)
    files = FileSet()
    for path in sorted(stack.iterdir()):
        files.add(path)
    cd = stack.parent / "cd"
    files.write(cd)
    assert read_series(cd, None).notes == ()
    top = max(
        (p for p in cd.rglob("*") if p.is_file() and p.name != "DICOMDIR"),
        key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2],
    )
    top.unlink()
    with pytest.raises(InputError, match=rf"DICOMDIR: lists 5 images .* 1 of them \(.*{top.name}"):
        read_series(cd, None)
    (cd / "DICOMDIR").unlink()
    assert read_series(cd, None).array.shape == (4, 4, 5)
