"""Networks over whole volumes, and from their channels to what a prediction holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from scipy.special import expit, softmax

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.maps import Maps, entropy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.model import DeferralModel, ModelSpec
    from napari_deferredseg.deferral.router import Router, Seen
    from napari_deferredseg.deferral.segmentors.settings import View
    from napari_deferredseg.deferral.token_router import TokenRouter

OVERLAP = 0.25
WINDOWS = 4
SLICES = 16


def over_volume(
    network: Callable[[Tensor], Tensor],
    image: Array,
    config: View,
    device: torch.device,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Apply a patch network to a whole image (c, z, y, x) through a sliding window, (channels, z, y, x).

    2-D networks see slices; windows overlap by a quarter and are blended.
    """
    flat = config.spatial_dims == 2
    slabs = np.array_split(np.arange(image.shape[1]), -(-image.shape[1] // SLICES)) if flat else [None]
    parts = []
    for number, slab in enumerate(slabs):
        progress(number / len(slabs), "running the network")
        piece = np.moveaxis(image[:, slab], 1, 0) if flat else image[np.newaxis]
        batch = torch.from_numpy(np.array(piece, np.float32, order="C")).to(device)  # a map from disk is read-only
        with torch.inference_mode():
            out = sliding_window_inference(
                batch, config.patch, WINDOWS * (SLICES if flat else 1), network, OVERLAP, "gaussian"
            )
        array = torch.as_tensor(out).float().cpu().numpy()
        parts.append(np.moveaxis(array, 0, 1) if flat else array[0])
    return np.concatenate(parts, axis=1) if flat else parts[0]


def maps_of(model: DeferralModel, seen: Seen, logits: Array, device: torch.device, progress: Progress = silent) -> Maps:
    """Say of a case what its segmentor's logits (C, z, y, x) and what its router sees come to."""
    if model.router is None:
        return joint_maps(model.spec, logits)
    return routed_maps(model.router, model.spec, seen, logits, device, progress)


def routed_maps(
    router: Router | TokenRouter,
    spec: ModelSpec,
    seen: Seen,
    logits: Array,
    device: torch.device,
    progress: Progress = silent,
) -> Maps:
    """Apply a router to a case and the segmentor's logits."""
    scaled = spec.temperature(logits)
    scores, competence, defer = router.route(seen, scaled, spec.config.data, device, progress)
    agents = len(spec.experts) + 1
    probability = softmax(scaled, axis=0)
    doubt = entropy_of(probability)
    return Maps(
        probability=probability,
        competence=np.stack([spec.competence[a](competence[0, a].numpy(), doubt) for a in range(agents)]),
        shares=softmax(scores[0].numpy(), axis=0),
        learned_defer=defer[0, 0].sigmoid().numpy(),
    )


def joint_maps(spec: ModelSpec, channels: Array) -> Maps:
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
    return Maps(probability, strength, strength, np.asarray(1 - strength[0], np.float32))


def _with_best_class(channels: Array, classes: int) -> NDArray[np.float32]:
    """The AI's strength is that of its best class."""
    return np.concatenate([channels[:classes].max(axis=0, keepdims=True), channels[classes:]])
