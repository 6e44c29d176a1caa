"""`deferredseg run`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import ProjectOption, given_path, opened, out, progress_bar, show_table
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from napari_deferredseg.usecases.run import RunReport


class Unit(StrEnum):
    """What a budget counts."""

    PREDICTED_FOREGROUND = "predicted-foreground"
    VOXELS = "voxels"
    MINUTES = "minutes"
    REGIONS = "regions"


def run(
    volume: Annotated[
        Path, typer.Argument(help="Image file, or folder of a DICOM series.", parser=given_path, metavar="VOLUME")
    ],
    project: ProjectOption,
    model: Annotated[
        str, typer.Option(help="Model; 'external' takes the output of an AI that ran elsewhere.")
    ] = "external",
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="AI mask; the first is the one under review, repeat for the others.", parser=given_path, metavar="PATH"
        ),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(
            help="Class probabilities of the AI, in place of a second mask.", parser=given_path, metavar="PATH"
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="How much to send to readers: 10% of the unit, or a number of minutes or regions.")
    ] = "10%",
    unit: Annotated[Unit, typer.Option(help="What the budget counts.")] = Unit.PREDICTED_FOREGROUND,
    series: Annotated[
        str | None, typer.Option(help="DICOM series, by UID or number, where a folder has several.")
    ] = None,
    orientation_checked: Annotated[
        bool,
        typer.Option("--orientation-checked", help="You made sure which side is left; the file does not say."),
    ] = False,
) -> None:
    """Find where not to trust a segmentation, and give those regions to the project's readers."""
    from napari_deferredseg.routing.budget import Budget
    from napari_deferredseg.usecases.run import ExternalInput, run_external

    if model != "external":
        raise InputError(f"there is no model {model!r}; known models: external")
    files = ExternalInput(
        volume=volume,
        labels=tuple(labels or ()),
        probabilities=probabilities,
        series=series,
        orientation_checked=orientation_checked,
    )
    amount = Budget.parse(budget, unit=unit.value)
    with opened(project) as open_project, progress_bar() as progress:
        report = run_external(open_project, files, amount, progress)
    _print(report)


def _print(report: RunReport) -> None:
    again = "" if report.new else " (this very run was in the project already; nothing was changed)"
    if report.remark:
        out.print(f"{report.case.key}: 0 regions, nothing to review: {report.remark}{again}")
        return
    out.print(
        f"{report.case.key}: {len(report.regions)} regions, {report.realised_share:.1%} of the AI's foreground, "
        f"{sum(region.minutes for region in report.regions):.0f} min of reading{again}"
    )
    table = Table("reader", "regions", "min", box=None)
    minutes = {region.id: region.minutes for region in report.regions}
    for reader in sorted({a.reader or a.group or "" for a in report.assignments}):
        mine = [a.region_id for a in report.assignments if (a.reader or a.group) == reader]
        table.add_row(reader, str(len(mine)), f"{sum(minutes[i] for i in mine):.0f}")
    show_table(table)
