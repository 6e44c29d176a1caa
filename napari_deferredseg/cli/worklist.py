"""`deferredseg worklist`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_deferredseg.cli.console import ProjectOption, acting, opened, out, show_table
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.core.volume import LabelTable


def worklist(
    reader: Annotated[str, typer.Option(help="Login or name of the reader.")],
    project: ProjectOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, [] when there is nothing to do.")] = False,
) -> None:
    """List the regions that wait for a reader, in the order to do them."""
    with opened(project) as open_project:
        store = open_project.store
        items = store.worklist(store.reader(reader).login)
        tables = {item.case.key: store.prediction(item.case.key).table for item in items}
    lines = [as_dict(item, tables[item.case.key]) for item in items]
    if as_json:
        typer.echo(json.dumps(lines, indent=1))
        return
    table = Table("case", "region", "labels", "mm3", "min", "slices", "state", "note", box=None)
    for x in lines:
        first, last = x["slices"]
        labels = ", ".join(x["labels"])
        size = f"{x['volume_mm3']:.0f}"
        row = (
            x["case"],
            str(x["number"]),
            labels,
            size,
            f"{x['minutes']:.1f}",
            f"{first}-{last}",
            x["state"],
            x["note"] or "-",
        )
        table.add_row(*row)
    if lines:
        show_table(table)
    else:
        out.print("Nothing to do.")


def release(
    case: Annotated[str, typer.Argument(help="Case of the region, as the worklist names it.")],
    region: Annotated[int, typer.Argument(help="Number of the region.")],
    project: ProjectOption,
    by: Annotated[
        str | None,
        typer.Option(
            "--as",
            "--by",
            help="Login of who does it, who holds the region or is a lead; this computer's user where that is a login.",
            metavar="LOGIN",
            show_default=False,
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Why, kept in the record (no patient names).")] = "",
) -> None:
    """Give back a region that a reader holds and does not read any more: one's own, or as a lead or admin."""
    from napari_deferredseg.usecases.reading.defer import release_region

    with opened(project) as open_project:
        who = acting(open_project, by)
        if who is None:
            raise InputError("nobody is named as the one who releases, and this computer's user is no login: give --as")
        release_region(open_project, case, region, who, note)
    out.print(f"Region {region} of {case} waits again.")


def as_dict(item: WorkItem, table: LabelTable) -> dict[str, Any]:
    """Facts of a region for a script: plain values, mm in LPS, slices along the array's first axis, both ends in."""
    region = item.region
    return {
        "id": region.id,
        "number": region.number,
        "case": item.case.key,
        "labels": [table.name(value) for value in region.labels],
        "label_values": list(region.labels),
        "volume_mm3": round(region.volume, 3),
        "center_lps_mm": [round(x, 3) for x in region.center],
        "box_zyx": [list(span) for span in region.box],
        "slices": [region.box[0][0], region.box[0][1] - 1],
        "minutes": region.minutes,
        "state": item.assignment.state.value,
        "reader": item.assignment.reader,
        "group": item.assignment.group,
        "origin": region.origin.value,
        "note": item.note,
    }
