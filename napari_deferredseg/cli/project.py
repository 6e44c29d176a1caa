"""`deferredseg project ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deferredseg.cli.console import given_path, opened, out

app = typer.Typer(help="Make and check projects.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make and check projects."""


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="New folder, on a local disk.", parser=given_path, metavar="FOLDER")],
    name: Annotated[str | None, typer.Option(help="Name of the project; the folder's by default.")] = None,
) -> None:
    """Make a project: a folder that holds the database, predictions and the journal."""
    from napari_deferredseg.usecases.project import init_project

    with init_project(folder, name) as made:
        out.print(f"Made project {made.info.name!r} in {made.folder}")


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Project folder.", parser=given_path, metavar="FOLDER")],
) -> None:
    """Check that no correction was changed since it was submitted."""
    with opened(folder) as project:
        problems = project.store.verify()
        count = len(project.store.corrections())
    for line in problems:
        out.print(line)
    if problems:
        raise typer.Exit(1)
    out.print(f"{count} corrections, every one as it was submitted.")
