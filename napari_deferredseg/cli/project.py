"""`deferredseg project ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deferredseg.cli.console import (
    AsOption,
    ProjectOption,
    acting,
    err,
    given_path,
    note,
    opened,
    out,
    progress_bar,
)
from napari_deferredseg.core.errors import Damaged

app = typer.Typer(help="Make and check projects.", no_args_is_help=True)
keys = typer.Typer(help="The key that seals a project's record.", no_args_is_help=True)
app.add_typer(keys, name="key")


@app.callback()
def _group() -> None:
    """Make and check projects."""


@keys.callback()
def _keys() -> None:
    """The key that seals a project's record: on the computers of those who hold it, never in the project."""


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="New folder, on a local disk.", parser=given_path, metavar="FOLDER")],
    name: Annotated[str | None, typer.Option(help="Name of the project; the folder's by default.")] = None,
) -> None:
    """Make a project: a folder that holds the database, predictions and the journal."""
    from napari_deferredseg.usecases.project import init_project
    from napari_deferredseg.usecases.readers import first_admin

    admin = first_admin()
    with init_project(folder, name, admin.reader) as made:
        out.print(f"Made project {made.info.name!r} in {made.folder}")
    out.print(str(admin))


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Project folder.", parser=given_path, metavar="FOLDER")],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also check that the record goes on from this receipt.json; repeat for more.",
            parser=given_path,
            metavar="RECEIPT",
        ),
    ] = None,
) -> None:
    """Check that nothing was changed since it was written: corrections, events, regions, labels, array files."""
    from napari_deferredseg.usecases.record.verify import verify_project

    with opened(folder) as project, progress_bar() as progress:
        found = verify_project(project, against or (), progress)
        count = len(project.store.corrections()) if not found.problems else 0
    for line in found.problems:
        out.print(line)
    for line in found.remarks:
        err.print(f"note: {line}")
    if found.problems:
        raise typer.Exit(Damaged.exit_code)
    out.print(f"{count} corrections, every one as it was submitted.")


@keys.command("export")
def export_key(
    file: Annotated[Path, typer.Argument(help="New file for the key.", parser=given_path, metavar="FILE")],
    project: ProjectOption,
    by: AsOption = None,
) -> None:
    """Write the project's key to a file, to hand it on or to keep it apart. Whoever has it can seal."""
    from napari_deferredseg.usecases.permissions import open_to_all
    from napari_deferredseg.usecases.record.hand_on import export_key

    with opened(project) as at:
        if free := open_to_all(at):
            note(free)
        key = export_key(at, file, acting(at, by))
    out.print(f"Wrote the key {key.id} to {file}: keep it apart from the project")


@keys.command("import")
def import_key(
    file: Annotated[Path, typer.Argument(help="File that holds the key.", parser=given_path, metavar="FILE")],
    project: ProjectOption,
    by: AsOption = None,
) -> None:
    """Keep the project's key on this computer, and seal what was written without it."""
    from napari_deferredseg.usecases.record.hand_on import import_key

    with opened(project) as at:
        key = import_key(at, file, acting(at, by))
        seals = not at.store.reads_only
    out.print(f"This computer has the key {key.id} of {project} now")
    if not seals:
        note("nothing can be written in this project: what was written without the key stays unsealed there")
