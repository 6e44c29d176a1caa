"""Run a model on a volume: where not to trust it, who should look, all kept in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.routing.budget import number_of
from napari_deferredseg.routing.jobs import regions
from napari_deferredseg.routing.regions import make_regions
from napari_deferredseg.usecases.running.cautions import require_same_meaning
from napari_deferredseg.usecases.running.models import describe_model
from napari_deferredseg.usecases.running.predict import ExternalInput, ModelInput, predict_external, predict_with_model
from napari_deferredseg.usecases.running.route import columns_of
from napari_deferredseg.usecases.running.triage import (
    DEFAULT_BUDGET,
    RunReport,
    pseudonym,
    recognised,
    require_readers,
    triage,
)

if TYPE_CHECKING:
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import LabelTable, Volume
    from napari_deferredseg.engine import Engine
    from napari_deferredseg.routing.budget import Budget
    from napari_deferredseg.routing.proposal import Proposal
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.predict import Check
    from napari_deferredseg.usecases.running.route import Channels
    from napari_deferredseg.usecases.running.triage import RegionMaker


def run_external(
    project: Project,
    files: ExternalInput,
    budget: Budget = DEFAULT_BUDGET,
    progress: Progress = silent,
    make: RegionMaker = make_regions,
) -> RunReport:
    """Compare what an AI said with other masks or its probabilities; regions to readers.

    Parameters
    ----------
    make : callable
        `make_regions`, or that of `regions_in` an engine's process.

    Raises
    ------
    InputError
        As `predict_external` and `triage`.
    """
    require_readers(project)
    volume, prediction = predict_external(
        files, lambda share, doing: progress(share * 0.6, doing), labels_kept(project)
    )
    case, prediction = recognised(project, files, volume, prediction)
    del volume  # nobody needs it while regions are made, which takes much memory
    return triage(
        project,
        files,
        case,
        prediction,
        budget,
        progress=lambda share, doing: progress(0.6 + share * 0.4, doing),
        make=make,
    )


def run_model(
    project: Project,
    files: ModelInput,
    engine: Engine,
    budget: Budget = DEFAULT_BUDGET,
    channels: Channels | None = None,
    progress: Progress = silent,
) -> RunReport:
    """Run a deferral model in the engine's process; regions to readers.

    Raises
    ------
    InputError
        As `describe_model`, `predict_with_model` and `triage`.
    """
    require_readers(project)
    model = describe_model(files.model)  # what is wrong is said before the long work, not only after it
    if channels is not None:
        columns_of(project, channels, model.experts)
    if budget.mode == "fixed_threshold":
        number_of(budget, model.thresholds)
    volume, prediction = predict_with_model(
        files, engine, lambda share, doing: progress(share * 0.7, doing), labels_kept(project)
    )
    case, prediction = recognised(project, files, volume, prediction)
    del volume
    return triage(
        project,
        files,
        case,
        prediction,
        budget,
        channels,
        lambda share, doing: progress(0.7 + share * 0.3, doing),
        regions_in(engine),
    )


def labels_kept(project: Project) -> Check:
    """Check, before the work, that labels mean what they meant in the corrections of an image."""

    def check(volume: Volume, table: LabelTable) -> None:
        require_same_meaning(project, pseudonym(project, volume)[0], table)

    return check


def regions_in(engine: Engine) -> RegionMaker:
    """Make regions in the engine's process, so that a window beside it stays fluent."""

    def make(prediction: Prediction, case_key: str, prediction_id: str, budget: Budget, progress: Progress) -> Proposal:
        return engine.run(regions, prediction, case_key, prediction_id, budget, progress=progress)

    return make
