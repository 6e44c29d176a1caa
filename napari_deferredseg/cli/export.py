"""`deferredseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import ProjectOption, given_path, opened, progress_bar, show_table


def export(
    project: ProjectOption,
    to: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder to write to; made where it is missing.", parser=given_path, metavar="PATH"
        ),
    ],
    form: Annotated[str, typer.Option("--format", help="File format: nifti.")] = "nifti",
    case: Annotated[list[str] | None, typer.Option(help="Only this case; repeat for more. All by default.")] = None,
) -> None:
    """Write the AI's masks with the readers' corrections, on the source grid."""
    from napari_deferredseg.usecases.export import export_cases

    with opened(project) as open_project, progress_bar() as progress:
        done = export_cases(open_project, to, form, case or (), progress)
    table = Table("case", "file", "corrections", "regions waiting", box=None)
    for x in done:
        table.add_row(x.case.key, str(x.files[0]), str(x.corrections), str(x.waiting))
    show_table(table)
