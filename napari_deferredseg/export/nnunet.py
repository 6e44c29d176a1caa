"""An nnU-Net v2 raw data set: images, corrected masks with consecutive labels, dataset.json."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import LabelTable, labels_present
from napari_deferredseg.export.base import Written
from napari_deferredseg.export.classes import (
    Classes,
    class_names,
    number_classes,
    renumbered,
    require_named,
    require_one_numbering,
)
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
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.records import CaseRecord
    from napari_deferredseg.core.volume import Volume
    from napari_deferredseg.export.base import CaseExport

ENDING = ".nii.gz"
FORM = "nnunet"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
APART = "export them to data sets of their own with --case"
LOOKING = 0.2
"""Share of the work that is done before the first file is written."""


@dataclass(frozen=True)
class NnunetExport:
    """Writes `DatasetNNN_Name` with `imagesTr`, `labelsTr`, `dataset.json` and `provenance.json`.

    Parameters
    ----------
    dataset : int
        Number of the data set, 1 to 999; 1 to 10 are those of the Medical Segmentation Decathlon.
    name : str
        Letters, digits, dash, underscore.
    ignore_unreviewed : bool
        Give nnU-Net's label "ignore" to every voxel that no reader answers for. Cases without any other are left out.
    channel : tuple of str
        Names of the image's channels. nnU-Net normalises one that is called "CT" as Hounsfield units. By default the
        modality where all cases have the same, as DICOM series say it, else "image".
    by_name : bool
        Take cases whose label tables number the same names differently: one name is one class.
    with_sources : bool
        Say in the provenance where images and masks were read from.

    Raises
    ------
    InputError
        The number or the name cannot be used.
    """

    dataset: int = 500
    name: str = "Corrected"
    ignore_unreviewed: bool = False
    channel: tuple[str, ...] = ()
    by_name: bool = False
    with_sources: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.dataset <= 999:
            raise InputError(f"{self.dataset} is no number of an nnU-Net data set: use 1 to 999")
        if not NAME.fullmatch(self.name):
            raise InputError(f"{self.name!r} is no name of an nnU-Net data set: use letters, digits, dash, underscore")
        if any(not name.strip() for name in self.channel):
            raise InputError("the name of a channel is empty: give one such as CT or T1")

    @property
    def folder_name(self) -> str:
        """Name of the data set's folder."""
        return f"Dataset{self.dataset:03d}_{self.name}"

    def check(self, project: str, cases: Sequence[CaseRecord], folder: Path) -> None:
        """Only an earlier export of the same project may be replaced; two data sets of one number are refused."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: give a folder to export to")
        refuse_foreign_folder(folder / self.folder_name, FORM, project)
        twins = [p for p in sorted(folder.glob(f"Dataset{self.dataset:03d}_*")) if p.name != self.folder_name]
        if twins:
            raise InputError(f"{twins[0]} has the number {self.dataset} already: choose another with --dataset")

    def write(self, cases: Collection[CaseExport], folder: Path, progress: Progress) -> list[Written]:
        """Write the data set, whole or not at all."""
        names = self._names(cases, progress)
        classes = number_classes(names.values())
        target = folder / self.folder_name
        done: list[Written] = []
        members: list[_Member] = []
        with whole_folder(target) as part:
            for number, export in enumerate(cases):
                key = export.case.key
                progress(LOOKING + (1 - LOOKING) * number / len(cases), f"exporting {key}")
                files: tuple[Path, ...] = ()
                if key in names:
                    members.append(self._write_case(part, export, classes, names[key]))
                    self._check_channels(members)
                    files = tuple(target / p.relative_to(part) for p in members[-1].files)
                done.append(Written(export.case, files, len(export.corrections)))
            write_json(part / "dataset.json", self._description(classes, members))
            finish(part, FORM, members[0].project, [x.facts for x in members])
        return done

    def _names(self, cases: Collection[CaseExport], progress: Progress) -> dict[str, dict[int, str]]:
        """Names of the labels in each case that goes into the data set."""
        names = {}
        tables = {}
        for number, export in enumerate(cases):
            progress(LOOKING * number / len(cases), f"looking at the labels of {export.case.key}")
            if self.ignore_unreviewed and not export.reviewed.any():
                continue
            known = export.corrected[export.reviewed] if self.ignore_unreviewed else export.corrected
            present = labels_present(known)
            names[export.case.key] = class_names(export.prediction.table, present)
            tables[export.case.key] = export.prediction.table.completed(present)
        if not names:
            raise InputError("no reader has reviewed any of the cases: export without --ignore-unreviewed, or later")
        if not any(names.values()):
            raise InputError("the masks to export hold no label at all, and nothing can be learned from them")
        require_named(tables, APART)
        if not self.by_name:
            require_one_numbering(tables, f"{APART}, or with --by-name, where the names are right whatever the numbers")
        return names

    def _write_case(self, folder: Path, export: CaseExport, classes: Classes, names: dict[int, str]) -> _Member:
        numbers = classes.numbers(names)
        ignore = len(classes.names) + 1
        labels = renumbered(export.corrected, numbers, highest=ignore)
        if self.ignore_unreviewed:
            labels[~export.reviewed] = ignore
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir(exist_ok=True)
        mask = folder / "labelsTr" / f"{export.case.key}{ENDING}"
        write_bare_labels(mask, labels, export.case.geometry, LabelTable())
        volume = export.source()
        return _Member(
            key=export.case.key,
            project=export.project,
            files=(mask, *write_channels(folder / "imagesTr" / export.case.key, _finite(volume))),
            modality=volume.modality,
            facts={
                **provenance(export, with_sources=self.with_sources),
                "classes": {str(value): number for value, number in numbers.items()},
            },
        )

    def _check_channels(self, members: Sequence[_Member]) -> None:
        first, last = members[0], members[-1]
        if last.channels != first.channels:
            raise InputError(
                f"{last.key} has {last.channels} channels and {first.key} has {first.channels}: "
                "export them to data sets of their own with --case"
            )
        if self.channel and len(self.channel) != last.channels:
            raise InputError(
                f"{last.key} has {last.channels} channels, and {len(self.channel)} names are given: "
                "repeat --channel for each, or leave it out"
            )

    def _description(self, classes: Classes, members: Sequence[_Member]) -> dict[str, Any]:
        labels = {"background": 0, **{name: number for number, name in enumerate(classes.names, start=1)}}
        if self.ignore_unreviewed:
            labels["ignore"] = len(labels)
        return {
            "name": self.folder_name,
            "channel_names": {str(number): name for number, name in enumerate(self.channel or _channel_names(members))},
            "labels": labels,
            "numTraining": len(members),
            "file_ending": ENDING,
        }


@dataclass(frozen=True)
class _Member:
    """A case in the data set; the first of its files is the mask, the others are the channels."""

    key: str
    project: str
    files: tuple[Path, ...]
    modality: str
    facts: dict[str, Any]

    @property
    def channels(self) -> int:
        return len(self.files) - 1


def _channel_names(members: Sequence[_Member]) -> tuple[str, ...]:
    modalities = {x.modality for x in members}
    name = modalities.pop() if len(modalities) == 1 else ""
    count = members[0].channels
    return (name or "image",) if count == 1 else tuple(f"image {number}" for number in range(1, count + 1))


def _finite(volume: Volume) -> Volume:
    if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
        raise InputError(
            f"{volume.source}: holds voxels that are NaN or infinite, which nnU-Net refuses; set them first"
        )
    return volume
