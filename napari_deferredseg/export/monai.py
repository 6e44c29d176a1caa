"""A MONAI data list: images, corrected masks, and what each reader says with the voxels they answer for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.datalist import SPLITS, Split
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import LabelTable, labels_present
from napari_deferredseg.export.base import Written
from napari_deferredseg.export.classes import require_named, require_one_numbering
from napari_deferredseg.export.dataset import (
    finish,
    refuse_foreign_folder,
    whole_folder,
    write_bare_labels,
    write_channels,
    write_json,
)
from napari_deferredseg.export.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.records import CaseRecord
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.export.base import CaseExport

FORM = "monai"
DATALIST = "cases.json"
LOOKING = 0.2
"""Share of the work that is done before the first file is written."""


@dataclass(frozen=True)
class MonaiExport:
    """Writes `cases.json`, with `images`, `labels`, `experts` and `supports` beside it.

    `label` is the mask with everybody's corrections; `experts` holds, for each reader, the AI's mask with their
    corrections alone, and `support` the voxels they answer for. Label values stay as they are. A case's pseudonym
    stands for its patient.

    Parameters
    ----------
    validation, test : float
        Share of the patients in these lists; at least one where it is more than 0. The rest is for training.
    seed : int
        Which patients these are.
    with_sources : bool
        Say in the provenance where images and masks were read from; the list names the copies beside it only.

    Raises
    ------
    InputError
        A share is out of 0 to 1, or nothing is left for training.
    """

    validation: float = 0.0
    test: float = 0.0
    seed: int = 0
    with_sources: bool = False

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{getattr(self, name)} is no share for --{name}: use 0 to 1, such as 0.2")
        if self.validation + self.test >= 1:
            raise InputError("--validation and --test leave nothing for training: use smaller shares")

    def check(self, project: str, cases: Sequence[CaseRecord], folder: Path) -> None:
        """Only an earlier export of the same project may be replaced; there must be patients enough for the lists."""
        refuse_foreign_folder(folder, FORM, project)
        split_patients([case.key for case in cases], self.validation, self.test, self.seed)

    def write(self, cases: Collection[CaseExport], folder: Path, progress: Progress) -> list[Written]:
        """Write images, masks and list, whole or not at all."""
        done: list[Written] = []
        entries: dict[str, dict[str, Any]] = {}
        facts: list[dict[str, Any]] = []
        names = _names(cases, progress)
        project = ""
        with whole_folder(folder) as part:
            for number, export in enumerate(cases):
                progress(LOOKING + (1 - LOOKING) * number / len(cases), f"exporting {export.case.key}")
                entries[export.case.key] = entry = _write_case(part, export)
                done.append(Written(export.case, (folder / entry["label"], folder / DATALIST), len(export.corrections)))
                facts.append(provenance(export, with_sources=self.with_sources))
                project = export.project
            parts = split_patients(list(entries), self.validation, self.test, self.seed)
            lists: dict[str, Any] = {str(name): [entries[key] for key in keys] for name, keys in parts.items() if keys}
            write_json(part / DATALIST, {"labels": names, **lists})
            finish(part, FORM, project, facts)
        return done


def split_patients(patients: Sequence[str], validation: float, test: float, seed: int) -> dict[Split, list[str]]:
    """Deal patients out to the lists. One more patient moves few of the others; their order does not matter.

    Raises
    ------
    InputError
        Nobody is left for training.
    """
    dealt = sorted(set(patients), key=lambda p: hashlib.blake2b(f"{seed}\n{p}".encode(), digest_size=8).digest())
    counts = [max(1, round(share * len(dealt))) if share else 0 for share in (validation, test)]
    if sum(counts) >= len(dealt):
        raise InputError(
            f"{len(dealt)} cases are too few for a list of training and {sum(c > 0 for c in counts)} more: "
            "leave --validation or --test out, or export more cases"
        )
    first, second = counts[0], sum(counts)
    found = (dealt[second:], dealt[:first], dealt[first:second])
    return {name: sorted(keys) for name, keys in zip(SPLITS, found, strict=True)}


def _names(cases: Collection[CaseExport], progress: Progress) -> dict[str, str]:
    """Names of the label values, which all cases share. InputError when they contradict each other."""
    tables = {}
    for number, export in enumerate(cases):
        progress(LOOKING * number / len(cases), f"looking at the labels of {export.case.key}")
        values = {v for array in (export.ai, *(c.after for c in export.corrections)) for v in labels_present(array)}
        tables[export.case.key] = export.prediction.table.completed(values)
    for check in (require_named, require_one_numbering):
        check(tables, "export them to folders of their own with --case")
    every = {label.value: label.name for table in tables.values() for label in table.labels}
    return {"0": "background", **{str(value): every[value] for value in sorted(every)}}


def _write_case(folder: Path, export: CaseExport) -> dict[str, Any]:
    """Write a case's files; return its entry of the list."""
    key = export.case.key
    for sub in ("images", "labels", "experts", "supports"):
        (folder / sub).mkdir(exist_ok=True)

    def masks(sub: str, arrays: Iterable[tuple[str, Array]]) -> dict[str, str]:
        written = {}
        for name, array in arrays:
            # After a case's key, so that a login such as "aux" makes no file that Windows cannot have.
            written[name] = f"{sub}/{key}.{name}.nii.gz" if name else f"{sub}/{key}.nii.gz"
            write_bare_labels(folder / written[name], array, export.case.geometry, LabelTable())
        return written

    label = masks("labels", [("", export.corrected)])[""]
    experts = masks("experts", ((reader, export.corrected_by(reader)) for reader in export.readers))
    support = masks("supports", ((reader, export.support_of(reader).astype(np.uint8)) for reader in export.readers))
    images = [p.relative_to(folder).as_posix() for p in write_channels(folder / "images" / key, export.source())]
    return {
        "image": images[0] if len(images) == 1 else images,
        "label": label,
        "experts": experts,
        "support": support,
        "patient": key,
    }
