"""What a caller may give, as the use cases take it."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deferredseg.core.budget import DEFAULT_BUDGET, Budget
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import LabelMap, Volume
from napari_deferredseg.io import images
from napari_deferredseg.usecases import project as projects
from napari_deferredseg.usecases.running.models import describe_model, find_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_deferredseg.usecases.running.models import InstalledModel

StrPath = str | os.PathLike[str]


def path_of(given: StrPath) -> Path:
    """Path, with `~` for the home folder. It need not exist.

    Raises
    ------
    InputError
        It is empty, which would be the current folder; is no path; or is one that the system cannot look up.
    """
    try:
        text = os.fspath(given)
    except TypeError:
        raise InputError(f"{given!r} is no path: give a file or folder, as text or as a pathlib.Path") from None
    if not isinstance(text, str):
        raise InputError(f"{text!r} is no path: give a file or folder, as text or as a pathlib.Path")
    if not text.strip():
        raise InputError("the path is empty: give a file or folder")
    if "\0" in text:
        raise InputError(f"{text!r} holds a NUL character, which no path does: check where it comes from")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{text}: the home folder that ~ stands for is not known; write the whole path") from None
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be looked up ({why}); check the path") from None
    return path


def each(given: object, what: str) -> tuple[object, ...]:
    """Items of a sequence. One that stands alone, such as a text, which is a sequence of letters, is one item."""
    if isinstance(given, str | os.PathLike | Volume | int | float):
        return (given,)
    try:
        items: Iterable[object] = given  # type: ignore[assignment]
        return tuple(items)
    except TypeError:
        raise InputError(f"{given!r} is nothing to give as {what}: give a list") from None


def text_of(given: object, what: str) -> str:
    """Text as it was given; InputError when it is anything else, such as None."""
    if not isinstance(given, str):
        raise InputError(f"{given!r} is nothing to give as {what}: give text")
    return given


def optional_text(given: object, what: str) -> str | None:
    """Text as it was given, or None; InputError when it is anything else."""
    return None if given is None else text_of(given, what)


def texts_of(given: object, what: str) -> tuple[str, ...]:
    """Texts of a sequence, or the one that stands alone."""
    return tuple(text_of(item, what) for item in each(given, what))


def flag_of(given: object, what: str) -> bool:
    """True or False as it was given; InputError when it is anything else: a text such as "no" would count as True."""
    if not isinstance(given, bool):
        raise InputError(f"{given!r} is nothing to give as {what}: give True or False")
    return given


def seed_of(given: object) -> int:
    """Seed as it was given; InputError when it is no whole number from 0 on."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise InputError(f"{given!r} is nothing to give as seed: give a whole number, 0 or more")
    return given


def known_model(given: StrPath, project: projects.Project | None = None) -> InstalledModel:
    """Model of this name, which a `str` may be, or in this folder, which a `pathlib.Path` always is."""
    path = path_of(given)
    if isinstance(given, str) and not given.startswith("~"):
        return find_model(given, project)
    return describe_model(path)


def volume_of(given: Volume | StrPath) -> Volume:
    """Volume as it was given, or read."""
    return given if isinstance(given, Volume) else images.read_volume(path_of(given))


def labels_of(given: LabelMap | StrPath) -> LabelMap:
    """Mask as it was given, or read."""
    return given if isinstance(given, LabelMap) else images.read_labels(path_of(given))


def budget_of(given: str | float | Budget) -> Budget:
    """Budget as it was given, or of its words; a number is a share, as the text of it is."""
    if isinstance(given, Budget):
        return given
    if isinstance(given, int | float) and not isinstance(given, bool):
        return Budget.parse(str(given), otherwise=DEFAULT_BUDGET.unit)
    return Budget.parse(text_of(given, "budget"), otherwise=DEFAULT_BUDGET.unit)


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
