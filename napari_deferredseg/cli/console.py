"""How the command line talks: results on standard output, everything else on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from napari_deferredseg.core.names import visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.usecases.project import Project


class PlainConsole(Console):
    """Prints what people typed as they typed it: no markup, no emoji codes, and nothing that a terminal obeys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text passes here, those in tables too."""
        return super().render_str(visible(text), **options)


out = PlainConsole(soft_wrap=True)
err = PlainConsole(stderr=True, soft_wrap=True)
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


AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Login of who acts; this computer's user where that is a login of the project.",
        metavar="LOGIN",
        show_default=False,
    ),
]


def acting(project: Project, login: str | None) -> str | None:
    """Login of who acts in a command; None where nobody is named and this computer's user is no login."""
    from napari_deferredseg.usecases.readers import who_acts

    return who_acts(project, login)


def show_table(table: Table) -> None:
    """Print a table; in a pipe every row is one line."""
    if out.is_terminal:
        out.print(table)
        return
    wide = PlainConsole(width=PIPE_WIDTH)
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

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, doing: bar.update(task, completed=share, description=visible(doing))
