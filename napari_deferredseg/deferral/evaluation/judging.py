"""Put together what scoring judges: a case's truth and readers, and what a model's maps make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.cases import ArrayFile, arrays_in
from napari_deferredseg.deferral.model.inference import maps_of
from napari_deferredseg.deferral.model.maps import ModelMaps
from napari_deferredseg.scoring.cases import JudgedCase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.model.model import DeferralModel
    from napari_deferredseg.deferral.model.policy import Policy
    from napari_deferredseg.deferral.segmentors.base import Segmentor


@dataclass(frozen=True)
class KeptMaps:
    """What `keep_maps` keeps of a case: its `ModelMaps`, and the probability (C, z, y, x) before any scaling."""

    probability: ArrayFile[np.float32]
    competence: ArrayFile[np.float32]
    shares: ArrayFile[np.float32]
    learned_defer: ArrayFile[np.float32]
    raw_probability: ArrayFile[np.float32]

    @classmethod
    def of(cls, case: PreparedCase) -> KeptMaps:
        """Files of a case."""
        return arrays_in(case.folder, cls, "maps_")


def keep_logits(
    segmentor: Segmentor, cases: Sequence[PreparedCase], device: torch.device, progress: Progress = silent
) -> None:
    """Apply a segmentor to cases and keep its logits beside them; what is kept already stays."""
    for number, case in enumerate(cases):
        progress(number / max(len(cases), 1), f"segmenting case {number + 1} of {len(cases)}")
        if not case.output.logits.exists():
            case.output.logits.save(segmentor.segment(case.scan(), device))


def keep_maps(
    model: DeferralModel, cases: Sequence[PreparedCase], device: torch.device, progress: Progress = silent
) -> None:
    """Apply a model to cases whose logits are kept, and keep its maps too: judging goes over them several times."""
    for number, case in enumerate(cases):
        progress(number / max(len(cases), 1), f"case {number + 1} of {len(cases)}")
        maps = maps_of(model, case, case.output.logits.load(), device)
        kept = KeptMaps.of(case)
        kept.probability.save(maps.probability)
        kept.competence.save(maps.competence)
        kept.shares.save(maps.shares)
        kept.learned_defer.save(maps.learned_defer)
        logits = np.asarray(case.output.logits.load()[: model.spec.classes], np.float32)
        kept.raw_probability.save(softmax(logits, axis=0))


def kept_maps(case: PreparedCase) -> ModelMaps:
    """Read what `keep_maps` kept."""
    kept = KeptMaps.of(case)
    return ModelMaps(
        probability=kept.probability.load(),
        competence=kept.competence.load(),
        shares=kept.shares.load(),
        learned_defer=kept.learned_defer.load(),
    )


def judged_case(case: PreparedCase, policy: Policy) -> JudgedCase:
    """Make a case ready to be judged. Voxels without a reference are left to the AI and count as right."""
    maps = kept_maps(case)
    gain = policy.gain(maps)
    raw = np.asarray(KeptMaps.of(case).raw_probability.load())
    labels = raw.argmax(axis=0).astype(np.uint8)
    truth, known = case.arrays.reference.load(), case.arrays.known.load()
    return JudgedCase(
        key=case.key,
        patient=case.patient,
        truth=np.where(known, truth, labels),
        labels=labels,
        probability=np.asarray(maps.probability),
        raw_probability=raw,
        experts=np.asarray(case.arrays.experts.load()),
        valid=np.asarray(case.arrays.valid.load()),
        defer=policy.defer(maps, gain),
        gain=gain,
        right=np.asarray(maps.competence[1:]),
        spacing_zyx=case.geometry.spacing_zyx,
        groups=case.groups,
    )


def judged_cases(cases: Sequence[PreparedCase], policy: Policy) -> Iterator[JudgedCase]:
    """Yield cases one at a time."""
    return (judged_case(case, policy) for case in cases)
