"""What a person has set for their computer: a file in their configuration folder."""

from __future__ import annotations

import contextlib
import json
import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from napari_deferredseg.core.budget import DEFAULT_BUDGET, Budget
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.keys import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

FILE = "settings.json"
LONGEST = 60
WINDOWS: dict[str, tuple[float, float]] = {
    "CT soft tissue": (40, 400),
    "CT lung": (-600, 1500),
    "CT bone": (400, 1800),
    "CT brain": (40, 80),
    "CT liver": (60, 160),
}
"""Level and width of each preset, HU."""
PERCENTILES, FULL = "MR", "full range"
"""Presets that follow the image's own intensities."""
CHOOSE = "Window ..."
"""What a list of presets says before one is chosen."""
MOST = 1e6
"""Levels and widths beyond it are slips of the hand."""
# Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008), without the ones that look like tissue.
OUTLINES = ("#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2", "#ffffff")


def _a_budget(text: str) -> str:
    try:
        Budget.parse(text, otherwise=DEFAULT_BUDGET.unit)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _a_folder(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_absolute():
        raise ValueError(f"{path} is no full path")
    return path


def _names(windows: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    taken = [name for name in windows if name.casefold() in {x.casefold() for x in (PERCENTILES, FULL, CHOOSE)}]
    if taken:
        raise ValueError(f"{taken[0]!r} is an entry of the list of windows already; choose another name")
    return windows


Name = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"^\S(.*\S)?$")]
Level = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Width = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
Color = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Folder = Annotated[Path, AfterValidator(_a_folder)]


class Settings(BaseModel):
    """Defaults of the command line and the panels.

    Parameters
    ----------
    budget : str
        What a run sends to readers where nothing else is said, as `Budget.parse` reads it.
    windows : dict of name to (level, width)
        Presets that the panels offer, in the image's own unit (HU for CT).
    outlines : tuple of str
        Colours (#rrggbb) of readers and groups around their regions, in the order of their names.
    projects : Path, optional
        Where dialogs look for projects.
    models : Path, optional
        A folder of model folders, offered in every project.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: Annotated[str, AfterValidator(_a_budget)] = f"{DEFAULT_BUDGET.amount:.0%}"
    windows: Annotated[dict[Name, tuple[Level, Width]], AfterValidator(_names)] = WINDOWS
    outlines: Annotated[tuple[Color, ...], Field(min_length=1)] = OUTLINES
    projects: Folder | None = None
    models: Folder | None = None

    def default_budget(self) -> Budget:
        """Budget of a run that names none."""
        return Budget.parse(self.budget, otherwise=DEFAULT_BUDGET.unit)

    def folder_of_projects(self, last: Path | None) -> str:
        """Where a dialog for projects starts, "" for anywhere; `last` is the project that was open last."""
        return str(self.projects or (last.parent if last is not None else ""))


def settings_file() -> Path:
    """File that holds the settings; it need not exist."""
    return own_folder() / FILE


def check_settings(values: Mapping[str, object]) -> Settings:
    """Settings of these values; those that are not there are the defaults.

    Raises
    ------
    InputError
        One of them cannot be used; the message names it.
    """
    return _checked(json.dumps(dict(values), default=str))


def read_settings(tell: Callable[[str], object] | None = None) -> Settings:
    """Settings of whoever runs this; the defaults where there is no file, or one that cannot be used.

    `tell` gets one line about a file that cannot be used. The file stays as it is.
    """
    path = settings_file()
    try:
        return _checked(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, InputError) as error:
        if tell is not None:
            why = str(error) if isinstance(error, InputError) else "it cannot be read"
            tell(f"the settings in {path} are not used, the defaults are: {why}; mend the file, or save them anew")
        return Settings()


def save_settings(settings: Settings) -> Path:
    """Keep settings; a file that could not be used is kept beside it under another name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        It cannot be written; nothing has changed.
    """
    path = settings_file()
    unfinished = path.with_name(f".{FILE}.part-{os.getpid()}")
    damaged: list[str] = []
    read_settings(damaged.append)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(settings.model_dump_json(indent=2, exclude_defaults=True) + "\n", encoding="utf-8")
        if damaged:
            path.replace(_free_name(path))
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(f"{path}: the settings cannot be kept ({error.strerror}); check the folder") from error
    return path


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}-damaged{number or ''}{path.suffix}") for number in count())
    return next(name for name in names if not name.exists())


def _checked(text: str) -> Settings:
    try:
        return Settings.model_validate_json(text)
    except ValidationError as error:
        raise InputError(_line(error.errors(include_url=False, include_input=False)[0])) from error


def _line(error: ErrorDetails) -> str:
    """What is wrong with which setting, as whoever fills in the page calls it."""
    what = error["msg"].removeprefix("Value error, ")
    match error["loc"]:
        case ("windows", name, "[key]"):
            return f"name of the window {name!r}: write 1 to {LONGEST} characters, no blanks around them"
        case ("windows", name, 0 | 1 as column, *_):
            number = f"-{MOST:,.0f} to {MOST:,.0f}" if column == 0 else f"above 0, at most {MOST:,.0f}"
            return f"{('level', 'width')[column]} of {name!r}: write a number such as 40.5 ({number})"
        case ("outlines", int(number)):
            return f"colour {number + 1} of the outlines: write it as #rrggbb"
        case (str(name),) if error["type"] == "extra_forbidden":
            return f"{name}: there is no such setting"
        case where:
            return f"{' '.join(map(str, where))}: {what}" if where else what
