"""A whole training run: from a list of cases to a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, Tell, silent, unsaid
from napari_deferredseg.deferral.data.domain import training_domain, write_domain
from napari_deferredseg.deferral.data.prepared import prepare
from napari_deferredseg.deferral.evaluation.track_record import track_records
from napari_deferredseg.deferral.model.card import write_card
from napari_deferredseg.deferral.model.model import save_model
from napari_deferredseg.deferral.segmentors.adapters import adapter_of
from napari_deferredseg.deferral.training.fitting import Bench
from napari_deferredseg.deferral.training.ranks import together
from napari_deferredseg.deferral.training.run import Run, part_of
from napari_deferredseg.deferral.training.workplace import (
    CASES,
    data_of,
    move_out,
    require_cases,
    require_prompts,
    same_run,
    workplace,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_deferredseg.core.datalist import Datalist
    from napari_deferredseg.deferral.data.cases import Prepared
    from napari_deferredseg.deferral.data.train_settings import TrainConfig


def train(
    datalist: Datalist,
    out: Path,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    progress: Progress = silent,
    tell: Tell = unsaid,
) -> Path:
    """Train a model into a folder. A run that was cut off goes on where it was when started again alike.

    Started in several processes by `torchrun`, they train together, each on `device` or its own graphics card.

    Returns
    -------
    Path
        `out`, now a model folder.

    Raises
    ------
    InputError
        No training or validation cases, no experts, `out` holds something else, or data that cannot be used.
    """
    segmentor = adapter_of(config.segmentor.kind).completed(config.segmentor)
    config = config.model_copy(update={"segmentor": segmentor})
    if config.segmentor.PROMPTED:
        require_prompts(datalist)
    with together(device) as ranks:
        told, said = (progress, tell) if ranks.is_first else (silent, unsaid)
        work, prepared = ranks.first_then_others(lambda: _prepared(datalist, out, config, seed, told, said))
        run = Run(prepared, Bench(work, config, seed, ranks), config, seed)
        run.try_networks()
        model = run.joint(told) if config.mode == "joint" else run.two_stage(told)
        if ranks.is_first:
            model = run.with_policy(model, part_of(told, 0.9, 0.98))
            told(0.98, "saving the model")
            records = track_records(prepared, prepared.split("validation"), seed)
            save_model(model, work, write_card(model.spec, datalist, prepared, records))
            move_out(work, out)
        ranks.wait()
        told(1.0, "done")
    return out


def _prepared(
    datalist: Datalist, out: Path, config: TrainConfig, seed: int, progress: Progress, tell: Tell
) -> tuple[Path, Prepared]:
    """Folder of the unfinished run, and its cases."""
    require_cases(datalist, out)
    work = workplace(out, config, seed)
    part = part_of(progress, 0.0, 0.1)
    prepared = prepare(datalist, config.data, work / CASES, part, ("training", "validation"), tell=tell)
    if config.mode == "joint" and config.joint_loss == "script-as-written" and len(prepared.table.labels) > 1:
        raise InputError("joint_loss = 'script-as-written' knows one foreground label; choose 'dense-softmax'")
    same_run(work / "data.json", data_of(prepared), "data")
    write_domain(work, training_domain(prepared, config.data))
    return work, prepared
