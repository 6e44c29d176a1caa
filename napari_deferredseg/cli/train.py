"""`deferredseg train` and `deferredseg evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import given_path, note, out, progress_bar, show_table
from napari_deferredseg.core.budget import ShareUnit
from napari_deferredseg.core.errors import Cancelled
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM

DataOption = Annotated[
    Path, typer.Option("--data", help="Cases file (JSON, MONAI datalist style).", parser=given_path, metavar="PATH")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
COLUMNS = ("realised", "dice", "headroom", "remaining", "hd95", "nsd", "regions", "max_min_share")


class CaseSplit(StrEnum):
    """CaseSplit of the cases to judge on."""

    TEST = "test"
    TRAINING = "training"


def train(
    data: DataOption,
    to: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the new model.", parser=given_path, metavar="PATH")
    ],
    config: Annotated[
        Path | None, typer.Option(help="Settings (TOML); defaults where none.", parser=given_path, metavar="PATH")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.", min=0)] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train a deferral model; a run that was cut off goes on when the same command is given again."""
    from napari_deferredseg.usecases.learn import train_model, unfinished

    try:
        with progress_bar() as progress:
            folder = train_model(data, to, config, seed, device, progress, tell=note)
    except KeyboardInterrupt:
        if (work := unfinished(to)) is None:
            raise
        raise Cancelled(f"interrupted; what is done is kept in {work}: the same command goes on from there") from None
    out.print(f"{folder}: a model folder; read its CARD.md, then judge it with: deferredseg evaluate")


def evaluate(
    model: Annotated[Path, typer.Option(help="Model folder.", parser=given_path, metavar="PATH")],
    data: DataOption,
    to: Annotated[
        Path, typer.Option("--out", "-o", help="New folder for the report.", parser=given_path, metavar="PATH")
    ],
    split: Annotated[CaseSplit, typer.Option(help="Cases to judge on.")] = CaseSplit.TEST,
    budget: Annotated[
        list[str] | None, typer.Option(help="Such as 5%; repeat for more. Those of the model by default.")
    ] = None,
    unit: Annotated[ShareUnit | None, typer.Option(help="What a budget is a share of. The model's by default.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="How far a surface may be off for the normalised surface Dice (NSD), mm.")
    ] = TOLERANCE_MM,
    device: DeviceOption = "auto",
) -> None:
    """Judge a model against every baseline at the same budget: metrics.json, cases.csv and report.html."""
    from napari_deferredseg.usecases.learn import evaluate_model

    with progress_bar() as progress:
        summary = evaluate_model(
            model,
            data,
            to,
            split=split.value,
            budgets=budget or (),
            unit=unit,
            tolerance_mm=tolerance,
            device=device,
            progress=progress,
            tell=note,
        )
    table = Table("method", "budget", *COLUMNS, box=None)
    for row in summary.to_dict("records"):
        table.add_row(str(row["method"]), f"{row['budget']:.1%}", *(f"{row[c]:.4g}" for c in COLUMNS))
    show_table(table)
    out.print(f"{to / 'report.html'}: the whole report")
