"""`deferredseg model ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import (
    AsOption,
    ProjectOption,
    acting,
    given_path,
    opened,
    out,
    progress_bar,
    show_table,
)

if TYPE_CHECKING:
    from napari_deferredseg.usecases.running.models import InstalledModel

app = typer.Typer(help="List, add and show deferral models.", no_args_is_help=True)

AnyProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        "-p",
        help="Project folder, for its own models too.",
        envvar="DEFERREDSEG_PROJECT",
        show_envvar=True,
        parser=given_path,
        metavar="PATH",
    ),
]


@app.callback()
def _group() -> None:
    """List, add and show deferral models."""


@app.command("list")
def list_known(project: AnyProjectOption = None) -> None:
    """List the models that come with the product, and those of a project."""
    from napari_deferredseg.usecases.running.models import list_models

    if project is None:
        known = list_models()
    else:
        with opened(project) as open_project:
            known = list_models(open_project)
    table = Table("model", "labels", "expert channels", "images", "from", box=None)
    for x in known:
        origin = "the product" if x.shipped else "the project"
        table.add_row(x.name, ", ".join(x.labels), ", ".join(x.experts) or "-", str(x.channels), origin)
    if known:
        show_table(table)
    else:
        out.print("No models yet: train one with deferredseg train, then add it with deferredseg model add.")


@app.command("add")
def add(
    folder: Annotated[
        Path, typer.Argument(help="Model folder, made by: deferredseg train.", parser=given_path, metavar="FOLDER")
    ],
    project: ProjectOption,
    by: AsOption = None,
) -> None:
    """Copy a model folder into a project, whose members then choose it by its name."""
    from napari_deferredseg.usecases.running.models import add_model

    with opened(project) as open_project:
        added = add_model(open_project, folder, acting(open_project, by))
    out.print(f"Added model {added.name}; use it with: deferredseg run VOLUME --model {added.name}")


@app.command("trust")
def trust(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Model folder; without one, what is allowed is listed.", parser=given_path, metavar="FOLDER"
        ),
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Allow it no longer.")] = False,
) -> None:
    """Allow a model to make its network by code of another package on this computer, where you know what that does."""
    from napari_deferredseg.usecases.running import models

    if folder is None:
        for call in models.allowed_calls():
            out.print(call)
        return
    call = models.withdraw(folder) if withdraw else models.allow(folder)
    out.print(f"{'No longer allowed' if withdraw else 'Allowed'} on this computer: {call}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a model, or its folder.", metavar="NAME")],
    project: AnyProjectOption = None,
) -> None:
    """Print the card of a model: what it is for, what it learned from, what validation chose, its limits."""
    from napari_deferredseg.usecases.running.domain import domain_lines

    found = _found(name, project)
    out.print(found.read_card())
    out.print("\n".join(["## Images that it learned from", "", *(f"- {line}" for line in domain_lines(found)), ""]))


@app.command("measure")
def measure(
    folder: Annotated[Path, typer.Argument(help="Model folder.", parser=given_path, metavar="FOLDER")],
    data: Annotated[
        Path,
        typer.Option("--data", help="Cases file that the model learned from.", parser=given_path, metavar="PATH"),
    ],
    modality: Annotated[str, typer.Option(help="Such as CT, where the files do not say it.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Write over a record that is there.")] = False,
) -> None:
    """Record what images a model learned from, for one that has no such record; its weights stay as they are."""
    from napari_deferredseg.usecases.running.domain import measure_domain

    with progress_bar() as progress:
        domain = measure_domain(folder, data, modality, progress, replace=replace)
    for line in domain.described():
        out.print(line)


def _found(name: str, project: Path | None) -> InstalledModel:
    from napari_deferredseg.usecases.running.models import find_model

    if project is None:
        return find_model(name)
    with opened(project) as open_project:
        return find_model(name, open_project)
