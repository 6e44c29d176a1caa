"""Runs that a project keeps, and whose regions go to its readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.api.given import budget_of, each, flag_of, known_model, opened, optional_text, path_of, text_of
from napari_deferredseg.core.budget import DEFAULT_BUDGET
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.engine import Engine, InProcess
from napari_deferredseg.usecases.readers import who_acts
from napari_deferredseg.usecases.running import predict, run
from napari_deferredseg.usecases.running.route import make_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deferredseg.api.given import StrPath
    from napari_deferredseg.core.budget import Budget
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.triage import RunReport


def run_external(
    project: Project | StrPath,
    volume: StrPath,
    mask: StrPath,
    *others: StrPath,
    probabilities: StrPath | None = None,
    budget: str | float | Budget = DEFAULT_BUDGET,
    series: str | None = None,
    orientation_checked: bool = False,
    by: str | None = None,
    progress: Progress = silent,
) -> RunReport:
    """Do what `compare_masks` and `propose_regions` do, give the regions to readers, keep all in the project.

    `by` is the login of whoever acts; this computer's user by default, where that is one.

    Raises
    ------
    InputError
        As `compare_masks`; the sides of the image are not known; the project has no readers.
    NotAllowed
        Whoever acts may not do this, or the project cannot be written.
    Damaged, Busy
        As `open_project`; others write to it all the time.
    """
    files = predict.ExternalInput(
        volume=path_of(volume),
        labels=(path_of(mask), *map(path_of, others)),
        probabilities=path_of(probabilities) if probabilities is not None else None,
        series=optional_text(series, "series"),
        orientation_checked=flag_of(orientation_checked, "orientation_checked"),
    )
    with opened(project) as kept:
        return run.run_external(kept, files, budget_of(budget), progress, by=who_acts(kept, optional_text(by, "by")))


def run_model(
    project: Project | StrPath,
    volume: StrPath,
    model: StrPath,
    *,
    companions: Sequence[StrPath] | StrPath = (),
    budget: str | float | Budget = DEFAULT_BUDGET,
    device: str = "auto",
    prompt: StrPath | None = None,
    readers: Mapping[str, str] | None = None,
    purpose: str = "",
    series: str | None = None,
    orientation_checked: bool = False,
    outside_domain: bool = False,
    engine: Engine | None = None,
    by: str | None = None,
    progress: Progress = silent,
) -> RunReport:
    """Do what `Model.predict` and `propose_regions` do, give the regions to readers, keep all in the project.

    Parameters
    ----------
    model : str or path
        A folder; or, as `str`, the name of a model of the project or of one that comes with the product.
    readers : mapping of str to str
        Which login or group stands behind which expert channel, for the stated `purpose`.
    by : str, optional
        Login of whoever acts; this computer's user by default, where that is one.

    Raises
    ------
    InputError, MissingExtra, WorkerDied
        As `Model.predict`; the project has no readers.
    NotAllowed, Damaged, Busy
        As `run_external`; or the model is not trusted in this project.
    """
    with opened(project) as kept:
        known = known_model(model, kept)
        files = predict.ModelInput(
            volume=path_of(volume),
            model=known.folder,
            companions=tuple(path_of(x) for x in each(companions, "companions")),  # type: ignore[arg-type]
            device=text_of(device, "device"),
            prompt=path_of(prompt) if prompt is not None else None,
            series=optional_text(series, "series"),
            orientation_checked=flag_of(orientation_checked, "orientation_checked"),
            outside_domain=flag_of(outside_domain, "outside_domain"),
        )
        channels = make_channels(readers or {}, purpose)
        return run.run_model(
            kept,
            files,
            engine or InProcess(),
            budget_of(budget),
            channels,
            progress,
            who_acts(kept, optional_text(by, "by")),
        )
