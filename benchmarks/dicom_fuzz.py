"""Spoil good DICOM series at random: each is read exactly as its remaining files say, or refused by the name of a file.

The judge is pydicom and a little arithmetic, none of ours: every voxel of what was read must come from a file that says
so, every file that may be a slice must be in it, and a series that was not harmed must be read.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.images import read_volume

SLICES, ROWS, COLUMNS, STEP = 9, 12, 14, 2.5
SIDE_FILES = ("README.txt", "series.json")
STRAY, FAR = 0.11, 0.22
"""What a pixel may lie off, mm: 0.1 in place and, at the far corner, 0.1 in direction."""


def a_uid(rng: np.random.Generator) -> str:
    return str(generate_uid(entropy_srcs=[str(rng.integers(2**62))]))


def make(folder: Path, rng: np.random.Generator) -> None:
    """A CT series, axial or oblique, signed or not, that states its length or does not."""
    folder.mkdir(parents=True)
    angle = rng.choice([0.0, 0.3])
    row, column = np.array([np.cos(angle), 0, np.sin(angle)]), np.array([0.0, 1, 0])
    normal = np.cross(row, column)
    signed, stated, series = bool(rng.random() < 0.5), bool(rng.random() < 0.5), a_uid(rng)
    for i in range(SLICES):
        ds = pydicom.Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = a_uid(rng)
        ds.ImageType, ds.Modality, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", i + 1
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = "1.2.3", series, 4
        ds.SeriesDescription, ds.PatientName, ds.PatientID = "thin", "Doe^Jane", "4711"
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
        ds.ImagePositionPatient = [float(f"{v:.5f}") for v in (-20, 31, -440) + i * STEP * normal]
        ds.ImageOrientationPatient = [float(f"{v:.8f}") for v in (*row, *column)]
        ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = [0.8, 0.7], STEP, STEP
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, int(signed)
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        if stated:
            ds.ImagesInAcquisition = SLICES
        ds.PixelData = rng.integers(*((-2048, 2048) if signed else (0, 4096)), (ROWS, COLUMNS)).astype("<i2").tobytes()
        ds.save_as(folder / f"IM{i:04d}", enforce_file_format=True)
    (folder / SIDE_FILES[0]).write_text("A scan.")
    (folder / SIDE_FILES[1]).write_text('{"slices": "many"}')


def one(folder: Path, rng: np.random.Generator) -> Path:
    """Any slice; an end of the series more often than not."""
    files = sorted(p for p in folder.rglob("IM*") if p.is_file())
    return files[int(rng.choice([0, len(files) - 1, rng.integers(len(files))]))]


def retag(path: Path, to: Path | None = None, **tags: object) -> None:
    ds = pydicom.dcmread(path, force=True)
    for name, value in tags.items():
        if value is None:
            ds.pop(name, None)
        else:
            setattr(ds, name, value)
    ds.save_as(to or path)


TAGS: dict[str, tuple[object, ...]] = {
    "SOPClassUID": (None, "", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.3.4"),
    "SOPInstanceUID": (None, "", "1.2.3"),
    "StudyInstanceUID": (None, "", "1.9"),
    "SeriesInstanceUID": (None, "", "1.2.9"),
    "SeriesNumber": (None, 5),
    "InstanceNumber": (None, 1, 3, 99),
    "Modality": (None, "MR", "SR", "SEG"),
    "ImageType": (None, ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], ["DERIVED", "SECONDARY"]),
    "Rows": (None, 6, 13, 0),
    "Columns": (None, 7, 15),
    "NumberOfFrames": (1, 2),
    "SamplesPerPixel": (None, 3),
    "PhotometricInterpretation": (None, "MONOCHROME1", "PALETTE COLOR", "RGB"),
    "BitsAllocated": (None, 8, 32, 1),
    "BitsStored": (None, 8, 16, 17),
    "HighBit": (None, 15, 7),
    "PixelRepresentation": (None, 0, 1),
    "RescaleSlope": (None, 0, 2, 0.5, -1),
    "RescaleIntercept": (None, 0, 0.25, -1000),
    "ImagePositionPatient": (None, [0, 0, 0], [-20, 31, -440], [-20, 31, -439.96], [-20, 31, -441.25], [1, 2]),
    "ImageOrientationPatient": (None, [1, 0, 0, 0, 0, -1], [1, 0, 0, 0.0002, 1, 0], [1, 0, 0, 0.5, 1, 0], [1, 0, 0]),
    "PixelSpacing": (None, [0.8, 0.71], [0.0, 0.7], [0.8, -0.7], [0.8]),
    "SliceThickness": (None, 7, 0),
    "SpacingBetweenSlices": (None, 5),
    "ImagesInAcquisition": (None, 1, SLICES, SLICES + 1, 2 * SLICES),
    "PixelData": (None, b"", bytes(ROWS * COLUMNS), bytes(4 * ROWS * COLUMNS)),
    "PatientName": (None, "M\u00fcller"),
    "ModalityLUTSequence": ([pydicom.Dataset()],),
}
HARMLESS_TAGS = {"SOPInstanceUID", "SliceThickness", "PatientName"}


def drop(folder: Path, rng: np.random.Generator) -> None:
    one(folder, rng).unlink()


def truncate(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])


def zeros(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    path.write_bytes(bytes(path.stat().st_size))


def zeros_from(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    content, at = path.read_bytes(), int(rng.integers(200, 800))
    path.write_bytes(content[:at] + bytes(len(content) - at))


def flipped(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    content = bytearray(path.read_bytes())
    for at in rng.integers(0, len(content) - 2 * ROWS * COLUMNS, int(rng.integers(1, 4))):
        content[at] = int(rng.integers(256))
    path.write_bytes(content)


def packed(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    content = path.read_bytes()
    path.unlink()
    if rng.random() < 0.5:
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(content))
    else:
        with zipfile.ZipFile(folder / "rest.zip", "w") as z:
            z.writestr(path.name, content)


def dangling(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    path.unlink()
    path.symlink_to("nowhere/object")


def other_content(folder: Path, rng: np.random.Generator) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    one(folder, rng).write_text(str(rng.choice(["", "<html>404</html>", pointer, "\x03junk\x00\x01" * 99])))


def other_pixels(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    pixels = rng.integers(0, 4096, (ROWS, COLUMNS)).astype("<u2").tobytes()
    uid = {} if rng.random() < 0.5 else {"SOPInstanceUID": a_uid(rng)}
    retag(path, path.with_name(f"{path.name}a"), PixelData=pixels, **uid)


def retagged(folder: Path, rng: np.random.Generator) -> None:
    name = str(rng.choice(sorted(TAGS)))
    retag(one(folder, rng), **{name: TAGS[name][int(rng.integers(len(TAGS[name])))]})


def all_retagged(folder: Path, rng: np.random.Generator) -> None:
    name = str(rng.choice(sorted(TAGS)))
    value = TAGS[name][int(rng.integers(len(TAGS[name])))]
    for path in sorted(folder.glob("IM*")):
        if path.is_file():
            retag(path, **{name: value})


def copied(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    (folder / "again").mkdir(exist_ok=True)
    shutil.copy(path, folder / "again" / f"{path.name}b")


def copied_under_another_uid(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    retag(path, path.with_name(f"{path.name}c"), SOPInstanceUID=a_uid(rng))


def renamed(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    (folder / "deeper").mkdir(exist_ok=True)
    path.rename(folder / "deeper" / f"IM{rng.integers(10**6)}.{rng.choice(['dcm', '0', 'ima'])}")


def without_preamble(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    content = path.read_bytes()
    path.write_bytes(content[132:] if content[128:132] == b"DICM" else content)


def encoded_otherwise(folder: Path, rng: np.random.Generator) -> None:
    path = one(folder, rng)
    ds = pydicom.dcmread(path)
    if rng.random() < 0.5:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    else:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pydicom.dcmwrite(path, ds, implicit_vr=True, little_endian=True)


def one_uid(folder: Path, rng: np.random.Generator) -> None:
    for path in sorted(folder.glob("IM*")):
        retag(path, SOPInstanceUID="1.2.3.4")


def no_uids(folder: Path, rng: np.random.Generator) -> None:
    for path in sorted(folder.glob("IM*")):
        retag(path, SOPClassUID="", SOPInstanceUID="", SeriesInstanceUID="", StudyInstanceUID="")


HARMFUL = (
    drop,
    truncate,
    zeros,
    zeros_from,
    flipped,
    packed,
    dangling,
    other_content,
    other_pixels,
    retagged,
    all_retagged,
)
HARMLESS = (copied, copied_under_another_uid, renamed, without_preamble, encoded_otherwise, one_uid, no_uids)
WEIGHTS = {retagged: 8, drop: 3, truncate: 3, flipped: 4, all_retagged: 4}


def spoil(folder: Path, rng: np.random.Generator) -> tuple[str, bool]:
    """Name of what was done, and whether it did no harm. Mostly one thing, sometimes two."""
    every = (*HARMFUL, *HARMLESS)
    weights = np.array([WEIGHTS.get(m, 1) for m in every], float)
    first = every[int(rng.choice(len(every), p=weights / weights.sum()))]
    first(folder, rng)
    if rng.random() < 0.7:
        return first.__name__, first in HARMLESS
    second = drop if rng.random() < 0.3 else retagged
    if any(p.is_file() for p in folder.rglob("IM*")):
        try:
            second(folder, rng)
        except Exception:  # pydicom cannot retag what was spoilt before
            return first.__name__, False
    return f"{first.__name__} + {second.__name__}", False


def numbers_of(ds: pydicom.Dataset) -> np.ndarray:
    """Values of a file by pydicom, bits above BitsStored left out."""
    for name, value in (("SamplesPerPixel", 1), ("PhotometricInterpretation", "MONOCHROME2")):
        if ds.get(name) is None:
            setattr(ds, name, value)  # one number a pixel, if their length says so too
    ds.PhotometricInterpretation = ds.PhotometricInterpretation.upper()
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if ds.original_encoding[0] else ExplicitVRLittleEndian
    if ds.get("BitsStored") is None:
        ds.BitsStored = ds.BitsAllocated
    if int(ds.get("HighBit") or ds.BitsStored - 1) != ds.BitsStored - 1:
        raise ValueError("HighBit")
    numbers = ds.pixel_array
    slope, intercept = ds.get("RescaleSlope"), ds.get("RescaleIntercept")
    return numbers * (1.0 if slope is None else float(slope)) + (0.0 if intercept is None else float(intercept))


def wrong_in_reading(folder: Path, volume) -> str | None:
    """What the files say otherwise than the volume; None where all agree."""
    seen, told = set(), 0
    for path in sorted(p for p in folder.rglob("*") if not p.is_dir()):
        if path.name in SIDE_FILES:
            continue
        try:
            ds = pydicom.dcmread(path, force=True)
            values = numbers_of(ds)
            place = np.array(ds.ImagePositionPatient, float)
            row, column = np.split(np.array(ds.ImageOrientationPatient, float), 2)
            dy, dx = (float(v) for v in ds.PixelSpacing)
        except Exception as e:
            return f"{path.name} is no slice ({type(e).__name__}: {e}) and was left out"
        k = round(float(volume.geometry.index(place)[0]))
        if not 0 <= k < volume.array.shape[0] or values.shape != volume.array.shape[1:]:
            return f"{path.name} lies outside, or has another size"
        far = place + (values.shape[1] - 1) * dx * row + (values.shape[0] - 1) * dy * column
        off = np.linalg.norm(volume.geometry.lps((k, 0, 0)) - place)
        off_far = np.linalg.norm(volume.geometry.lps((k, values.shape[0] - 1, values.shape[1] - 1)) - far)
        if off > STRAY or off_far > FAR:
            return f"{path.name} lies {off:.2g} mm, its far corner {off_far:.2g} mm off"
        if not np.array_equal(volume.array[k].astype(float), values):
            return f"{path.name} has other values than slice {k}"
        seen.add(k)
        told = max(told, int(ds.get("ImagesInAcquisition") or 0))
    n = volume.array.shape[0]
    if seen != set(range(n)):
        return f"slices {sorted(set(range(n)) - seen)} come from no file"
    if told > n and not any("states" in note for note in volume.notes):
        return f"{told} images are stated, {n} were read, and nothing is said"
    if told < n and not any("does not state its length" in note for note in volume.notes):
        return "nothing states the length, and nothing is said"
    return None


def judge(folder: Path, names: set[str], harmless: bool) -> tuple[str, str]:
    """("read", "refused" or "WRONG", why)."""
    try:
        volume = read_volume(folder)
    except InputError as e:
        line = str(e)
        if harmless:
            return "WRONG", f"nothing was harmed, and it is refused: {line}"
        now = {p.name for p in folder.rglob("*")}
        if "\n" in line or not any(name in line for name in names | now):
            return "WRONG", f"names no file: {line}"
        return "refused", line
    except Exception as e:
        return "WRONG", f"{type(e).__name__}: {e}"
    wrong = wrong_in_reading(folder, volume)
    return ("read", "") if wrong is None else ("WRONG", wrong)


def trial(root: Path, seed: int) -> tuple[str, str, str]:
    """(what was done, outcome, why) of one spoilt series."""
    rng = np.random.default_rng(seed)
    folder = root / f"series-{seed}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(folder, rng)
        names = {p.name for p in folder.iterdir()} - set(SIDE_FILES)
        done, harmless = spoil(folder, rng)
        outcome, why = judge(folder, names, harmless)
    shutil.rmtree(folder)
    return done, outcome, why


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", action="store_true", help="print every line that refuses")
    options = parser.parse_args()
    table: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as root:
        for i in range(options.mutations):
            done, outcome, why = trial(Path(root), options.seed + i)
            table[done.split(" + ")[0] if " + " not in done else "two of them", outcome] += 1
            if outcome == "WRONG" or options.lines:
                print(f"{options.seed + i}: {done}: {outcome}: {why}")
    print("\n| what was done | read, as the files say | refused, naming a file | wrong |\n|---|---|---|---|")
    for done in sorted({key[0] for key in table}):
        print(f"| {done.replace('_', ' ')} | {' | '.join(str(table[done, o]) for o in ('read', 'refused', 'WRONG'))} |")
    total = [sum(n for (_, o), n in table.items() if o == outcome) for outcome in ("read", "refused", "WRONG")]
    print(f"\nPromised: 0 wrong of {options.mutations}. Found: {total[0]} read, {total[1]} refused, {total[2]} wrong.")
    return 1 if total[2] else 0


if __name__ == "__main__":
    sys.exit(main())
