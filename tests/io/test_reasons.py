"""A file that cannot be read is refused for what it is; "damaged" is said only where it is."""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.images import read_labels, read_probabilities, read_volume

if TYPE_CHECKING:
    from pathlib import Path

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
RAW = VOXELS.tobytes()
BLAMES = ("damaged", "incomplete", "cut off")


def nrrd(data: bytes = RAW, **changed: str) -> bytes:
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 3 2",
        "space directions": "(1,0,0) (0,1,0) (0,0,2)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
    } | {key.replace("_", " "): value for key, value in changed.items()}
    return (
        "NRRD0004\n" + "".join(f"{k}:{v if v[0] == '=' else ' ' + v}\n" for k, v in fields.items() if v) + "\n"
    ).encode() + data


def four(kinds: str, directions: str = "none (1,0,0) (0,1,0) (0,0,2)", size: int = 2, **changed: str) -> bytes:
    sizes = f"{size} 4 3 2" if directions.startswith("none") else f"4 3 2 {size}"
    return nrrd(RAW * size, dimension="4", sizes=sizes, space_directions=directions, kinds=kinds, **changed)


LAST = "(1,0,0) (0,1,0) (0,0,2) none"


def meta(data: bytes = RAW, **changed: str) -> bytes:
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "DimSize": "4 3 2",
        "ElementSpacing": "1 1 2",
        "ElementType": "MET_SHORT",
    } | changed
    last = fields.pop("ElementDataFile", "LOCAL")
    return "".join(f"{k} = {v}\n" for k, v in fields.items()).encode() + f"ElementDataFile = {last}\n".encode() + data


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(bits: int = 8, colour: int = 0, *extra: bytes, row: bytes = bytes(4), width: int = 4) -> bytes:
    head = struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0)
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


REFUSED: dict[str, tuple[bytes, str]] = {
    "bzip2.nrrd": (nrrd(bz2.compress(RAW), encoding="bzip2"), "packed with bzip2"),
    "bz2.nrrd": (nrrd(bz2.compress(RAW), encoding="bz2"), "packed with bz2"),
    "zrl.nrrd": (nrrd(encoding="zrl"), "packed with zrl"),
    "bzip2_said_gzip.nrrd": (nrrd(bz2.compress(RAW), encoding="gzip"), "packed with bzip2, its header says gzip"),
    "zlib_said_gzip.nrrd": (nrrd(zlib.compress(RAW), encoding="gzip"), "packed with zlib, its header says gzip"),
    "raw_said_gzip.nrrd": (nrrd(encoding="gzip"), "not packed, its header says gzip"),
    "block.nrrd": (nrrd(type="block", block_size="2"), "of type block"),
    "half.nrrd": (nrrd(type="float16"), "of type float16"),
    "list.nrrd": (four("list domain domain domain"), "holds 2 volumes"),
    "one_of_a_list.nrrd": (four("list domain domain domain", size=1)[:-2], "cut off"),
    "time.nrrd": (four("domain domain domain time", LAST), "holds 2 volumes (its axis 4 is of kind time"),
    "time_first.nrrd": (four("time domain domain domain"), "holds 2 volumes (its axis 1 is of kind time"),
    "unnamed.nrrd": (four("", LAST), "holds 2 volumes (its axis 4 is of kind unknown"),
    "unknown.nrrd": (four("??? domain domain domain"), "of kind ???"),
    "diffusion.nrrd": (four("vector domain domain domain", modality="=DWMRI"), "holds 2 volumes"),
    "matrix.nrrd": (four("2D-symmetric-matrix domain domain domain", size=3), "of kind 2d-symmetric-matrix"),
    "gradient.nrrd": (four("3-gradient domain domain domain", size=3), "of kind 3-gradient"),
    "colour.nrrd": (four("RGB-color domain domain domain", size=3), "colour"),
    "complex.nrrd": (four("complex domain domain domain"), "complex"),
    "microns.nrrd": (nrrd(space_units='"um" "um" "um"'), "not in millimetres"),
    "no_endian.nrrd": (nrrd(endian=""), "endian"),
    "no_sizes.nrrd": (nrrd(sizes=""), "lacks sizes"),
    "half_sizes.nrrd": (nrrd(sizes="4 3 x"), "not a list of numbers"),
    "text.mha": (meta(ElementType="MET_STRING"), "of type MET_STRING"),
    "other.mha": (meta(ElementType="MET_OTHER"), "of type MET_OTHER"),
    "raw_said_packed.mha": (meta(CompressedData="True"), "not packed, its header says gzip"),
    "bzip2.mha": (meta(bz2.compress(RAW), CompressedData="True"), "packed with bzip2"),
    "no_length.mha": (meta(zlib.compress(RAW), CompressedData="True"), "CompressedDataSize says nothing"),
    "short.mha": (meta(zlib.compress(RAW), CompressedData="True", CompressedDataSize="9"), "CompressedDataSize says 9"),
    "long.mha": (meta(zlib.compress(RAW), CompressedData="True", CompressedDataSize="999"), "Size says 999"),
    "scaled.mha": (meta(ElementToIntensityFunctionSlope="2"), "scales its values"),
    "centimetres.mha": (meta(DistanceUnits="cm"), "not in millimetres (cm)"),
    "skip.mha": (meta(HeaderSize="4"), "HeaderSize = 4"),
    "channels.mha": (meta(ElementNumberOfChannels="two"), "not a list of numbers"),
    "fraction.mha": (meta(DimSize="4 3 2.5"), "empty axis"),
    "palette.png": (png(8, 3, chunk(b"PLTE", bytes(12))), "a palette"),
    "rgb.png": (png(8, 2, row=bytes(12)), "colour picture (RGB)"),
    "grey_alpha.png": (png(8, 4, row=bytes(8)), "grey picture with transparency"),
    "transparent.png": (png(8, 0, chunk(b"tRNS", b"\0\1")), "grey picture with transparency"),
    "two_bits.png": (png(2, row=b"\x1b"), "values of 2 bits"),
    "four_bits.png": (png(4, row=b"\x01\x23"), "values of 4 bits"),
    "significant.png": (png(8, 0, chunk(b"sBIT", b"\4")), "sBIT"),
    "moving.png": (png(8, 0, chunk(b"acTL", bytes(8))), "several frames"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_for_what_it_is(tmp_path: Path, name: str, capfd) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / name)
    message = str(caught.value).replace(str(tmp_path), "")
    assert reason in message
    assert reason in BLAMES or not any(blame in message for blame in BLAMES)
    assert "itk" not in message.casefold()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz", "ascii", "text", "hex"])
def test_encodings_that_are_read(tmp_path: Path, encoding: str) -> None:
    data = {"gzip": gzip.compress(RAW), "gz": gzip.compress(RAW), "hex": RAW.hex().encode(), "raw": RAW}
    content = data.get(encoding, " ".join(map(str, VOXELS.ravel())).encode())
    (tmp_path / "a.nrrd").write_bytes(nrrd(content, encoding=encoding))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").array, VOXELS)


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({}, RAW),
        ({"CompressedData": "True", "CompressedDataSize": str(len(zlib.compress(RAW)))}, zlib.compress(RAW)),
        ({"CompressedData": "True", "CompressedDataSize": str(len(gzip.compress(RAW)))}, gzip.compress(RAW)),
        ({"ElementDataFile": "Local"}, RAW),
        ({"BinaryData": "False"}, " ".join(map(str, VOXELS.ravel())).encode() + b"\n"),
        ({"ElementType": "MET_LONG"}, VOXELS.astype("<i4").tobytes()),
        ({"ElementType": "MET_ULONG_LONG"}, VOXELS.astype("<u8").tobytes()),
        ({"ElementType": "MET_SHORT_ARRAY"}, RAW),
        ({"DistanceUnits": "mm", "ElementToIntensityFunctionSlope": "1"}, RAW),
    ],
)
def test_meta_images_that_are_read(tmp_path: Path, changed: dict[str, str], data: bytes) -> None:
    (tmp_path / "a.mha").write_bytes(meta(data, **changed))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mha").array, VOXELS)


@pytest.mark.parametrize(
    ("kinds", "directions"), [("vector domain domain domain", None), ("domain " * 3 + "vector", LAST)]
)
def test_a_vector_is_channels(tmp_path: Path, kinds: str, directions: str | None) -> None:
    content = four(kinds, directions) if directions else four(kinds)
    (tmp_path / "a.nrrd").write_bytes(content)
    volume = read_volume(tmp_path / "a.nrrd")
    raw = np.frombuffer(RAW * 2, "<i2")
    wanted = raw.reshape(2, 2, 3, 4) if directions else np.moveaxis(raw.reshape(2, 3, 4, 2), -1, 0)
    np.testing.assert_array_equal(volume.array, wanted)


def test_a_list_may_be_layers_or_classes(tmp_path: Path) -> None:
    (tmp_path / "layers.nrrd").write_bytes(four("list domain domain domain"))
    with pytest.raises(InputError, match="holds 2 layers"):
        read_labels(tmp_path / "layers.nrrd")
    p = np.full((2, 3, 4, 2), 0.5, "<f4").tobytes()
    content = four("list domain domain domain", type="float").replace(RAW * 2, p)
    (tmp_path / "p.nrrd").write_bytes(content)
    assert read_probabilities(tmp_path / "p.nrrd").array.shape == (2, 2, 3, 4)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1, row=b"\x60"))
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.tolist() == [[[0, 255, 255, 0]]]
    assert "one bit" in volume.notes[0]
    assert "one bit" in read_labels(tmp_path / "a.png").notes[0]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_packed_voxels_longer_than_the_header_says(tmp_path: Path, suffix: str) -> None:
    packed = gzip.compress(RAW * 100)
    content = nrrd(packed, encoding="gzip") if suffix == ".nrrd" else meta(packed, CompressedData="True")
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(InputError, match="as many again or more follow"):
        read_volume(tmp_path / f"a{suffix}")


def test_a_native_reason_is_passed_on(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(VOXELS)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    content = (tmp_path / "a.nrrd").read_bytes().replace(b"space origin: (0,0,0)", b"space origin: (0,0)")
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InputError, match=r"as the format has it \(parsed 2 values, but space dimension is 3\)"):
        read_volume(tmp_path / "a.nrrd")
