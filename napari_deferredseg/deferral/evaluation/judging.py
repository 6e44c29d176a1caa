"""Put together what scoring judges: a case's truth and readers, and what a model's maps make of it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.model.inference import maps_of
from napari_deferredseg.deferral.model.maps import Maps
from napari_deferredseg.scoring.cases import JudgedCase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.deferral.data.prepared import PreparedCase
    from napari_deferredseg.deferral.model.model import DeferralModel
    from napari_deferredseg.deferral.model.policy import Policy
    from napari_deferredseg.deferral.segmentors.base import Segmentor

NAMES = tuple(f.name for f in fields(Maps))


def keep_logits(
    segmentor: Segmentor, cases: Sequence[PreparedCase], device: torch.device, progress: Progress = silent
) -> None:
    """Apply a segmentor to cases and keep its logits beside them; what is kept already stays."""
    for number, case in enumerate(cases):
        progress(number / max(len(cases), 1), f"segmenting case {number + 1} of {len(cases)}")
        if not case.has("logits"):
            case.save("logits", segmentor.segment(case.scan(), device))


def keep_maps(
    model: DeferralModel, cases: Sequence[PreparedCase], device: torch.device, progress: Progress = silent
) -> None:
    """Apply a model to cases whose logits are kept, and keep its maps too: judging goes over them several times."""
    for number, case in enumerate(cases):
        progress(number / max(len(cases), 1), f"case {number + 1} of {len(cases)}")
        maps = maps_of(model, case, case.load("logits"), device)
        for name in NAMES:
            case.save(f"maps_{name}", getattr(maps, name))
        logits = np.asarray(case.load("logits")[: model.spec.classes], np.float32)
        case.save("raw_probability", softmax(logits, axis=0))


def kept_maps(case: PreparedCase) -> Maps:
    """Read what `keep_maps` kept."""
    return Maps(**{name: case.load(f"maps_{name}") for name in NAMES})


def judged_case(case: PreparedCase, policy: Policy) -> JudgedCase:
    """Make a case ready to be judged. Voxels without a reference are left to the AI and count as right."""
    maps = kept_maps(case)
    gain = policy.gain(maps)
    raw = np.asarray(case.load("raw_probability"))
    labels = raw.argmax(axis=0).astype(np.uint8)
    truth, known = case.load("reference"), case.load("known")
    return JudgedCase(
        key=case.key,
        patient=case.patient,
        truth=np.where(known, truth, labels),
        labels=labels,
        probability=np.asarray(maps.probability),
        raw_probability=raw,
        experts=np.asarray(case.load("experts")),
        valid=np.asarray(case.load("valid")),
        defer=policy.defer(maps, gain),
        gain=gain,
        right=np.asarray(maps.competence[1:]),
        spacing_zyx=case.geometry.spacing_zyx,
        groups=case.groups,
    )


def judged_cases(cases: Sequence[PreparedCase], policy: Policy) -> Iterator[JudgedCase]:
    """Yield cases one at a time."""
    return (judged_case(case, policy) for case in cases)
