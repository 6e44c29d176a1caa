"""From a prediction to regions on worklists, all kept in the project."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.budget import DEFAULT_BUDGET, Budget
from napari_deferredseg.core.errors import DeferredSegError, InputError, NotAllowed, legible
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.records import CaseRecord, PredictionRecord
from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.routing.assign import why_nobody
from napari_deferredseg.routing.regions import make_regions
from napari_deferredseg.store.arrays import KEPT_DEFER
from napari_deferredseg.usecases.permissions import Action, require
from napari_deferredseg.usecases.project import require_writable
from napari_deferredseg.usecases.running.cautions import cautions, require_same_meaning
from napari_deferredseg.usecases.running.predict import require_known_sides
from napari_deferredseg.usecases.running.route import Channels, columns_of, route
from napari_deferredseg.usecases.running.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.records import Assignment, Region
    from napari_deferredseg.core.volume import Volume
    from napari_deferredseg.routing.proposal import Proposal
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.predict import ExternalInput, ModelInput

    RegionMaker = Callable[[Prediction, str, str, Budget, Progress], Proposal]

LAWS = "regions 4"
"""How regions are made; another way makes another run of the same files."""


@dataclass(frozen=True)
class RunReport:
    """What a run left in the project. `new` is False when it is the case's present run; then nothing was changed.

    `realised_share` is that of the AI's foreground, not a number where the mask is empty. `account` says how much
    speaks against the mask, how much of that the regions cover, what is left out and why; `cautions` are sentences.
    """

    case: CaseRecord
    prediction: PredictionRecord
    regions: tuple[Region, ...]
    assignments: tuple[Assignment, ...]
    realised_share: float
    new: bool
    account: str = ""
    cautions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """How many regions, how much of the foreground, how long they take."""
        share = "" if math.isnan(self.realised_share) else f"{self.realised_share:.1%} of the AI's foreground, "
        return f"{len(self.regions)} regions, {share}{sum(r.minutes for r in self.regions):.0f} min of reading"


def require_readers(project: Project) -> None:
    """Check, before long work, that its result can be kept and that there is somebody to give regions to.

    Raises
    ------
    InputError
        The project cannot be written, or nobody in it reads.
    """
    require_writable(project)
    if why := why_nobody(project.store.readers()):
        raise InputError(f"{project.folder}: {why}; add a reader, or change that", command="deferredseg reader add")


def triage(
    project: Project,
    files: ExternalInput | ModelInput,
    case: CaseRecord,
    prediction: Prediction,
    budget: Budget = DEFAULT_BUDGET,
    channels: Channels | None = None,
    progress: Progress = silent,
    make: RegionMaker = make_regions,
    by: str | None = None,
) -> RunReport:
    """Make regions of a prediction within the budget, assign them, and keep everything in one step.

    Parameters
    ----------
    case : CaseRecord
        Of the volume, as `recognised` gives it.
    channels : Channels, optional
        Which readers stand behind the model's expert channels; without it capacity and speciality alone decide.
    make : callable
        `make_regions`, or what runs it elsewhere.
    by : str, optional
        Login of who acts.

    Raises
    ------
    InputError
        The project has no readers, a channel is mapped onto nobody, somebody is reading a region of an earlier run of
        this case, or corrections of it would get another label's name.
    NotAllowed
        `by` may not run a model here.
    """
    require(project, Action.RUN, by)
    require_readers(project)
    columns = columns_of(project, channels, prediction.experts) if channels is not None else None
    require_same_meaning(project, case.key, prediction.table)
    if files.orientation_checked:
        prediction = replace(prediction, settings=prediction.settings | {"orientation_checked": True})
    record = _prediction_record(case, prediction, budget, channels, _present_run(project, case))
    proposal = make(prediction, case.key, record.id, budget, lambda share, doing: progress(share * 0.6, doing))
    regions = list(proposal.regions)
    progress(0.6, "assigning readers")
    new = _routed(project, case, prediction, record, regions, columns, progress)
    # as they are kept: numbers that are taken are not given twice
    items = [x for x in project.store.items(case_key=case.key) if x.region.prediction_id == record.id]
    regions, assignments = [x.region for x in items], [x.assignment for x in items]
    remarks = _tidied(project, by) if new else ()
    progress(1.0, "done")
    voxels = sum(int(region.mask.sum()) for region in regions)
    foreground = int(np.count_nonzero(prediction.labels))
    return RunReport(
        case=case,
        prediction=record,
        regions=tuple(regions),
        assignments=tuple(assignments),
        realised_share=voxels / foreground if foreground else (math.nan if voxels else 0.0),
        new=new,
        account=str(proposal.account),
        cautions=(*prediction.notes, *cautions(project, prediction, assignments), *remarks),
    )


def recognised(
    project: Project, files: ExternalInput | ModelInput, volume: Volume, prediction: Prediction
) -> tuple[CaseRecord, Prediction]:
    """Find which case a volume is; the prediction also tells what was decided in reading the volume.

    Afterwards nobody needs the volume, which is large: drop it before the rest of the work.

    Raises
    ------
    InputError
        Its sides are not known.
    """
    require_known_sides(volume, files.orientation_checked)
    case = identify(project, volume, files.volume)
    return case, replace(prediction, notes=(*volume.notes, *prediction.notes))


def identify(project: Project, volume: Volume, path: Path) -> CaseRecord:
    """Record of a volume under its pseudonym; one image has one pseudonym in a project, wherever the file lies."""
    key, digest = pseudonym(project, volume)
    found = CaseRecord(
        key=key,
        geometry=volume.geometry,
        voxel_hash=digest,
        source=project.relative(path),
        modality=volume.modality,
        series=volume.series,
    )
    known = next((case for case in project.store.cases() if case.key == key), None)
    if known is None or known.voxel_hash != digest or not known.geometry.same_grid(volume.geometry):
        return found
    if (known.source, known.series) != (found.source, found.series):
        project.store.move_case(key, found.source, found.series)
    return known.model_copy(update={"source": found.source, "series": found.series})


def pseudonym(project: Project, volume: Volume) -> tuple[str, str]:
    """Key of an image in a project, and the keyed hash of its voxels that it comes from."""
    digest = voxel_hash(volume.array, project.key)
    return f"case-{digest[:8]}", digest


def _routed(
    project: Project,
    case: CaseRecord,
    prediction: Prediction,
    record: PredictionRecord,
    regions: list[Region],
    columns: Mapping[str, int] | None,
    progress: Progress,
) -> bool:
    """Route regions and keep the run; again where a reader was deactivated in between, so that no work is lost."""
    while True:
        assignments = route(project, regions, prediction.table, columns, replaced_case=case.key)
        progress(0.8, "saving")
        try:
            return _keep(project, case, prediction, record, regions, assignments)
        except NotAllowed:
            stopped = {reader.login for reader in project.store.readers() if not reader.active}
            if not stopped & {x.reader for x in assignments}:
                raise


def _keep(
    project: Project,
    case: CaseRecord,
    prediction: Prediction,
    record: PredictionRecord,
    regions: list[Region],
    assignments: list[Assignment],
) -> bool:
    """Keep arrays and records, or neither. False when the run is there already."""
    fresh = project.predictions.save(record.id, prediction.labels, prediction.alternative, prediction.defer)
    try:
        return project.store.add_prediction(case, record, regions, assignments)
    except BaseException:
        present = _present_run(project, case)
        if fresh and (present is None or present.id != record.id):
            project.predictions.discard(record.id)
        raise


def _tidied(project: Project, by: str | None) -> tuple[str, ...]:
    """Sweep after a run that is kept, which nothing that goes wrong here may undo; sentences about what did."""
    try:
        sweep(project, by)
    except (DeferredSegError, OSError) as error:
        return (f"What earlier runs have left stays for now: {error}.",)
    return ()


def _present_run(project: Project, case: CaseRecord) -> PredictionRecord | None:
    known = any(x.key == case.key for x in project.store.cases())
    return project.store.prediction(case.key) if known else None


def _prediction_record(
    case: CaseRecord,
    prediction: Prediction,
    budget: Budget,
    channels: Channels | None,
    present: PredictionRecord | None,
) -> PredictionRecord:
    """Record of a run. The same run again has the id of the present one; after another run it is a new run.

    Content decides what is the same, not where the files lie.
    """
    labels_hash, alternative_hash, raw_hash, kept_hash = _hashes(prediction)
    shown = {k: legible(v) if isinstance(v, str) else v for k, v in prediction.settings.items()}
    settings = {**shown, "budget": budget.amount, "budget_unit": budget.unit}
    if budget.mode == "fixed_threshold":
        settings["budget_mode"] = budget.mode
    if channels is not None:
        settings |= {"channels_for": channels.purpose} | {f"channel {k}": v for k, v in channels.readers.items()}
    facts = [
        case.key,
        prediction.model_id,
        labels_hash,
        alternative_hash,
        raw_hash,
        prediction.table.model_dump_json(),
        str(budget),
        str(channels or ""),
        LAWS,
    ]
    same_run = _digest("\n".join(facts))
    if present is not None and present.id.startswith(same_run):
        identity = present.id
    else:
        identity = same_run + (f"-{_digest(present.id)}" if present is not None else "")
    return PredictionRecord(
        id=identity,
        case_key=case.key,
        model_id=prediction.model_id,
        table=prediction.table,
        labels_hash=labels_hash,
        alternative_hash=alternative_hash,
        defer_hash=kept_hash,
        settings=settings,
    )


def _hashes(prediction: Prediction) -> tuple[str, ...]:
    """Hashes of the labels, the alternative, the deferral map as it is and as it is kept; two at a time."""
    arrays = (prediction.labels, prediction.alternative, prediction.defer, prediction.defer)
    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(voxel_hash, arrays, [b""] * 4, [None, None, None, KEPT_DEFER]))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=15).hexdigest()
