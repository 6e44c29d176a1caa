"""What a router is trained on: one loss a function, each over agents 0 (the AI) and 1..K (the experts).

Shared by all: `scores` (B, A, *S) float are the router's logits, A = K + 1, S two or three lengths; `right` (B, A, *S)
bool or float 0..1 says where an agent is right (u_j below); `valid` (B, A, *S) bool says where that is known. An absent
reader is out of the softmax and adds neither value nor gradient, whatever number stands in its place, NaN included;
where the AI is not valid there is no reference, and the voxel counts for nobody. p_j is the softmax of the scores over
valid agents, a_j = P(u_j = 1). Each result is a float32 (float64 for float64 scores) scalar: the mean over the voxels
that count, unless said otherwise, and 0 where none does. Wrong shapes and bounds raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_deferredseg.deferral.training.masking import (
    Bounds,
    Spacing,
    axis_weights,
    bounds_of,
    choice,
    defer_share,
    full,
    known_only,
    log_rest,
    log_shares,
    masked,
    mean,
    open_logits,
    per_agent,
    require_shape,
)

RouterLoss = Callable[[Tensor, Tensor, Tensor], Tensor]

COHERENCE = BALANCE = 0.1
"""Weights in `DeferredSegLoss`."""


def excess_utility(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Compare agents where they differ: -sum_j (u_j - min_k u_k) log p_j.

    The two-stage surrogate of Mao et al. (NeurIPS 2023, "Two-Stage Learning to Defer with Multiple Experts") with the
    log loss and costs shifted to a least utility of 0. Its minimum has p_j proportional to a_j - P(all are right).

    Divided by all voxels with a choice, not only those that weigh: the mean over crops is then the risk itself, and a
    crop in which three voxels differ does not count as much as one in which thousands do.
    """
    scores, right, valid = known_only(scores, right, valid)
    least = right.masked_fill(~valid, torch.inf).amin(1, keepdim=True)
    weight = (right - least).masked_fill(~valid, 0)
    return mean(-(weight * log_shares(scores, valid)).sum(1), choice(valid))


def collaboration(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Reward who is right, punish who is wrong: -sum_j [u_j log p_j + (1 - u_j) log(1 - p_j)].

    The pixel-wise surrogate collaboration loss of DeferredSeg (arXiv 2604.12411) with the punishment + log p_j of its
    published script, which has no lower bound, replaced by -log(1 - p_j). Bounded below by 0. At the minimum
    (a_j - p_j) / (p_j (1 - p_j)) is the same for all agents, so p_j rises with a_j: the best agent
    has the largest share.
    """
    scores, right, valid = known_only(scores, right, valid)
    log_p = log_shares(scores, valid)
    each = right * log_p + (1 - right) * log_rest(scores, log_p, valid)
    return mean(-each.masked_fill(~valid, 0).sum(1), choice(valid))


def picce(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Reward, of the experts who are right, the best-scored one: -u_0 log p_0 - max_{j >= 1: u_j = 1} log p_j.

    PiCCE, "pick the confident and correct expert" (Liu et al. 2026, arXiv 2602.17144), with the log loss; its class
    term is the AI's here, since the classes are settled before the router is trained. A `right` above 0.5 is right.

    The argmax of the lowest minimum is the best agent for two experts, and for more whose errors are independent. It is
    not convex: a start may end with a lesser expert on top. Two experts who divide the voxels between them can
    beat a third who alone would be better.
    """
    scores, right, valid = known_only(scores, right, valid)
    log_p = log_shares(scores, valid)
    correct = (right > 0.5) & valid
    best = log_p[:, 1:].masked_fill(~correct[:, 1:], -torch.inf).max(1).values
    experts = torch.where(correct[:, 1:].any(1), best, 0)
    return mean(-right[:, 0] * log_p[:, 0] - experts, choice(valid))


def one_versus_all(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Learn each agent's competence by itself: BCE(sigmoid(g_j), u_j), the mean over valid pairs of agent and voxel.

    The expert part of Verma & Nalisnick (ICML 2022, "Calibrated Learning to Defer with One-vs-All Classifiers") for
    every agent. At the minimum sigmoid(g_j) = a_j.
    """
    scores, right, valid = known_only(scores, right, valid)
    return mean(functional.binary_cross_entropy_with_logits(scores, right, reduction="none"), valid)


def spatial_coherence(scores: Tensor, valid: Tensor, spacing: Spacing = None) -> Tensor:
    """Ask for smooth deferral: w_d |D(x + e_d) - D(x)|, with D = 1 - p_0 and e_d the step along axis d.

    Part 5 of DeferredSeg (arXiv 2604.12411) as anisotropic total variation: it does not blur a border that the data
    want. The mean over pairs of neighbours that have the same valid agents; elsewhere D changes with who was there.

    Parameters
    ----------
    spacing : one length for each of S, mm, for all of B (S,) or each (B, S), optional
        w_d = min(spacing) / spacing_d; without it all axes weigh 1.
    """
    scores, valid = masked(scores, valid)
    weights = axis_weights(spacing, scores)
    defer, counts = defer_share(scores, valid), choice(valid)
    total, pairs = 0 * defer.sum(), counts.new_zeros((), dtype=torch.long)
    for axis, weight in enumerate(weights.unbind(1), start=2):
        n = scores.shape[axis] - 1
        same = (valid.narrow(axis, 0, n) == valid.narrow(axis, 1, n)).all(1) & counts.narrow(axis - 1, 0, n)
        steps = defer.diff(dim=axis - 1).abs().masked_fill(~same, 0).flatten(1).sum(1)
        total = total + (weight * steps).sum()
        pairs = pairs + same.sum()
    return total / pairs.clamp(min=1)


def load_balance(scores: Tensor, valid: Tensor, lower: Bounds = None, upper: Bounds = None) -> Tensor:
    """Keep each expert's load within bounds: sum_{j >= 1} max(0, lower_j - s_j) + max(0, s_j - upper_j).

    Part 6 of DeferredSeg (arXiv 2604.12411). s_j is the share of expert j among the deferred voxels: the argmax is an
    expert, and at least two experts are valid. The gradient is that of the softmax over those voxels' experts
    (straight through), so it moves voxels between experts and never to or from the AI. With all experts valid s_j is a
    share of all deferred voxels; else of those that j was valid on, and the bounds grow as fewer share the work.

    Parameters
    ----------
    lower, upper : float or one for each expert, optional
        Shares 0..1; 0.5 / K and 1.5 / K when not given.
    """
    scores, valid = masked(scores, valid)
    experts = valid.shape[1] - 1
    low, high = bounds_of(lower, upper, experts, scores)
    open_ = valid[:, 1:]
    at_hand = open_.sum(1, keepdim=True)
    winner = open_logits(scores, valid).argmax(1, keepdim=True)
    work = open_ & (winner > 0) & (at_hand > 1)
    soft = scores[:, 1:].masked_fill(~work & work.any(1, keepdim=True), -torch.inf).softmax(1)
    hard = torch.zeros_like(scores).scatter(1, winner, 1.0)[:, 1:]
    share = per_agent((hard + (soft - soft.detach())).masked_fill(~work, 0))
    count = per_agent(work.to(scores.dtype))
    crowding = per_agent(work * experts / at_hand.clamp(min=1)) / count.clamp(min=1)
    share = share / count.clamp(min=1)
    hinge = (low * crowding - share).relu() + (share - (high * crowding).clamp(max=1)).relu()
    return hinge.masked_fill(count == 0, 0).sum()


def aggregated_deferral(
    defer: Tensor, scores: Tensor, right: Tensor, valid: Tensor, consistency: float = 1.0
) -> Tensor:
    """Train the predictor d of P(defer): BCE(sigmoid(d), (1 - u_0) max_j u_j) + c (sigmoid(d) - sum_j p_j)^2, j >= 1.

    Part 3 of DeferredSeg (arXiv 2604.12411): its target is 1 where some valid expert is right and the AI wrong. The
    second term ties it to the routing shares; gradients flow into both.

    Parameters
    ----------
    defer : (B, 1, *S) float
        Logit of P(defer).
    consistency : float
        c, 0 or more.
    """
    scores, right, valid = known_only(scores, right, valid)
    require_shape(defer, "defer", scores[:, :1].shape)
    counts = choice(valid)
    d = torch.where(counts, full(defer)[:, 0], 0)
    helps = (1 - right[:, 0]) * right[:, 1:].amax(1)
    each = functional.binary_cross_entropy_with_logits(d, helps, reduction="none")
    return mean(each + consistency * (d.sigmoid() - defer_share(scores, valid)).square(), counts)


class DeferredSegLoss(nn.Module):
    """Parts 4 to 6 of DeferredSeg (arXiv 2604.12411) and its deferral predictor's term, a weighted sum.

    Parameters
    ----------
    coherence, balance, deferral : float
        Weights beside `collaboration`, which weighs 1.
    lower, upper : float or one for each expert, optional
        As in `load_balance`.
    """

    def __init__(
        self,
        coherence: float = COHERENCE,
        balance: float = BALANCE,
        deferral: float = 1.0,
        lower: Bounds = None,
        upper: Bounds = None,
    ) -> None:
        super().__init__()
        self.weights = {"collaboration": 1.0, "coherence": coherence, "balance": balance, "deferral": deferral}
        self.lower, self.upper = lower, upper

    def terms(
        self,
        scores: Tensor,
        right: Tensor,
        valid: Tensor,
        defer: Tensor | None = None,
        spacing: Spacing = None,
    ) -> dict[str, Tensor]:
        """Each term, unweighted. `defer` (B, 1, *S) is the predictor's logit; a router without one has no such term.

        `spacing` as in `spatial_coherence`.
        """
        parts = {
            "collaboration": collaboration(scores, right, valid),
            "coherence": spatial_coherence(scores, valid, spacing),
            "balance": load_balance(scores, valid, self.lower, self.upper),
        }
        return parts if defer is None else parts | {"deferral": aggregated_deferral(defer, scores, right, valid)}

    def forward(
        self,
        scores: Tensor,
        right: Tensor,
        valid: Tensor,
        defer: Tensor | None = None,
        spacing: Spacing = None,
    ) -> Tensor:
        """Weighted sum of the terms."""
        parts = self.terms(scores, right, valid, defer, spacing)
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()


ROUTER_LOSSES: dict[str, RouterLoss] = {
    "excess-utility": excess_utility,
    "collaboration": collaboration,
    "picce": picce,
    "one-versus-all": one_versus_all,
}
