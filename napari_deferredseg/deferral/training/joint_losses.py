"""What one network for segmentor and router is trained on; shapes and masks as in `losses`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_deferredseg.deferral.training.masking import (
    Bounds,
    bounds_of,
    choice,
    full,
    known_only,
    log_shares,
    mean,
    per_agent,
    require_shape,
)


def dense_softmax(class_logits: Tensor, scores: Tensor, target: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Train classes and experts in one softmax q over C + K channels: -log q_y - sum_{j >= 1} u_j log q_{C+j}.

    Mozannar & Sontag (ICML 2020, "Consistent Estimators for Learning to Defer to an Expert"), for several experts Verma
    et al. (AISTATS 2023, "Learning to Defer to Multiple Experts"), at every voxel.

    Parameters
    ----------
    class_logits : (B, C, *S) float
        The segmentor's.
    scores : (B, K, *S) float
        Logits of the experts only.
    target : (B, *S) int
        The reference class y; anything where there is none.
    right, valid : (B, K + 1, *S)
        Of all agents. `right` of the AI is not used, its `valid` says where there is a reference.
    """
    channels, onehot, open_ = _joint(class_logits, scores, target, right, valid)
    log_q = channels.masked_fill(~open_ & open_.any(1, keepdim=True), -torch.inf).log_softmax(1)
    return mean(-(onehot * log_q.masked_fill(~open_, 0)).sum(1), open_[:, 0])


def joint_one_versus_all(class_logits: Tensor, scores: Tensor, target: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Train classes and experts each by itself: sum_c BCE(sigmoid(g_c), [c = y]) + sum_j BCE(sigmoid(g_{C+j}), u_j).

    Verma & Nalisnick (ICML 2022, "Calibrated Learning to Defer with One-vs-All Classifiers") with the logistic loss,
    for several experts Verma et al. (AISTATS 2023), at every voxel. Parameters as in `dense_softmax`.
    """
    channels, onehot, open_ = _joint(class_logits, scores, target, right, valid)
    each = functional.binary_cross_entropy_with_logits(channels, onehot, reduction="none")
    return mean(each.masked_fill(~open_, 0).sum(1), open_[:, 0])


def script_as_written(
    class_logit: Tensor,
    scores: Tensor,
    target: Tensor,
    right: Tensor,
    valid: Tensor,
    lower: Bounds = None,
    upper: Bounds = None,
    balance: float = 1.0,
) -> Tensor:
    """Train as the published DeferredSeg script does, faults included: the baseline to beat.

    BCE_with_logits(sigmoid(f), y) - u_0 log p_0 + sum_{j >= 1} (1 - 2 u_j) log p_j + balance * hinge(mean p_j). The
    sigmoid is applied twice: the minimum has f > 0 only where P(y = 1) > 0.62. A wrong expert's share falls to 0
    without a floor, and an expert is chosen only if a_j > (1 + a_0) / 2. The balance is that of soft shares of
    all voxels, deferred or not.

    Parameters
    ----------
    class_logit : (B, 1, *S) float
        Logit of the foreground.
    target : (B, 1, *S) bool or float
        1 in the foreground; anything where there is no reference.
    lower, upper : float or one for each expert, optional
        Bounds on an expert's mean share; 0.5 / K and 1.5 / K when not given.
    """
    scores, right, valid = known_only(scores, right, valid)
    for name, x in (("class_logit", class_logit), ("target", target)):
        require_shape(x, name, scores[:, :1].shape)
    known, counts = valid[:, :1], choice(valid)
    mask = torch.where(known, full(class_logit), 0).sigmoid()
    y = torch.where(known, target.to(mask.dtype), 0)
    segmentation = mean(functional.binary_cross_entropy_with_logits(mask, y, reduction="none"), known)
    log_p = log_shares(scores, valid)
    factor = torch.cat((-right[:, :1], 1 - 2 * right[:, 1:]), 1)
    routing = mean((factor * log_p).sum(1), counts)
    low, high = bounds_of(lower, upper, scores.shape[1] - 1, scores)
    p = log_p.exp().masked_fill(~(valid & counts.unsqueeze(1)), 0)
    share = per_agent(p)[1:] / counts.sum().clamp(min=1)
    present = (valid & counts.unsqueeze(1)).transpose(0, 1).flatten(1).any(1)[1:]
    hinge = ((low - share).relu() + (share - high).relu()).masked_fill(~present, 0).sum()
    return segmentation + routing + balance * hinge


def _joint(
    class_logits: Tensor, scores: Tensor, target: Tensor, right: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Channels (B, C + K, *S), what each should be, and which of them count."""
    batch, *size = target.shape
    require_shape(valid, "valid", torch.Size((batch, scores.shape[1] + 1, *size)))
    require_shape(right, "right", valid.shape)
    require_shape(class_logits, "class_logits", torch.Size((batch, class_logits.shape[1], *size)))
    known, classes = valid[:, :1], class_logits.shape[1]
    open_ = torch.cat((known.expand_as(class_logits), valid[:, 1:] & known), 1)
    channels = torch.where(open_, torch.cat((full(class_logits), full(scores)), 1), 0)
    y = torch.where(known[:, 0], target, 0).long()
    onehot = functional.one_hot(y, classes).movedim(-1, 1).to(channels.dtype)
    wanted = torch.cat((onehot, right[:, 1:].to(channels.dtype)), 1)
    return channels, torch.where(open_, wanted, 0), open_
