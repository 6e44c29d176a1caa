"""What the losses share: sums and shares over the voxels and agents that count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Bounds = float | Sequence[float] | None
Spacing = Tensor | Sequence[float] | None

ROUNDING = 1e-6


def full(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def require_shape(x: Tensor, name: str, shape: torch.Size) -> None:
    """Check the shape of a tensor. ValueError when it is another."""
    if x.shape != shape:
        raise ValueError(f"{name} {tuple(x.shape)} should be {tuple(shape)}")


def masked(scores: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Scores with 0 for who is not valid, and who is; without a reference nobody is. ValueError for shapes."""
    if scores.ndim not in (4, 5) or scores.shape[1] < 2:
        raise ValueError(f"scores {tuple(scores.shape)} should be (B, A, *S) with two or more agents, S 2-D or 3-D")
    require_shape(valid, "valid", scores.shape)
    valid = valid & valid[:, :1]
    # where() and not a product: what is masked may be NaN.
    return torch.where(valid, full(scores), 0), valid


def known_only(scores: Tensor, right: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores and `right` with 0 for who is not valid, and who is. ValueError for shapes."""
    scores, valid = masked(scores, valid)
    require_shape(right, "right", scores.shape)
    return scores, torch.where(valid, right.to(scores.dtype), 0), valid


def choice(valid: Tensor) -> Tensor:
    """Voxels (B, *S) on which there is somebody to choose beside the AI."""
    return valid[:, 1:].any(1)


def open_logits(scores: Tensor, valid: Tensor) -> Tensor:
    """Scores with -inf for who is not valid; voxels without a choice keep theirs, so that no row is all -inf."""
    return scores.masked_fill(~valid & choice(valid).unsqueeze(1), -torch.inf)


def log_shares(scores: Tensor, valid: Tensor) -> Tensor:
    """Log p_j over valid agents, 0 for the others."""
    return open_logits(scores, valid).log_softmax(1).masked_fill(~valid, 0)


def defer_share(scores: Tensor, valid: Tensor) -> Tensor:
    """1 - p_0, (B, *S)."""
    return 1 - log_shares(scores, valid)[:, 0].exp()


def log_rest(scores: Tensor, log_p: Tensor, valid: Tensor) -> Tensor:
    """log(1 - p_j), exact for the largest share too, where 1 - p_j rounds to 0."""
    logits = open_logits(scores, valid)
    top = torch.zeros_like(valid).scatter(1, logits.argmax(1, keepdim=True), True)
    others = logits.masked_fill(top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    return torch.where(top, others, torch.log1p(-log_p.masked_fill(top | ~valid, -torch.inf).exp()))


def mean(each: Tensor, counts: Tensor) -> Tensor:
    """Mean over what counts; 0 where nothing does."""
    return torch.where(counts, each, 0).sum() / counts.sum().clamp(min=1)


def per_agent(x: Tensor) -> Tensor:
    """Sum over all but the agents, (A,)."""
    return x.transpose(0, 1).flatten(1).sum(1)


def axis_weights(spacing: Spacing, scores: Tensor) -> Tensor:
    """Weight of each axis of each item, (B, S)."""
    batch, axes = scores.shape[0], scores.ndim - 2
    if spacing is None:
        return scores.new_ones(batch, axes)
    lengths = torch.as_tensor(spacing, dtype=scores.dtype, device=scores.device)
    if lengths.shape not in ((axes,), (batch, axes)) or not bool((lengths > 0).all()):
        raise ValueError(f"spacing {lengths.tolist()} should be {axes} lengths above 0")
    return (lengths.amin(-1, keepdim=True) / lengths).expand(batch, axes)


def bounds_of(lower: Bounds, upper: Bounds, experts: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds (K,) of each expert's share. ValueError where no shares lie between them."""
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
