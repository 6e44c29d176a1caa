"""`deferredseg project ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deferredseg.cli.console import out

app = typer.Typer(help="Make and check projects.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make and check projects."""


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="New folder, on a local disk.")],
    name: Annotated[str | None, typer.Option(help="Name of the project; the folder's by default.")] = None,
) -> None:
    """Make a project: a folder that holds the database, predictions and the journal."""
    from napari_deferredseg.usecases.project import init_project

    with init_project(folder, name) as made:
        out.print(f"Made project {made.info.name!r} in {made.folder}", highlight=False, markup=False)


@app.command("verify")
def verify(folder: Annotated[Path, typer.Argument(help="Project folder.")]) -> None:
    """Check that no correction was changed since it was submitted."""
    from napari_deferredseg.cli.console import opened

    with opened(folder) as project:
        problems = project.store.verify()
        count = len(project.store.corrections())
    for line in problems:
        out.print(line, highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)
    out.print(f"{count} corrections, every one as it was submitted.", highlight=False)
