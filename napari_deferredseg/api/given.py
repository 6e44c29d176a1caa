"""What a caller may give, as the use cases take it."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deferredseg.core.budget import DEFAULT_BUDGET, Budget
from napari_deferredseg.core.volume import LabelMap, Volume
from napari_deferredseg.io import images
from napari_deferredseg.usecases import project as projects
from napari_deferredseg.usecases.running.models import describe_model, find_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deferredseg.usecases.running.models import InstalledModel

StrPath = str | os.PathLike[str]


def path_of(given: StrPath) -> Path:
    """Path, with `~` for the home folder."""
    return Path(given).expanduser()


def known_model(given: StrPath, project: projects.Project | None = None) -> InstalledModel:
    """Model of this name, which a `str` may be, or in this folder, which a `pathlib.Path` always is."""
    if isinstance(given, str) and not given.startswith("~"):
        return find_model(given, project)
    return describe_model(path_of(given))


def volume_of(given: Volume | StrPath) -> Volume:
    """Volume as it was given, or read."""
    return given if isinstance(given, Volume) else images.read_volume(path_of(given))


def labels_of(given: LabelMap | StrPath) -> LabelMap:
    """Mask as it was given, or read."""
    return given if isinstance(given, LabelMap) else images.read_labels(path_of(given))


def budget_of(given: str | Budget) -> Budget:
    """Budget as it was given, or of its words."""
    return given if isinstance(given, Budget) else Budget.parse(given, otherwise=DEFAULT_BUDGET.unit)


@contextmanager
def opened(project: projects.Project | StrPath) -> Iterator[projects.Project]:
    """Project as it was given, or opened for the time being."""
    if isinstance(project, projects.Project):
        yield project
        return
    with projects.open_project(path_of(project)) as found:
        yield found


def warn(notes: Sequence[str]) -> None:
    """Warn, where the caller of our caller stands, of what was decided in reading files."""
    for note in dict.fromkeys(notes):
        warnings.warn(note, stacklevel=3)
