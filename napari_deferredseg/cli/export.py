"""`deferredseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import AsOption, ProjectOption, acting, given_path, opened, progress_bar, show_table


def export(
    project: ProjectOption,
    to: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder to write to; made where it is missing.", parser=given_path, metavar="PATH"
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="nifti: masks; nnunet: nnU-Net v2 raw data set; monai: MONAI data list with every reader."
        ),
    ] = "nifti",
    case: Annotated[list[str] | None, typer.Option(help="Only this case; repeat for more. All by default.")] = None,
    dataset: Annotated[int | None, typer.Option(help="nnunet: number of the data set; 500 by default.")] = None,
    name: Annotated[str | None, typer.Option(help="nnunet: name of the data set; Corrected by default.")] = None,
    ignore_unreviewed: Annotated[
        bool | None,
        typer.Option("--ignore-unreviewed", help="nnunet: label 'ignore' where no reader has answered for the voxel."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="nnunet: name of the image's channel, such as CT for Hounsfield units; repeat for more."),
    ] = None,
    by_name: Annotated[
        bool | None,
        typer.Option(
            "--by-name",
            help="nnunet: one name is one class, where the cases' tables number the same names differently.",
        ),
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="monai: share of the cases for validation, such as 0.2; none by default.")
    ] = None,
    test: Annotated[float | None, typer.Option(help="monai: share of the cases for test; none by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="monai: which cases these are; 0 by default.")] = None,
    with_sources: Annotated[
        bool,
        typer.Option("--with-sources", help="Say in the provenance which files image and masks were read from."),
    ] = False,
    by: AsOption = None,
) -> None:
    """Write the AI's masks with the readers' corrections, on the source grid, to look at or to train with."""
    from napari_deferredseg.usecases.export import export_cases, make_exporter

    options = {
        "dataset": dataset,
        "name": name,
        "ignore_unreviewed": ignore_unreviewed,
        "channel": tuple(channel) if channel else None,
        "by_name": by_name,
        "validation": validation,
        "test": test,
        "seed": seed,
        "with_sources": with_sources,
    }
    exporter = make_exporter(form, **{key: value for key, value in options.items() if value is not None})
    with opened(project) as open_project, progress_bar() as progress:
        done = export_cases(open_project, to, exporter, case or (), progress, acting(open_project, by))
    table = Table("case", "file", "corrections", "regions waiting", box=None)
    for x in done:
        table.add_row(x.case.key, str(x.files[0]) if x.files else "-", str(x.corrections), str(x.waiting))
    show_table(table)
