"""Values of DICOM files: slope x number + intercept in any encoding; GDCM reading the file itself is the judge."""

from __future__ import annotations

import errno
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom import read_file, read_series
from napari_deferredseg.io.dicom.coding import decoder
from napari_deferredseg.io.headers.limits import SETTING

RNG = np.random.default_rng(3)


def by_gdcm(path: Path) -> np.ndarray:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return sitk.GetArrayFromImage(reader.Execute())


def encoded(bits: int, signed: bool, allocated: int = 16) -> dict[str, Any]:
    kind = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    numbers = RNG.integers(low, high, (4, 5)).astype(kind)
    return {
        "BitsAllocated": allocated,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "PixelData": numbers.tobytes(),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    allocated=st.sampled_from([8, 16]),
    unused=st.integers(0, 7),
    signed=st.booleans(),
    slope=st.sampled_from([None, 1, 2, -1, 0.5, 1e-3, 3, 1000000]),
    intercept=st.sampled_from([0, -1024, 1024, 0.5, -1, -40000]),
)
def test_values_and_type_are_those_of_gdcm(tmp_path: Path, write_slice, allocated, unused, signed, slope, intercept):
    tags = encoded(allocated - unused if allocated > 8 else 8, signed, allocated)
    write_slice(tmp_path / "x", (0, 0, 0), RescaleSlope=slope, RescaleIntercept=intercept, **tags)
    found = read_file(tmp_path / "x").array
    try:
        expected = by_gdcm(tmp_path / "x")
        assert found.dtype == expected.dtype
    except RuntimeError:  # some mixtures are too much for it
        expected = pydicom.dcmread(tmp_path / "x").pixel_array[np.newaxis] * float(slope or 1) + intercept
    np.testing.assert_array_equal(found, expected)


def test_bits_that_are_not_the_image_are_left_out(tmp_path: Path, write_slice) -> None:
    numbers = np.arange(20, dtype=np.uint16).reshape(4, 5)
    overlay = numbers | (RNG.integers(0, 16, (4, 5)).astype(np.uint16) << 12)
    write_slice(tmp_path / "x", (0, 0, 0), RescaleSlope=1, RescaleIntercept=0, PixelData=overlay.tobytes())
    np.testing.assert_array_equal(read_file(tmp_path / "x").array[0], numbers)


SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_the_encoding_changes_nothing(tmp_path: Path, write_slice, syntax, signed: bool) -> None:
    for z in range(3):
        tags = encoded(12, signed) | {"Rows": 16, "Columns": 20}
        tags["PixelData"] = np.tile(np.frombuffer(tags["PixelData"], np.uint16).reshape(4, 5), (4, 4)).tobytes()
        write_slice(tmp_path / f"{z}", (0, 0, z), **tags)
    plain = read_series(tmp_path, None)
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        if syntax.is_compressed and not syntax.is_deflated:
            ds.compress(syntax, generate_instance_uid=False)
            ds.save_as(path)
        elif syntax == ExplicitVRBigEndian:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
            ds.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(path, ds, little_endian=False, implicit_vr=False)
        else:
            ds.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
    again = read_series(tmp_path, None)
    assert pydicom.dcmread(tmp_path / "0").file_meta.TransferSyntaxUID == syntax
    assert again.array.dtype == plain.array.dtype
    np.testing.assert_array_equal(again.array, plain.array)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("modality", ["CT", "PT", "MR", "DX"])
def test_monochrome1_keeps_its_values(tmp_path, write_slice, modality, signed, compressed) -> None:
    tags = encoded(12, signed) | {"Modality": modality}
    write_slice(tmp_path / "x", (0, 0, 0), **tags)
    plain = read_file(tmp_path / "x")
    assert not plain.notes
    ds = write_slice(tmp_path / "x", (0, 0, 0), PhotometricInterpretation="MONOCHROME1", **tags)
    if compressed:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(tmp_path / "x")
    inverted = read_file(tmp_path / "x")
    np.testing.assert_array_equal(inverted.array, plain.array)
    assert any("MONOCHROME1" in note for note in inverted.notes)


REFUSED = {
    "slope of zero": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    "lookup table": (
        {"ModalityLUTSequence": [pydicom.Dataset()], "RescaleSlope": None, "RescaleIntercept": None},
        "Modality LUT Sequence.*dcm2niix",
    ),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette colour image"),
    "colour": ({"PhotometricInterpretation": "YBR_FULL", "SamplesPerPixel": 3, "PixelData": bytes(120)}, "colour"),
    "one bit": ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": bytes(4)}, "BitsAllocated 1"),
    "impossible bits": ({"BitsStored": 14, "HighBit": 11}, "BitsStored 14"),
    "too few pixels": ({"PixelData": bytes(38)}, "do not fit its header"),
    "too many pixels": ({"PixelData": bytes(80)}, "do not fit its header"),
    "mosaic": ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "Siemens MOSAIC.*dcm2niix"),
    "mosaic of another maker": ({"ImageType": ["DERIVED", "PRIMARY", "M", "VFRAME"]}, "United Imaging.*dcm2niix"),
    "no grey scale": ({"PhotometricInterpretation": "HSV"}, "HSV"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_slice_of_grey_values_is_refused_for_what_it_is(tmp_path: Path, write_slice, name: str) -> None:
    tags, reason = REFUSED[name]
    for z in range(3):
        write_slice(tmp_path / f"I{z}", (0, 0, z), **tags)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason) as caught:
        read_series(tmp_path, None)
    assert "I0" in str(caught.value)


def test_a_mosaic_that_lost_its_image_type_is_told_by_its_maker(tmp_path: Path, write_slice) -> None:
    def number_of_tiles(n: int) -> pydicom.Dataset:
        ds = write_slice(tmp_path / "x", (0, 0, 0), Modality="MR")
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", n)
        ds.save_as(tmp_path / "x")
        return ds

    number_of_tiles(12)
    with pytest.raises(InputError, match="MOSAIC"):
        read_file(tmp_path / "x")
    number_of_tiles(1)
    assert read_file(tmp_path / "x").array.shape == (1, 4, 5)


def test_slices_without_a_scale_among_others_are_named(tmp_path: Path, write_slice) -> None:
    for z in range(4):
        write_slice(
            tmp_path / f"I{z}", (0, 0, z), **({"RescaleSlope": None, "RescaleIntercept": None} if z == 2 else {})
        )
    with pytest.raises(InputError, match="I2: lacks RescaleSlope"):
        read_series(tmp_path, None)


def test_a_series_larger_than_the_limit_is_refused_before_it_is_unpacked(tmp_path, write_slice, monkeypatch) -> None:
    for z in range(3):
        ds = write_slice(tmp_path / f"I{z}", (0, 0, z), Rows=30000, Columns=30000, BitsStored=12)
        ds["PixelData"].is_undefined_length = True
        ds.PixelData = pydicom.encaps.encapsulate([bytes(100)])
        ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        ds.save_as(tmp_path / f"I{z}")
    monkeypatch.setenv(SETTING, "1")
    with pytest.raises(InputError, match=r"3 x 30000 x 30000.*DEFERREDSEG_VOXELS_GIB"):
        read_series(tmp_path, None)


def test_deflated_data_are_unpacked_up_to_the_limit(tmp_path: Path, write_slice, monkeypatch) -> None:
    ds = write_slice(tmp_path / "x", (0, 0, 0), PixelData=bytes(1 << 22))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(tmp_path / "x", enforce_file_format=True)
    assert (tmp_path / "x").stat().st_size < 1 << 14
    monkeypatch.setenv(SETTING, "0.001")
    with pytest.raises(InputError, match="unpacks to more than"):
        read_file(tmp_path / "x")


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_a_picture_larger_than_its_header_says_is_not_unpacked(tmp_path: Path, write_slice, syntax) -> None:
    ds = write_slice(tmp_path / "x", (0, 0, 0))
    start = {
        JPEGLSLossless: struct.pack(">HHHBHHB", 0xFFD8, 0xFFF7, 11, 12, 60000, 60000, 1),
        JPEG2000Lossless: struct.pack(">HHHH4I", 0xFF4F, 0xFF51, 41, 0, 60000, 60000, 0, 0),
    }
    ds.PixelData = pydicom.encaps.encapsulate([start[syntax] + bytes(100)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(tmp_path / "x")
    with pytest.raises(InputError, match=r"x: its compressed pixels \(60000, 60000\) do not fit its header \(4, 5\)"):
        read_file(tmp_path / "x")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_compressed_pixels_that_are_cut_are_refused(tmp_path: Path, write_slice, syntax, kept: float) -> None:
    numbers = RNG.integers(0, 4096, (16, 20)).astype(np.uint16)
    ds = write_slice(tmp_path / "x", (0, 0, 0), Rows=16, Columns=20, PixelData=numbers.tobytes())
    ds.compress(syntax, generate_instance_uid=False)
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = pydicom.encaps.encapsulate([frame[: int(len(frame) * kept)]])
    ds.save_as(tmp_path / "x")
    with pytest.raises(InputError, match=r"x: its .*pixels"):
        read_file(tmp_path / "x")


# Where a JPEG Lossless stream (ITU-T T.81, SOF3 first) says how many bits a sample has.
BITS = 6


def jpeg_lossless(path: Path, write_slice, bits: int) -> None:
    """A slice of 16 x 16 as SimpleITK compresses it, with this byte at the place that states its bits."""
    plain = path.with_suffix(".plain.dcm")
    numbers = np.add.outer(np.arange(16), np.arange(16)).astype(np.int16) * 20
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(plain))
    writer.Execute(sitk.GetImageFromArray(numbers[None]))
    made = pydicom.dcmread(plain)
    plain.unlink()
    stream = bytearray(next(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1)))
    assert stream[:4] == b"\xff\xd8\xff\xc3"
    assert stream[BITS] == 16
    stream[BITS] = bits
    ds = write_slice(path, (0, 0, 0), Rows=16, Columns=16, BitsStored=16, HighBit=15, PixelRepresentation=1)
    ds.PixelData = pydicom.encaps.encapsulate([bytes(stream)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = made.file_meta.TransferSyntaxUID
    ds.save_as(path)


def test_pixels_that_end_the_decoder_end_nothing_else(tmp_path: Path, write_slice) -> None:
    jpeg_lossless(tmp_path / "good", write_slice, 16)
    jpeg_lossless(tmp_path / "bad", write_slice, 41)
    first = read_file(tmp_path / "good").array
    assert first[0, 3, 4] == 7 * 20 * 2 - 1024
    with pytest.raises(InputError, match=r"bad: its pixels end the program that decodes them .JPEG Lossless"):
        read_file(tmp_path / "bad")
    np.testing.assert_array_equal(read_file(tmp_path / "good").array, first)


NO_MEMORY = "def decode(*files):\n    return 'no memory'\nfor line in sys.stdin:"
UNWRITTEN = "raise OSError(28, 'No space left on device')"
SLOW = "import time\nprint('ready', flush=True)\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("child", "why"),
    [
        (decoder.CHILD.replace("numpy.save(target, numbers)", UNWRITTEN), "the temporary folder .* cannot be written"),
        (decoder.CHILD.replace("numbers = ", "raise MemoryError #"), "there is no memory to decode"),
        (decoder.CHILD.replace("numbers = ", "raise RuntimeError('std::bad_alloc') #"), "there is no memory to decode"),
        ("raise SystemExit(1)", "the program that decodes it does not start"),
        (SLOW, "take too long to decode"),
    ],
)
def test_what_keeps_pixels_from_being_decoded_is_told_as_what_it_is(tmp_path, write_slice, monkeypatch, child, why):
    jpeg_lossless(tmp_path / "good", write_slice, 16)
    monkeypatch.setattr(decoder, "CHILD", child)
    monkeypatch.setattr(decoder, "IMAGE_SECONDS", 0.3 if child == SLOW else 60)
    with pytest.raises(InputError, match=f"good: .*{why}") as told:
        read_file(tmp_path / "good")
    assert ("damaged" in str(told.value)) is (child == SLOW)


@pytest.mark.parametrize("program", [None, "", "/no/such/python"])
def test_a_program_that_does_not_know_its_python_says_so(tmp_path, write_slice, monkeypatch, program):
    jpeg_lossless(tmp_path / "good", write_slice, 16)
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(InputError, match="good: is compressed, and the program that decodes it does not start"):
        read_file(tmp_path / "good")


def test_a_full_temporary_folder_is_named(tmp_path, write_slice, monkeypatch):
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    jpeg_lossless(tmp_path / "good", write_slice, 16)
    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(InputError, match=r"good: .*temporary folder .*\(No space left on device\); free some space"):
        read_file(tmp_path / "good")


def test_pixels_that_an_ended_decoder_left_are_removed_once_they_are_old(tmp_path, write_slice, monkeypatch):
    jpeg_lossless(tmp_path / "good", write_slice, 16)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, inside, age in (("old", "image.dcm", 2e5), ("new", "image.dcm", 0), ("mine", "notes.txt", 2e5)):
        place = tmp_path / f"deferredseg-{name}"
        place.mkdir()
        (place / inside).write_bytes(b"1")
        for path in (place / inside, place):
            os.utime(path, (time.time() - age,) * 2)
    read_file(tmp_path / "good")
    assert sorted(p.name for p in tmp_path.glob("deferredseg-*")) == ["deferredseg-mine", "deferredseg-new"]
