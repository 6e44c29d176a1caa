"""From what networks say of a case to what a prediction holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.model.maps import ModelMaps, entropy_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.model.model import DeferralModel
    from napari_deferredseg.deferral.model.spec import ModelSpec
    from napari_deferredseg.deferral.routers.base import Router, Seen


def maps_of(
    model: DeferralModel, seen: Seen, logits: Array, device: torch.device, progress: Progress = silent
) -> ModelMaps:
    """Say of a case what its segmentor's logits (C, z, y, x) and what its router sees come to."""
    if model.router is None:
        return joint_maps(model.spec, logits)
    return routed_maps(model.router, model.spec, seen, logits, device, progress)


def routed_maps(
    router: Router,
    spec: ModelSpec,
    seen: Seen,
    logits: Array,
    device: torch.device,
    progress: Progress = silent,
) -> ModelMaps:
    """Apply a router to a case and the segmentor's logits."""
    scaled = spec.temperature(logits)
    scores, competence, defer = router.route(seen, scaled, spec.config.data, device, progress)
    agents = len(spec.experts) + 1
    probability = softmax(scaled, axis=0)
    doubt = entropy_of(probability)
    return ModelMaps(
        probability=probability,
        competence=np.stack([spec.competence[a](competence[0, a].numpy(), doubt) for a in range(agents)]),
        shares=softmax(scores[0].numpy(), axis=0),
        learned_defer=defer[0, 0].sigmoid().numpy(),
    )


def joint_maps(spec: ModelSpec, channels: Array) -> ModelMaps:
    """Maps of a joint network's channels (C + K + 1, z, y, x): agents are compared in the terms of their loss."""
    channels = channels.astype(np.float32)
    logits, scores = channels[: spec.classes], channels[spec.classes :]
    if spec.config.joint_loss == "script-as-written":
        strength = softmax(scores, axis=0)
    elif spec.config.joint_loss == "dense-softmax":
        strength = _with_best_class(softmax(np.concatenate([logits, scores[1:]]), axis=0), spec.classes)
    else:
        strength = _with_best_class(expit(np.concatenate([logits, scores[1:]])), spec.classes)
    probability = np.asarray(softmax(spec.temperature(logits), axis=0), np.float32)
    return ModelMaps(probability, strength, strength, np.asarray(1 - strength[0], np.float32))


def _with_best_class(channels: Array, classes: int) -> NDArray[np.float32]:
    """The AI's strength is that of its best class."""
    return np.concatenate([channels[:classes].max(axis=0, keepdims=True), channels[classes:]])
