"""Record simulated readers for cases with a reference, and generate whole data sets to learn from."""

from __future__ import annotations

import json
import os.path
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.datalist import SPLITS, DataCase, Split
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.formats import WRITABLE, Format, format_of, stem_of, suffix_of
from napari_deferredseg.io.images import read_labels, write_labels, write_volume
from napari_deferredseg.io.phantom import TABLE
from napari_deferredseg.io.phantom_cases import Size, make_case
from napari_deferredseg.io.plain_names import is_plain
from napari_deferredseg.masks.simulate import PROFILES, ReaderProfile, count_right, read_as, reader_rng, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import LabelMap

CASES = "cases.json"
DEFAULT_READERS = tuple(PROFILES.values())
HELD_OUT = 0.2


@dataclass(frozen=True)
class Recorded:
    """What was written.

    Attributes
    ----------
    file : Path
        The list of cases.
    counts : dict of split to int
        Cases in each part.
    accuracy : dict of reader to (float, float, float)
        Share of voxels that the reader has right inside, at borders, outside; NaN where no case has such a voxel.
    """

    file: Path
    counts: dict[Split, int]
    accuracy: dict[str, tuple[float, float, float]]


def parse_reader(text: str) -> ReaderProfile:
    """Profile of NAME:WHERE, such as "Ada:border".

    Raises
    ------
    InputError
        Another form, a name that cannot be a folder's, or an unknown strength.
    """
    name, colon, where = text.rpartition(":")
    if not colon or not re.fullmatch(r"\w(?:[\w .-]*\w)?", name):
        raise InputError(f"the reader {text!r} is not NAME:WHERE with a plain name, as in Ada:border")
    if where not in PROFILES:
        raise InputError(f"the reader {text!r} has no known strength {where!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[where].model_copy(update={"name": name})


def simulate_readers(
    data: Path,
    out: Path,
    readers: Sequence[ReaderProfile] = DEFAULT_READERS,
    seed: int = 0,
    progress: Progress = silent,
) -> Recorded:
    """Write what each reader makes of each case, and a list of cases that names it all.

    A reading depends on the seed, the reader's name, the name of the case's image file and the label's voxels, on
    nothing else: it is the same wherever the files lie. Readers whom the list names already stay in it.

    Parameters
    ----------
    data : Path
        List of cases with labels; see `read_datalist`.
    out : Path
        New folder: masks in `readers/NAME/`, and `cases.json`, which refers to images and labels where they are.
    readers : sequence of ReaderProfile
        Their names differ.
    seed : int
        0 or more.

    Raises
    ------
    InputError
        A case without a label, a reader twice, a folder in use, or files that cannot be read or written; nothing is
        left behind then.
    """
    datalist = read_datalist(data)
    _check_names(readers, datalist.experts())
    if out.resolve() == data.parent.resolve():
        raise InputError(f"{out} is the folder of {data.name}: give a new folder, so that the data stay as they are")
    every = [(split, case, _label_of(case, data)) for split in SPLITS for case in datalist.split(split)]
    names = _mask_names([label for _, _, label in every], data.parent)
    tally = _Tally(readers)
    written: dict[Split, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    found: dict[int, str] = {}
    with _new_folder(out) as part:
        for number, ((split, case, label), name) in enumerate(zip(every, names, strict=True)):
            progress(number / len(every), f"reading {name}")
            truth = read_labels(label)
            found |= {entry.value: entry.name for entry in truth.table.labels}
            file = name + _suffix(label, truth)
            key = f"{case.image[0].name} {voxel_hash(truth.array, b'')}"
            masks = _record(truth, key, part, file, tally, seed)
            written[split].append(_entry(case, masks, out))
        _write_list(part / CASES, written, found | datalist.labels)
    progress(1.0, "done")
    return tally.recorded(out / CASES, written)


def make_phantoms(
    out: Path,
    cases: int = 60,
    seed: int = 0,
    size: Size = "full",
    readers: Sequence[ReaderProfile] = DEFAULT_READERS,
    progress: Progress = silent,
) -> Recorded:
    """Generate abdomens that differ, with labels, readers, and a list of cases: 60 % training, the rest halved.

    Parameters
    ----------
    out : Path
        New folder: `images/`, `labels/`, `readers/NAME/` and `cases.json`.
    cases : int
        Patients, one case each.
    seed : int
        0 or more.
    size : {"full", "small"}
        Grid; see `make_case`.

    Raises
    ------
    InputError
        A reader twice, no cases, a folder in use or one that cannot be written; nothing is left behind then.
    """
    if cases < 1 or seed < 0:
        raise InputError(f"{cases} cases with seed {seed} cannot be made; ask for 1 or more, and a seed of 0 or more")
    _check_names(readers, ())
    tally = _Tally(readers)
    written: dict[Split, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    with _new_folder(out) as part:
        for folder in ("images", "labels"):
            (part / folder).mkdir()
        for number in range(cases):
            name = f"phantom-{number:03d}.nii.gz"
            progress(number / cases, f"making {stem_of(Path(name))}")
            made = make_case(seed, number, size)
            write_volume(part / "images" / name, made.volume)
            write_labels(part / "labels" / name, made.truth.array, made.truth.geometry, made.truth.table)
            masks = _record(made.truth, stem_of(Path(name)), part, name, tally, seed)
            written[_split_of(number, cases)].append(
                {
                    "image": f"images/{name}",
                    "label": f"labels/{name}",
                    "experts": masks,
                    "patient": stem_of(Path(name)),
                    "phase": made.phase,
                }
            )
        _write_list(part / CASES, written, {label.value: label.name for label in TABLE.labels})
    progress(1.0, "done")
    return tally.recorded(out / CASES, written)


class _Tally:
    """How often each reader was right, by zone."""

    def __init__(self, readers: Sequence[ReaderProfile]) -> None:
        self.readers = tuple(readers)
        self._counts: dict[str, NDArray[np.int64]] = {r.name: np.zeros((3, 2), np.int64) for r in readers}

    def add(self, reader: str, counts: NDArray[np.int64]) -> None:
        self._counts[reader] += counts

    def recorded(self, file: Path, written: dict[Split, list[dict[str, Any]]]) -> Recorded:
        accuracy = {}
        for name, counts in self._counts.items():
            inside, border, outside = (float(right / all_) if all_ else float("nan") for right, all_ in counts)
            accuracy[name] = (inside, border, outside)
        return Recorded(file, {split: len(cases) for split, cases in written.items()}, accuracy)


def _record(truth: LabelMap, key: str, part: Path, name: str, tally: _Tally, seed: int) -> dict[str, str]:
    """Write the masks of all readers for one case; their paths by reader."""
    around = surroundings(truth.array, truth.geometry.spacing_zyx)
    masks = {}
    for reader in tally.readers:
        reading = read_as(around, reader, reader_rng(seed, key, reader.name))
        tally.add(reader.name, count_right(around, reading, reader))
        masks[reader.name] = f"readers/{reader.name}/{name}"
        path = part / masks[reader.name]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, reading, truth.geometry, truth.table)
    return masks


def _check_names(readers: Sequence[ReaderProfile], taken: Sequence[str]) -> None:
    seen = {name.casefold() for name in taken}
    for reader in readers:
        if reader.name.casefold() in seen:
            raise InputError(f"there is a reader {reader.name} already; give each a name of their own")
        seen.add(reader.name.casefold())


def _label_of(case: DataCase, where: Path) -> Path:
    if case.label is None:
        raise InputError(f"{where}: the case {case.key} has no label to read from; add one, or leave the case out")
    return case.label


def _mask_names(labels: Sequence[Path], folder: Path) -> list[str]:
    """Name of each case's masks: the label's own; where several have the same, with their folders before it."""
    plain = [stem_of(path) for path in labels]
    if len({name.casefold() for name in plain}) < len(plain):
        places = [Path(_relative(path, folder)) for path in labels]
        plain = ["_".join((*(p for p in place.parts[:-1] if p != ".."), stem_of(place))) for place in places]
    names: list[str] = []
    for number, stem in enumerate(plain):
        unique = stem if stem.casefold() not in {name.casefold() for name in plain[:number]} else f"{stem}-{number}"
        names.append(unique)
    return names


def _suffix(path: Path, truth: LabelMap) -> str:
    """Format of the label, or NIfTI where that cannot be written; only NIfTI can say that nobody knows the sides."""
    suffix = suffix_of(path)
    writable = suffix in WRITABLE and (truth.geometry.orientation_known or format_of(path) is Format.NIFTI)
    return suffix if writable else ".nii.gz"


def _split_of(number: int, cases: int) -> Split:
    held_out = round(HELD_OUT * cases)
    if number >= cases - held_out:
        return "test"
    return "validation" if number >= cases - 2 * held_out else "training"


def _entry(case: DataCase, masks: dict[str, str], out: Path) -> dict[str, Any]:
    """Case as JSON, with the new masks and with paths relative to the new folder."""
    images = [_relative(path, out) for path in case.image]
    entry: dict[str, Any] = {
        "image": images if len(images) > 1 else images[0],
        "label": _relative(_label_of(case, out), out),
        "experts": {name: _relative(path, out) for name, path in case.experts.items()} | masks,
    }
    if case.prompt:
        entry["prompt"] = _relative(case.prompt, out)
    if case.support:
        entry["support"] = {name: _relative(path, out) for name, path in case.support.items()}
    if case.patient is not None:
        entry["patient"] = case.patient
    return {**(case.model_extra or {}), **entry}


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive, on Windows
        return path.resolve().as_posix()


def _write_list(path: Path, written: dict[Split, list[dict[str, Any]]], labels: dict[int, str]) -> None:
    content: dict[str, Any] = {"labels": {str(value): labels[value] for value in sorted(labels)}}
    content |= dict(written.items())
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text if is_plain(text) else json.dumps(content, indent=1), encoding="utf-8")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Folder to write to, which takes its place when all is done."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is not empty: give a new folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=".writing-") as folder:
            part = Path(folder) / "part"
            part.mkdir()
            yield part
            if out.exists():
                out.rmdir()
            part.replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; choose another place") from None
