"""Read cases, check them, and write what is learned from."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.datalist import SPLITS
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import unsaid
from napari_deferredseg.core.volume import LabelTable, labels_present
from napari_deferredseg.deferral.data.cases import Prepared, PreparedCase
from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.data.images import prepared_image, read_image
from napari_deferredseg.io.images import on_grid_of, read_labels
from napari_deferredseg.masks.consensus import leave_one_out, majority, staple
from napari_deferredseg.masks.prompts import in_terms_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.datalist import DataCase, Datalist, Split
    from napari_deferredseg.core.progress import Progress, Tell
    from napari_deferredseg.core.volume import LabelMap, Volume
    from napari_deferredseg.deferral.data.train_settings import DataConfig


MOST_LABELS = 255


def prepare(
    datalist: Datalist,
    config: DataConfig,
    folder: Path,
    progress: Progress,
    splits: Sequence[Split] = SPLITS,
    known: tuple[tuple[str, ...], LabelTable, int] | None = None,
    tell: Tell = unsaid,
) -> Prepared:
    """Read every file once, check it, and write what training needs into `folder`.

    Parameters
    ----------
    known : (experts, table, channels), optional
        Of a model that is to be judged; taken from the cases when training.
    tell : callable
        Gets what was decided in reading a file.

    Raises
    ------
    InputError
        A file cannot be used, masks are on another grid than their image, images differ in channels, or one image is
        in two splits, of all that the list has.
    """
    listed = [(split, number, case) for split in splits for number, case in enumerate(datalist.split(split))]
    cases = [case for _, _, case in listed]
    experts, table, channels = known or (_experts(cases), _table(datalist, cases), 0)
    if len(table.labels) > MOST_LABELS:
        raise InputError(f"the cases have {len(table.labels)} labels, {MOST_LABELS} are possible; name fewer")
    if config.consensus == "leave-one-out" and len(experts) < 2:
        raise InputError("consensus = 'leave-one-out' needs two readers or more; choose 'majority'")
    found: list[PreparedCase] = []
    seen = _Seen()
    digest = hashlib.blake2b(digest_size=16)
    for done, (split, number, case) in enumerate(listed):
        progress(done / len(listed), f"reading case {done + 1} of {len(listed)}")
        volume = read_image(case.image)
        count = volume.array.shape[0] if volume.array.ndim == 4 else 1
        if channels not in (0, count):
            raise InputError(f"{case.image[0]}: has {count} channels, {channels} were expected; give all images alike")
        channels = count
        seen.add(volume, split, case)
        place = folder / f"{split}{number:05d}"
        geometry = model_geometry(volume.geometry, config.spacing_mm)
        prepared = PreparedCase(
            place, f"{split}{number:05d}", case.key, split, geometry, case.groups, tuple(case.image)
        )
        for note in volume.notes:
            tell(note)
        digest.update(_write(prepared, case, _OnGrid(volume, tell), experts, table, config))
        found.append(prepared)
    for split in (s for s in SPLITS if s not in splits):
        for case in datalist.split(split):
            seen.add(read_image(case.image), split, case)
    return Prepared(tuple(found), experts, table, channels, digest.hexdigest())


class _Seen:
    """Images by their voxels, to find one that is in two splits under two names."""

    def __init__(self) -> None:
        self._where: dict[bytes, tuple[Split, Path]] = {}

    def add(self, volume: Volume, split: Split, case: DataCase) -> None:
        voxels = hashlib.blake2b(np.ascontiguousarray(volume.array).data, digest_size=16).digest()
        other, where = self._where.setdefault(voxels, (split, case.image[0]))
        if other != split:
            raise InputError(f"{case.image[0]}: is the same image as {where} of {other}; keep it in one split")


def _experts(cases: Sequence[DataCase]) -> tuple[str, ...]:
    """Who drew on these cases: nobody is learned of whom there is nothing to learn."""
    return tuple(sorted({name for case in cases for name in case.experts}))


def _table(datalist: Datalist, cases: Sequence[DataCase]) -> LabelTable:
    """Classes of the labels, or where there are none of the experts' masks; named by the list, else by the files."""
    if datalist.labels:
        return datalist.table
    table = LabelTable()
    for case in cases:
        for path in [case.label] if case.label else list(case.experts.values()):
            mask = read_labels(path)
            table = LabelTable(labels=(*table.labels, *(x for x in mask.table.labels if x.value not in table)))
    if not table.labels:
        raise InputError("no mask holds a label: there is nothing to learn")
    return table.completed(())


@dataclass(frozen=True)
class _OnGrid:
    """Masks of an image, on its grid; what was decided in reading them is told."""

    volume: Volume
    tell: Tell

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volume.geometry.shape

    def mask(self, path: Path) -> LabelMap:
        """Read a mask. InputError when it cannot be read, or lies elsewhere."""
        mask = on_grid_of(self.volume, read_labels(path))
        for note in mask.notes:
            self.tell(note)
        return mask


def _write(
    prepared: PreparedCase,
    case: DataCase,
    images: _OnGrid,
    experts: tuple[str, ...],
    table: LabelTable,
    config: DataConfig,
) -> bytes:
    """Write a case's arrays; what was written already is kept. Returns a digest of the masks and the image."""
    volume = images.volume
    masks = np.zeros((len(experts), *images.shape), np.uint8)
    valid = np.zeros((len(experts), *images.shape), np.bool_)
    for j, name in enumerate(experts):
        if name in case.experts:
            masks[j] = _classes(case.experts[name], images, table)
            valid[j] = _support(case, name, images)
    digest = hashlib.blake2b(masks.data, digest_size=16)
    digest.update(np.ascontiguousarray(volume.array).data)
    reference, known, right = _reference(case, images, table, masks, valid, config)
    digest.update(reference.data)
    prompt = None if case.prompt is None else in_terms_of(table, images.mask(case.prompt))[0]
    if prompt is not None:
        digest.update(prompt.data)
    stamp = json.dumps([digest.hexdigest(), config.model_dump(mode="json"), table.model_dump(mode="json")])
    if not _is_written(prepared.folder, stamp):
        if prepared.folder.exists():
            shutil.rmtree(prepared.folder)  # with what was said of another case
        prepared.folder.mkdir(parents=True)
        arrays, shape = prepared.arrays, prepared.geometry.shape
        arrays.image.save(prepared_image(volume, config))
        arrays.reference.save(resampled(reference, shape))
        arrays.known.save(resampled(known, shape))
        arrays.experts.save(resampled(masks, shape))
        arrays.valid.save(resampled(valid & known & _compared(case, valid, config), shape))
        arrays.right.save(resampled(right, shape))
        if prompt is not None:
            arrays.prompt.save(prompt)
        (prepared.folder / "stamp.json").write_text(stamp, encoding="utf-8")
    return digest.digest()


def _is_written(folder: Path, stamp: str) -> bool:
    try:
        return (folder / "stamp.json").read_text(encoding="utf-8") == stamp
    except OSError:
        return False


def _classes(path: Path, images: _OnGrid, table: LabelTable) -> NDArray[np.uint8]:
    """Label values of a file as classes counted from 0."""
    mask = images.mask(path)
    unknown = [v for v in labels_present(mask.array) if v not in table]
    if unknown:
        raise InputError(f"{path}: holds label {unknown[0]}, which no reference names; add it or remap the file")
    lut = np.zeros(max(int(mask.array.max()), 1) + 1, np.uint8)
    for number, label in enumerate(table.labels, start=1):
        if label.value < len(lut):
            lut[label.value] = number
    return np.asarray(lut[mask.array], np.uint8)


def _support(case: DataCase, name: str, images: _OnGrid) -> NDArray[np.bool_]:
    if name not in case.support:
        return np.ones(images.shape, np.bool_)
    return np.asarray(images.mask(case.support[name]).array > 0)


def _compared(case: DataCase, valid: NDArray[np.bool_], config: DataConfig) -> NDArray[np.bool_]:
    """Where (K, z, y, x) there is something to compare each expert with."""
    if case.label is not None or config.consensus != "leave-one-out":
        return np.ones_like(valid)
    return np.asarray(valid.sum(axis=0) > valid)  # somebody else answers too


def _reference(
    case: DataCase,
    images: _OnGrid,
    table: LabelTable,
    masks: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    config: DataConfig,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Reference, where it is known, and where each expert is right."""
    if case.label is not None:
        reference = _classes(case.label, images, table)
        return reference, np.ones(reference.shape, np.bool_), masks == reference
    make = staple if config.consensus == "staple" else majority
    found, known = make(masks, valid)
    reference = np.asarray(found, np.uint8)
    if config.consensus != "leave-one-out":
        return reference, known, masks == reference
    return reference, known, masks == leave_one_out(masks, valid)
