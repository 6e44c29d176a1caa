"""The demo: a generated abdomen with two AI masks and three readers, as files and a project of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.records import Reader, Role
from napari_deferredseg.io.phantom import make_phantom
from napari_deferredseg.io.writing import write_labels, write_volume
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.usecases.running.triage import RunReport

READERS = (
    Reader(login="ada", name="Ada Moreau", capacity=30, specialities=("liver", "liver lesion"), groups=("abdomen",)),
    Reader(login="ben", name="Ben Okafor", capacity=45, groups=("abdomen",)),
    Reader(login="chen", name="Chen Li", capacity=20, specialities=("left kidney", "right kidney"), role=Role.LEAD),
)
BUDGET = Budget(amount=30, unit="minutes")
"""Enough that every reader has work, whatever abdomen is made."""


def make_demo(folder: Path, seed: int = 0, progress: Progress = silent) -> RunReport:
    """Write the phantom's files and a routed project into a new folder.

    Raises
    ------
    InputError
        The folder holds something already or cannot be written.
    """
    with init_project(folder, name="demo") as project:
        progress(0.05, "making an abdomen")
        phantom = make_phantom(seed)
        volume, first, second = (folder / name for name in ("phantom.mha", "ai_first.mha", "ai_second.mha"))
        write_volume(volume, phantom.volume)
        write_labels(first, phantom.first.array, phantom.first.geometry, phantom.first.table)
        write_labels(second, phantom.second.array, phantom.second.geometry, phantom.second.table)
        for reader in READERS:
            project.store.add_reader(reader)
        files = ExternalInput(volume=volume, labels=(first, second))
        return run_external(project, files, BUDGET, progress=lambda share, doing: progress(0.5 + share / 2, doing))
