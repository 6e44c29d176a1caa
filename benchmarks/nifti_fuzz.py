"""Change the headers of good NIfTI files at random: `python benchmarks/nifti_fuzz.py --mutations 500 --seed 0`.

Each changed file must read exactly as nibabel reads it (voxels, scaling, size, and the affine where a form is set), or
be refused with one line that names it. nibabel is the judge; what it refuses must be refused.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import random
import struct
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.images import read_labels, read_volume

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (7, 6, 5)
# Offset and layout of each field of NIfTI-1 and NIfTI-2.
FIELDS = {
    1: {
        **{"sizeof_hdr": (0, "i"), "datatype": (70, "h"), "bitpix": (72, "h"), "vox_offset": (108, "f")},
        **{"scl_slope": (112, "f"), "scl_inter": (116, "f"), "xyzt_units": (123, "B"), "intent_code": (68, "h")},
        **{"qform_code": (252, "h"), "sform_code": (254, "h")},
        **{f"dim[{i}]": (40 + 2 * i, "h") for i in range(8)},
        **{f"pixdim[{i}]": (76 + 4 * i, "f") for i in range(8)},
        **{f"quatern_{c}": (256 + 4 * i, "f") for i, c in enumerate("bcd")},
        **{f"qoffset_{c}": (268 + 4 * i, "f") for i, c in enumerate("xyz")},
        **{f"sform[{i}]": (280 + 4 * i, "f") for i in range(12)},
    },
    2: {
        **{"sizeof_hdr": (0, "i"), "datatype": (12, "h"), "bitpix": (14, "h"), "vox_offset": (168, "q")},
        **{"scl_slope": (176, "d"), "scl_inter": (184, "d"), "xyzt_units": (500, "i"), "intent_code": (504, "i")},
        **{"qform_code": (344, "i"), "sform_code": (348, "i")},
        **{f"dim[{i}]": (16 + 8 * i, "q") for i in range(8)},
        **{f"pixdim[{i}]": (104 + 8 * i, "d") for i in range(8)},
        **{f"quatern_{c}": (352 + 8 * i, "d") for i, c in enumerate("bcd")},
        **{f"qoffset_{c}": (376 + 8 * i, "d") for i, c in enumerate("xyz")},
        **{f"sform[{i}]": (400 + 8 * i, "d") for i in range(12)},
    },
}
WHOLE = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 16, 64, 128, 256, 348, 512, 768, 1007, 1024, 1536, 2304, 32767)
REAL = (0.0, 1.0, -1.0, 0.5, 2.0, 1e-3, 1.0005, 1e-40, 3e38, float("nan"), float("inf"), float("-inf"), 352.0, 352.5)


@dataclass(frozen=True)
class Case:
    """A changed file: what was changed, and its bytes."""

    what: str
    suffix: str
    content: bytes


def good_files(rng: random.Random) -> list[tuple[str, int, str, bytes]]:
    """Whole files of many kinds: name, version, byte order, bytes."""
    numbers = np.random.default_rng(rng.randrange(1 << 30))
    made = []
    for version, kind in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        for dtype in ("int16", "uint8", "float32"):
            for endian in "<>":
                for forms in ("both", "qform", "sform", "none"):
                    header = kind.header_class(endianness=endian)
                    header.set_data_dtype(dtype)
                    header.set_data_shape(SHAPE)
                    affine = _affine(rng)
                    header.set_qform(affine, 1 if forms in ("both", "qform") else 0)
                    header.set_sform(affine, 1 if forms in ("both", "sform") else 0)
                    header["scl_slope"], header["scl_inter"] = rng.choice(
                        [(1, 0), (0, 0), (0.5, -3), (float("nan"), 0)]
                    )
                    header["vox_offset"] = header.single_vox_offset
                    values = numbers.integers(0, 4, SHAPE[::-1]).astype(header.get_data_dtype())
                    name = f"NIfTI-{version} {dtype} {'little' if endian == '<' else 'big'} {forms}"
                    made.append((name, version, endian, header.binaryblock + bytes(4) + values.tobytes()))
    return made


def _affine(rng: random.Random) -> np.ndarray:
    angle = rng.uniform(-3, 3)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn[:, rng.sample(range(3), 3)] * (0.8, 0.7, 2.5)
    affine[:3, 3] = [rng.uniform(-200, 200) for _ in range(3)]
    return affine


def mutated(rng: random.Random, files: list[tuple[str, int, str, bytes]]) -> Case:
    """One file with one to three changes of its header, or of its length."""
    name, version, endian, whole = rng.choice(files)
    content, said = bytearray(whole), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        said.append(rng.choice(CHANGES)(rng, version, endian, content))
    if rng.random() < 0.15:
        said.append(_length(rng, content))
    suffix = rng.choice((".nii", ".nii.gz"))
    raw = bytes(content)
    if suffix == ".nii.gz":
        raw = gzip.compress(raw, 1, mtime=0)
        if rng.random() < 0.2:
            raw = raw[: rng.randrange(len(raw))] if rng.random() < 0.5 else raw + rng.randbytes(rng.randrange(1, 99))
            said.append("stream cut or longer")
    return Case(f"{name}{suffix}: {', '.join(said)}", suffix, raw)


def _field(rng: random.Random, version: int, endian: str, content: bytearray) -> str:
    name, (at, layout) = rng.choice(list(FIELDS[version].items()))
    if layout in "fd":
        near = struct.unpack_from(endian + layout, content, at)[0] * 1.0001
        value: float = rng.choice((*REAL, rng.uniform(-3, 3), near if abs(near) < 1e38 else 0.0))
    else:
        value = rng.choice((*WHOLE, rng.randrange(256), struct.unpack_from(endian + layout, content, at)[0] ^ 1))
    value = value % 256 if layout == "B" else value
    struct.pack_into(endian + layout, content, at, value)
    return f"{name} = {value}"


def _bytes(rng: random.Random, version: int, endian: str, content: bytearray) -> str:
    at, length = rng.randrange(348 if version == 1 else 540), rng.randint(1, 4)
    content[at : at + length] = rng.randbytes(length)
    return f"{length} bytes at {at}"


def _bit(rng: random.Random, version: int, endian: str, content: bytearray) -> str:
    at, bit = rng.randrange(348 if version == 1 else 540), rng.randrange(8)
    content[at] ^= 1 << bit
    return f"bit {bit} of byte {at}"


def _length(rng: random.Random, content: bytearray) -> str:
    if rng.random() < 0.5:
        del content[rng.randrange(len(content)) :]
        content += bytes(max(0, 4 - len(content)))
        return f"cut to {len(content)}"
    content += rng.randbytes(rng.randrange(1, 2000))
    return f"{len(content)} bytes long"


CHANGES: tuple[Callable[[random.Random, int, str, bytearray], str], ...] = (_field, _field, _field, _bytes, _bit)


def judge(case: Case, folder: Path) -> str:
    """Say "exact" or "refused" where the promise is kept; else what is wrong."""
    path = folder / f"case{case.suffix}"
    path.write_bytes(case.content)
    try:
        read = read_volume(path)
    except InputError as error:
        line = str(error)
        return "refused" if path.name in line and "\n" not in line else f"refused without the file's name: {line}"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return _compared(path, read.array, read.geometry) or _as_labels(path, read.array) or "exact"


def _compared(path: Path, array: np.ndarray, geometry) -> str:
    try:
        image = nib.load(path)
        values = np.asanyarray(image.dataobj)
    except Exception as error:
        return f"read, though nibabel refuses it: {error}"
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    wanted = values.transpose().reshape([n for n in values.shape[:2:-1] if n > 1] + list(values.shape[2::-1]))
    if array.shape != wanted.shape:
        return f"size {array.shape} where nibabel says {wanted.shape}"
    if not np.array_equal(array, wanted.astype(array.dtype), equal_nan=array.dtype.kind == "f"):
        return "voxels differ from nibabel's"
    known = bool(image.header["sform_code"] or image.header["qform_code"])
    if known != geometry.orientation_known:
        return f"orientation known: {geometry.orientation_known}, by nibabel {known}"
    if known:
        ours = np.diag([-1.0, -1, 1, 1]) @ geometry.affine()[:, [2, 1, 0, 3]]
        off = np.abs((ours - image.affine) @ np.array([*(n - 1 for n in geometry.shape[::-1]), 1.0])).max()
        if not off <= 1e-6 * max(1.0, np.abs(image.affine).max()):
            return f"lies {off:.3g} mm from where nibabel puts it"
    return ""


def _as_labels(path: Path, array: np.ndarray) -> str:
    try:
        labels = read_labels(path)
    except InputError:
        return ""
    off = np.abs(labels.array - array.astype(float)).max()
    stored = nib.load(path).dataobj
    step = abs(stored.slope) if np.dtype(stored.dtype).kind in "iu" else 0.0
    return "" if off <= 1e-4 or off <= min(step, 0.25) * 1.001 else f"labels {off:.3g} off the values"


def run(mutations: int, seed: int, folder: Path) -> list[tuple[Case, str]]:
    """Judge so many changed files."""
    rng = random.Random(seed)
    files = good_files(rng)
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)
    found = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, _, _, content in files:
            case = Case(name, ".nii", content)
            found.append((case, "good" if judge(case, folder) == "exact" else f"good file: {judge(case, folder)}"))
        for _ in range(mutations):
            case = mutated(rng, files)
            found.append((case, judge(case, folder)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.mutations, asked.seed, Path(folder))
    kept = {"good", "exact", "refused"}
    counts = Counter(outcome if outcome in kept else "broken" for _, outcome in found)
    print(f"seed {asked.seed}: {len(found)} files, {asked.mutations} of them changed")
    print("promised: every file reads exactly as nibabel says, or is refused with a line that names it")
    print("found:    " + ", ".join(f"{counts[name]} {name}" for name in (*sorted(kept), "broken")))
    for case, outcome in found:
        if outcome not in kept:
            print(f"  {case.what}\n    {outcome}")
    raise SystemExit(bool(counts["broken"]))


if __name__ == "__main__":
    main()
