"""What a router is trained on: one loss a function, each over agents 0 (the AI) and 1..K (the experts).

Shared by all: `scores` (B, A, *S) float are the router's logits, A = K + 1, S two or three lengths; `right` (B, A, *S)
bool or float 0..1 says where an agent is right (u_j below); `valid` (B, A, *S) bool says where that is known. An absent
reader is out of the softmax and adds neither value nor gradient, whatever number stands in its place, NaN included;
where the AI is not valid there is no reference, and the voxel counts for nobody. p_j is the softmax of the scores over
valid agents, a_j = P(u_j = 1). Each result is a float32 (float64 for float64 scores) scalar: the mean over the voxels
that count, unless said otherwise, and 0 where none does. Wrong shapes and bounds raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

RouterLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
Bounds = float | Sequence[float] | None

ROUNDING = 1e-6


def excess_utility(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Compare agents where they differ: -sum_j (u_j - min_k u_k) log p_j.

    The two-stage surrogate of Mao et al. (NeurIPS 2023, "Two-Stage Learning to Defer with Multiple Experts") with the
    log loss and costs shifted to a least utility of 0. Its minimum has p_j proportional to a_j - P(all are right).

    Divided by all voxels with a choice, not only those that weigh: the mean over crops is then the risk itself, and a
    crop in which three voxels differ does not count as much as one in which thousands do.
    """
    scores, right, valid = _known(scores, right, valid)
    least = right.masked_fill(~valid, torch.inf).amin(1, keepdim=True)
    weight = (right - least).masked_fill(~valid, 0)
    return _mean(-(weight * _log_shares(scores, valid)).sum(1), _choice(valid))


def collaboration(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Reward who is right, punish who is wrong: -sum_j [u_j log p_j + (1 - u_j) log(1 - p_j)].

    The pixel-wise surrogate collaboration loss of DeferredSeg (arXiv 2604.12411) with the punishment + log p_j of its
    published script, which has no lower bound, replaced by -log(1 - p_j). Bounded below by 0. At the minimum
    (a_j - p_j) / (p_j (1 - p_j)) is the same for all agents, so p_j rises with a_j: the best agent
    has the largest share.
    """
    scores, right, valid = _known(scores, right, valid)
    log_p = _log_shares(scores, valid)
    each = right * log_p + (1 - right) * _log_rest(scores, log_p, valid)
    return _mean(-each.masked_fill(~valid, 0).sum(1), _choice(valid))


def picce(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Reward, of the experts who are right, the best-scored one: -u_0 log p_0 - max_{j >= 1: u_j = 1} log p_j.

    PiCCE, "pick the confident and correct expert" (Liu et al. 2026, arXiv 2602.17144), with the log loss; its class
    term is the AI's here, since the classes are settled before the router is trained. A `right` above 0.5 is right.

    The argmax of the lowest minimum is the best agent for two experts, and for more whose errors are independent. It is
    not convex: a start may end with a lesser expert on top. Two experts who divide the voxels between them can
    beat a third who alone would be better.
    """
    scores, right, valid = _known(scores, right, valid)
    log_p = _log_shares(scores, valid)
    correct = (right > 0.5) & valid
    best = log_p[:, 1:].masked_fill(~correct[:, 1:], -torch.inf).max(1).values
    experts = torch.where(correct[:, 1:].any(1), best, 0)
    return _mean(-right[:, 0] * log_p[:, 0] - experts, _choice(valid))


def one_versus_all(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Learn each agent's competence by itself: BCE(sigmoid(g_j), u_j), the mean over valid pairs of agent and voxel.

    The expert part of Verma & Nalisnick (ICML 2022, "Calibrated Learning to Defer with One-vs-All Classifiers") for
    every agent. At the minimum sigmoid(g_j) = a_j.
    """
    scores, right, valid = _known(scores, right, valid)
    return _mean(functional.binary_cross_entropy_with_logits(scores, right, reduction="none"), valid)


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
    return _mean(-(onehot * log_q.masked_fill(~open_, 0)).sum(1), open_[:, 0])


def joint_one_versus_all(class_logits: Tensor, scores: Tensor, target: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Train classes and experts each by itself: sum_c BCE(sigmoid(g_c), [c = y]) + sum_j BCE(sigmoid(g_{C+j}), u_j).

    Verma & Nalisnick (ICML 2022, "Calibrated Learning to Defer with One-vs-All Classifiers") with the logistic loss,
    for several experts Verma et al. (AISTATS 2023), at every voxel. Parameters as in `dense_softmax`.
    """
    channels, onehot, open_ = _joint(class_logits, scores, target, right, valid)
    each = functional.binary_cross_entropy_with_logits(channels, onehot, reduction="none")
    return _mean(each.masked_fill(~open_, 0).sum(1), open_[:, 0])


def spatial_coherence(scores: Tensor, valid: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Ask for smooth deferral: w_d |D(x + e_d) - D(x)|, with D = 1 - p_0 and e_d the step along axis d.

    Part 5 of DeferredSeg (arXiv 2604.12411) as anisotropic total variation: it does not blur a border that the data
    want. The mean over pairs of neighbours that have the same valid agents; elsewhere D changes with who was there.

    Parameters
    ----------
    spacing : one length for each of S, mm, optional
        w_d = min(spacing) / spacing_d; without it all axes weigh 1.
    """
    scores, valid = _masked(scores, valid)
    weights = _axis_weights(spacing, scores.ndim - 2)
    defer, counts = _defer_share(scores, valid), _choice(valid)
    total, pairs = 0 * defer.sum(), counts.new_zeros((), dtype=torch.long)
    for axis, weight in enumerate(weights, start=2):
        n = scores.shape[axis] - 1
        same = (valid.narrow(axis, 0, n) == valid.narrow(axis, 1, n)).all(1) & counts.narrow(axis - 1, 0, n)
        total = total + weight * defer.diff(dim=axis - 1).abs().masked_fill(~same, 0).sum()
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
    scores, valid = _masked(scores, valid)
    experts = valid.shape[1] - 1
    low, high = _bounds(lower, upper, experts, scores)
    open_ = valid[:, 1:]
    at_hand = open_.sum(1, keepdim=True)
    winner = _logits(scores, valid).argmax(1, keepdim=True)
    work = open_ & (winner > 0) & (at_hand > 1)
    soft = scores[:, 1:].masked_fill(~work & work.any(1, keepdim=True), -torch.inf).softmax(1)
    hard = torch.zeros_like(scores).scatter(1, winner, 1.0)[:, 1:]
    share = _per_agent((hard + (soft - soft.detach())).masked_fill(~work, 0))
    count = _per_agent(work.to(scores.dtype))
    crowding = _per_agent(work * experts / at_hand.clamp(min=1)) / count.clamp(min=1)
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
    scores, right, valid = _known(scores, right, valid)
    _same_shape(defer, "defer", scores[:, :1].shape)
    counts = _choice(valid)
    d = torch.where(counts, _full(defer)[:, 0], 0)
    helps = (1 - right[:, 0]) * right[:, 1:].amax(1)
    each = functional.binary_cross_entropy_with_logits(d, helps, reduction="none")
    return _mean(each + consistency * (d.sigmoid() - _defer_share(scores, valid)).square(), counts)


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
    scores, right, valid = _known(scores, right, valid)
    for name, x in (("class_logit", class_logit), ("target", target)):
        _same_shape(x, name, scores[:, :1].shape)
    known, counts = valid[:, :1], _choice(valid)
    mask = torch.where(known, _full(class_logit), 0).sigmoid()
    y = torch.where(known, target.to(mask.dtype), 0)
    segmentation = _mean(functional.binary_cross_entropy_with_logits(mask, y, reduction="none"), known)
    log_p = _log_shares(scores, valid)
    factor = torch.cat((-right[:, :1], 1 - 2 * right[:, 1:]), 1)
    routing = _mean((factor * log_p).sum(1), counts)
    low, high = _bounds(lower, upper, scores.shape[1] - 1, scores)
    p = log_p.exp().masked_fill(~(valid & counts.unsqueeze(1)), 0)
    share = _per_agent(p)[1:] / counts.sum().clamp(min=1)
    present = (valid & counts.unsqueeze(1)).transpose(0, 1).flatten(1).any(1)[1:]
    hinge = ((low - share).relu() + (share - high).relu()).masked_fill(~present, 0).sum()
    return segmentation + routing + balance * hinge


class DeferredSegLoss(nn.Module):
    """Parts 4 to 6 of DeferredSeg (arXiv 2604.12411) and its deferral predictor's term, a weighted sum.

    Parameters
    ----------
    coherence, balance, deferral : float
        Weights beside `collaboration`, which weighs 1.
    lower, upper : float or one for each expert, optional
        As in `load_balance`.
    spacing : one length for each spatial axis, mm, optional
        As in `spatial_coherence`.
    """

    def __init__(
        self,
        coherence: float = 0.1,
        balance: float = 0.1,
        deferral: float = 1.0,
        lower: Bounds = None,
        upper: Bounds = None,
        spacing: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.weights = {"collaboration": 1.0, "coherence": coherence, "balance": balance, "deferral": deferral}
        self.lower, self.upper, self.spacing = lower, upper, spacing

    def terms(self, scores: Tensor, right: Tensor, valid: Tensor, defer: Tensor | None = None) -> dict[str, Tensor]:
        """Each term, unweighted. `defer` (B, 1, *S) is the predictor's logit; a router without one has no such term."""
        parts = {
            "collaboration": collaboration(scores, right, valid),
            "coherence": spatial_coherence(scores, valid, self.spacing),
            "balance": load_balance(scores, valid, self.lower, self.upper),
        }
        return parts if defer is None else parts | {"deferral": aggregated_deferral(defer, scores, right, valid)}

    def forward(self, scores: Tensor, right: Tensor, valid: Tensor, defer: Tensor | None = None) -> Tensor:
        """Weighted sum of the terms."""
        parts = self.terms(scores, right, valid, defer)
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()


def deferredseg(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """`DeferredSegLoss` with its default weights, for a router without a deferral predictor."""
    return DeferredSegLoss().forward(scores, right, valid)


ROUTER_LOSSES: dict[str, RouterLoss] = {
    "excess-utility": excess_utility,
    "collaboration": collaboration,
    "picce": picce,
    "one-versus-all": one_versus_all,
    "deferredseg": deferredseg,
}


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _same_shape(x: Tensor, name: str, shape: torch.Size) -> None:
    if x.shape != shape:
        raise ValueError(f"{name} {tuple(x.shape)} should be {tuple(shape)}")


def _masked(scores: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    if scores.ndim not in (4, 5) or scores.shape[1] < 2:
        raise ValueError(f"scores {tuple(scores.shape)} should be (B, A, *S) with two or more agents, S 2-D or 3-D")
    _same_shape(valid, "valid", scores.shape)
    valid = valid & valid[:, :1]
    # where() and not a product: what is masked may be NaN.
    return torch.where(valid, _full(scores), 0), valid


def _known(scores: Tensor, right: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores, valid = _masked(scores, valid)
    _same_shape(right, "right", scores.shape)
    return scores, torch.where(valid, right.to(scores.dtype), 0), valid


def _joint(
    class_logits: Tensor, scores: Tensor, target: Tensor, right: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Channels (B, C + K, *S), what each should be, and which of them count."""
    batch, *size = target.shape
    _same_shape(valid, "valid", torch.Size((batch, scores.shape[1] + 1, *size)))
    _same_shape(right, "right", valid.shape)
    _same_shape(class_logits, "class_logits", torch.Size((batch, class_logits.shape[1], *size)))
    known, classes = valid[:, :1], class_logits.shape[1]
    open_ = torch.cat((known.expand_as(class_logits), valid[:, 1:] & known), 1)
    channels = torch.where(open_, torch.cat((_full(class_logits), _full(scores)), 1), 0)
    y = torch.where(known[:, 0], target, 0).long()
    onehot = functional.one_hot(y, classes).movedim(-1, 1).to(channels.dtype)
    wanted = torch.cat((onehot, right[:, 1:].to(channels.dtype)), 1)
    return channels, torch.where(open_, wanted, 0), open_


def _choice(valid: Tensor) -> Tensor:
    """Voxels (B, *S) on which there is somebody to choose beside the AI."""
    return valid[:, 1:].any(1)


def _logits(scores: Tensor, valid: Tensor) -> Tensor:
    """Scores with -inf for who is not valid; voxels without a choice keep theirs, so that no row is all -inf."""
    return scores.masked_fill(~valid & _choice(valid).unsqueeze(1), -torch.inf)


def _log_shares(scores: Tensor, valid: Tensor) -> Tensor:
    """Log p_j over valid agents, 0 for the others."""
    return _logits(scores, valid).log_softmax(1).masked_fill(~valid, 0)


def _defer_share(scores: Tensor, valid: Tensor) -> Tensor:
    """1 - p_0, (B, *S)."""
    return 1 - _log_shares(scores, valid)[:, 0].exp()


def _log_rest(scores: Tensor, log_p: Tensor, valid: Tensor) -> Tensor:
    """log(1 - p_j), exact for the largest share too, where 1 - p_j rounds to 0."""
    logits = _logits(scores, valid)
    top = torch.zeros_like(valid).scatter(1, logits.argmax(1, keepdim=True), True)
    others = logits.masked_fill(top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    return torch.where(top, others, torch.log1p(-log_p.masked_fill(top | ~valid, -torch.inf).exp()))


def _mean(each: Tensor, counts: Tensor) -> Tensor:
    return torch.where(counts, each, 0).sum() / counts.sum().clamp(min=1)


def _per_agent(x: Tensor) -> Tensor:
    return x.transpose(0, 1).flatten(1).sum(1)


def _axis_weights(spacing: Sequence[float] | None, axes: int) -> list[float]:
    if spacing is None:
        return [1.0] * axes
    if len(spacing) != axes or min(spacing) <= 0:
        raise ValueError(f"spacing {tuple(spacing)} should be {axes} lengths above 0")
    return [min(spacing) / s for s in spacing]


def _bounds(lower: Bounds, upper: Bounds, experts: int, like: Tensor) -> tuple[Tensor, Tensor]:
    low = _each(0.5 / experts if lower is None else lower, experts)
    high = _each(1.5 / experts if upper is None else upper, experts)
    crossed = any(not 0 <= a <= b for a, b in zip(low, high, strict=True))
    if crossed or sum(low) > 1 + ROUNDING or sum(high) < 1 - ROUNDING:
        raise ValueError(f"no shares of {experts} experts lie between {low} and {high}")
    return like.new_tensor(low), like.new_tensor(high)


def _each(bound: float | Sequence[float], experts: int) -> list[float]:
    bounds = [float(bound)] * experts if isinstance(bound, int | float) else list(bound)
    if len(bounds) != experts:
        raise ValueError(f"{len(bounds)} bounds for {experts} experts")
    return bounds
