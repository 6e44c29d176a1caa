"""How the command line talks: results on standard output, everything else on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.usecases.project import Project

# What people typed is printed as they typed it: no markup, no emoji codes.
out = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
err = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)
PIPE_WIDTH = 10_000


def given_path(text: str) -> Path:
    """Path of an argument. An empty one, such as a variable that is not set, must not become the current folder."""
    if not text.strip():
        raise typer.BadParameter("the path is empty: give a file or folder")
    return Path(text)


ProjectOption = Annotated[
    Path,
    typer.Option(
        "--project",
        "-p",
        help="Project folder.",
        envvar="DEFERREDSEG_PROJECT",
        show_envvar=True,
        parser=given_path,
        metavar="PATH",
    ),
]


def show_table(table: Table) -> None:
    """Print a table; in a pipe every row is one line."""
    if out.is_terminal:
        out.print(table)
        return
    wide = Console(width=PIPE_WIDTH, markup=False, emoji=False, highlight=False)
    with wide.capture() as text:
        wide.print(table)
    for line in text.get().splitlines():
        out.print(line.rstrip())


def note(sentence: str) -> None:
    """Print what somebody should read before the result is believed."""
    err.print(f"note: {sentence}")


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """Open a project for the length of a command."""
    from napari_deferredseg.usecases.project import open_project

    with open_project(folder) as project:
        yield project


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on standard error while a command works; it is gone afterwards. None when nobody watches."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, doing: bar.update(task, completed=share, description=doing)
