"""Judge a model on a list of cases, with every baseline at the same budgets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent, unsaid
from napari_deferredseg.deferral.data.prepared import prepare
from napari_deferredseg.deferral.evaluation.judging import judged_case, judged_cases, keep_logits, keep_maps
from napari_deferredseg.scoring.evaluate import judge
from napari_deferredseg.scoring.figures import Example, example
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_deferredseg.core.datalist import Datalist, Split
    from napari_deferredseg.core.progress import Progress, Tell
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.train_settings import BudgetUnit
    from napari_deferredseg.deferral.model.model import DeferralModel
    from napari_deferredseg.deferral.model.policy import Policy
    from napari_deferredseg.scoring.judgement import Judgement

EXAMPLES = 3


def evaluate(
    model: DeferralModel,
    datalist: Datalist,
    split: Split,
    budgets: Sequence[float],
    unit: BudgetUnit,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    device: torch.device,
    scratch: Path | None = None,
    progress: Progress = silent,
    tell: Tell = unsaid,
) -> tuple[Judgement, list[Example]]:
    """Judge a model on one part of the cases; thresholds and the best single reader are fixed on the validation part.

    Parameters
    ----------
    tolerance_mm : float
        Of NSD, over 0.
    scratch : Path, optional
        Where a folder for the maps is made for the time being; they take about 50 bytes a voxel.

    Raises
    ------
    InputError
        A part is empty, it is the validation part itself, none of the model's readers is named, or data that cannot be
        used.
    """
    spec = model.spec
    for part in ("validation", split):
        if not datalist.split(part):
            raise InputError(f"the list of cases has no {part} cases, which are needed here")
    if split == "validation":
        raise InputError("thresholds and readers are chosen on the validation cases: judge the test cases")
    if not set(spec.experts) & set(datalist.experts()):
        raise InputError(f"none of the model's readers ({', '.join(spec.experts)}) is named by the cases")
    model.to(device)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        prepared = prepare(
            datalist,
            spec.config.data,
            Path(folder),
            lambda share, doing: progress(share * 0.2, doing),
            ("validation", split),
            known=(spec.experts, spec.table, spec.channels),
            tell=tell,
        )
        keep_logits(model.segmentor, prepared.cases, device, lambda share, doing: progress(0.2 + share * 0.2, doing))
        keep_maps(model, prepared.cases, device, lambda share, doing: progress(0.4 + share * 0.2, doing))
        validation, test = prepared.split("validation"), prepared.split(split)
        progress(0.6, "judging")
        judgement = judge(
            lambda: judged_cases(validation, spec.policy),
            lambda: judged_cases(test, spec.policy),
            experts=spec.experts,
            budgets=budgets,
            unit=unit,
            sigma_mm=spec.config.policy.smoothing_mm,
            seed=spec.seed,
            even=spec.config.policy.share_ratio,
            tolerance_mm=tolerance_mm,
        )
        progress(0.95, "drawing examples")
        return judgement, [_example(case, spec.policy, judgement) for case in test[:EXAMPLES]]


def _example(case: PreparedCase, policy: Policy, judgement: Judgement) -> Example:
    """Show what the router does on a case at the middle budget."""
    judged, settled = judged_case(case, policy), judgement.settled
    budget = settled.rules.budgets[len(settled.rules.budgets) // 2]
    maps = settled.rules.maps(judged)
    index = settled.deferred(maps, "router", budget)
    deferral = maps.deferral("gain", index, settled.choices["router", budget])
    return example(case.key, judged, deferral, np.asarray(case.arrays.image.load()[0]))
