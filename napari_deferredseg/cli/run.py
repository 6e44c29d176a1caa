"""`deferredseg run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import (
    AsOption,
    ProjectOption,
    acting,
    err,
    given_path,
    opened,
    out,
    progress_bar,
    settings,
    show_table,
)
from napari_deferredseg.core.budget import Mode, Unit
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.usecases.running.triage import RunReport


def run(
    volume: Annotated[
        Path, typer.Argument(help="Image file, or folder of a DICOM series.", parser=given_path, metavar="VOLUME")
    ],
    project: ProjectOption,
    model: Annotated[
        str,
        typer.Option(help="Name of a model, or its folder; 'external' takes the output of an AI that ran elsewhere."),
    ] = "external",
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="external: AI mask; the first is the one under review, repeat for the others.",
            parser=given_path,
            metavar="PATH",
        ),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(
            help="external: class probabilities of the AI, in place of a second mask.",
            parser=given_path,
            metavar="PATH",
        ),
    ] = None,
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Further image channel of a model that learned from several; repeat, in the order of its training.",
            parser=given_path,
            metavar="IMAGE",
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            help="Mask whose parts tell the model where to look, for a model that must be told (Segment Anything).",
            parser=given_path,
            metavar="MASK",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where a model runs: auto, cpu, cuda, cuda:1 or mps; auto by default.")
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Who stands behind an expert channel of the model: a login or a group; repeat. Without it, regions "
            "go by capacity and speciality alone.",
            metavar="CHANNEL=WHO",
        ),
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="With --map: what the learned reliability of these people is used for.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="How much to send to readers, such as 10%, '2% of voxels', '30 minutes' or '20 regions'.",
            show_default="10%, or what the settings say",
        ),
    ] = None,
    unit: Annotated[
        Unit | None,
        typer.Option(help="What the budget counts, where it does not say so itself; predicted-foreground by default."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="per_volume_share: the budget's share of this volume. fixed_threshold: what lies over the threshold "
            "that the model fixed for this share on its validation cases; more of a hard volume, less of an easy one."
        ),
    ] = "per_volume_share",
    series: Annotated[
        str | None, typer.Option(help="DICOM series, by UID or number, where a folder has several.")
    ] = None,
    orientation_checked: Annotated[
        bool,
        typer.Option("--orientation-checked", help="You made sure which side is left; the file does not say."),
    ] = False,
    outside_domain: Annotated[
        bool,
        typer.Option(
            "--outside-domain", help="Run a model on an image unlike those that it learned from all the same."
        ),
    ] = False,
    by: AsOption = None,
) -> None:
    """Find where not to trust a segmentation, and give those regions to the project's readers."""
    from napari_deferredseg.core.budget import Budget
    from napari_deferredseg.engine import Engine
    from napari_deferredseg.usecases.running.models import EXTERNAL, find_model
    from napari_deferredseg.usecases.running.predict import ExternalInput, ModelInput
    from napari_deferredseg.usecases.running.route import make_channels
    from napari_deferredseg.usecases.running.run import run_external, run_model

    amount = Budget.parse(settings().budget if budget is None else budget, unit, mode, otherwise="predicted-foreground")
    is_external = model == EXTERNAL
    if is_external and mode == "fixed_threshold":
        raise InputError("an AI that ran elsewhere fixed no thresholds: leave --mode out, or name a model with --model")
    if is_external and (channel or prompt or device or mapped or purpose or outside_domain):
        raise InputError(
            "--channel, --prompt, --device, --map, --purpose and --outside-domain are for a deferral model: name one "
            "with --model"
        )
    people = make_channels(_people(mapped or ()), purpose or "")
    with opened(project) as open_project, progress_bar() as progress:
        who = acting(open_project, by)
        if is_external:
            masks = ExternalInput(
                volume=volume,
                labels=tuple(labels or ()),
                probabilities=probabilities,
                series=series,
                orientation_checked=orientation_checked,
            )
            report = run_external(open_project, masks, amount, progress, by=who)
        else:
            found = find_model(model, open_project)
            if labels or probabilities:
                raise InputError(
                    f"the model {found.name} makes its own mask: leave out --labels and --probabilities, or --model"
                )
            images = ModelInput(
                volume=volume,
                model=found.folder,
                companions=tuple(channel or ()),
                device=device or "auto",
                prompt=prompt,
                series=series,
                orientation_checked=orientation_checked,
                outside_domain=outside_domain,
            )
            with Engine() as engine:
                report = run_model(open_project, images, engine, amount, people, progress, who)
    _print(report)


def _people(mapped: Sequence[str]) -> dict[str, str]:
    """Who stands behind each channel, of words such as "Ada=ada.m"."""
    people: dict[str, str] = {}
    for text in mapped:
        name, sign, who = (part.strip() for part in text.partition("="))
        if not (name and sign and who):
            raise InputError(
                f"--map {text!r} does not say who stands behind a channel; write for example --map Ada=ada.m"
            )
        if name in people:
            raise InputError(f"--map gives channel {name} to two; a group may stand behind it instead")
        people[name] = who
    return people


def _print(report: RunReport) -> None:
    again = "" if report.new else " (this very run was in the project already; nothing was changed)"
    out.print(f"{report.case.key}: {report}{again}")
    out.print(report.account)
    for caution in report.cautions:
        err.print(f"note: {caution}")
    if not report.regions:
        return
    table = Table("reader", "regions", "min", box=None)
    minutes = {region.id: region.minutes for region in report.regions}
    for reader in sorted({a.reader or a.group or "" for a in report.assignments}):
        mine = [a.region_id for a in report.assignments if (a.reader or a.group) == reader]
        table.add_row(reader, str(len(mine)), f"{sum(minutes[i] for i in mine):.0f}")
    show_table(table)
