"""`deferredseg simulate-readers` and `deferredseg phantom`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import given_path, out, progress_bar, show_table

if TYPE_CHECKING:
    from napari_deferredseg.usecases.simulate import Recorded

OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="New folder to write to.", parser=given_path, metavar="DIR")
]
ReaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--reader",
        help="A reader and where they are strong: inside, outside, border or all-round. Repeat for others. "
        "One of each by default.",
        metavar="NAME:WHERE",
    ),
]


class Size(StrEnum):
    """Grid of a generated abdomen."""

    FULL = "full"
    SMALL = "small"


def simulate_readers(
    data: Annotated[
        Path, typer.Option(help="Cases with labels, a JSON file.", parser=given_path, metavar="CASES.JSON")
    ],
    folder: OutOption,
    reader: ReaderOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the readers' errors.")] = 0,
) -> None:
    """Record readers who err in patches, from the labels of a list of cases."""
    from napari_deferredseg.usecases.simulate import DEFAULT_READERS, parse_reader
    from napari_deferredseg.usecases.simulate import simulate_readers as record

    readers = [parse_reader(text) for text in reader or ()]
    with progress_bar() as progress:
        recorded = record(data, folder, readers or DEFAULT_READERS, seed, progress)
    _print(recorded)


def phantom(
    folder: OutOption,
    cases: Annotated[int, typer.Option(min=1, help="Patients, one case each.")] = 60,
    reader: ReaderOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of anatomy and readers.")] = 0,
    size: Annotated[Size, typer.Option(help="Grid: 190 x 150 x 56 voxels, or 95 x 75 x 56.")] = Size.FULL,
) -> None:
    """Generate CT-like abdomens with labels and readers, split for training, validation and test."""
    from napari_deferredseg.usecases.simulate import DEFAULT_READERS, make_phantoms, parse_reader

    readers = [parse_reader(text) for text in reader or ()]
    with progress_bar() as progress:
        recorded = make_phantoms(folder, cases, seed, size.value, readers or DEFAULT_READERS, progress)
    _print(recorded)


def _print(recorded: Recorded) -> None:
    parts = ", ".join(f"{count} {split}" for split, count in recorded.counts.items())
    out.print(f"{recorded.file}: {sum(recorded.counts.values())} cases ({parts})")
    table = Table("reader", "right inside", "at borders", "outside", box=None)
    for name, shares in recorded.accuracy.items():
        table.add_row(name, *(f"{share:.3f}" for share in shares))
    show_table(table)
