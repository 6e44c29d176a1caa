"""How the command line talks: results on standard output, everything else on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from napari_deferredseg.usecases.progress import Progress
    from napari_deferredseg.usecases.project import Project

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="Project folder.", envvar="DEFERREDSEG_PROJECT", show_envvar=True)
]


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """Open a project for the length of a command."""
    from napari_deferredseg.usecases.project import open_project

    with open_project(folder) as project:
        yield project


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on standard error while a command works; it is gone afterwards."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, doing: bar.update(task, completed=share, description=doing)
