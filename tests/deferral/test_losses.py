"""The losses of the router: laws that hold for each, and values worked out by hand."""

from __future__ import annotations

from functools import partial
from math import log

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_deferredseg.deferral.training.joint_losses import dense_softmax, joint_one_versus_all, script_as_written
from napari_deferredseg.deferral.training.losses import (
    ROUTER_LOSSES,
    DeferredSegLoss,
    aggregated_deferral,
    collaboration,
    excess_utility,
    load_balance,
    one_versus_all,
    picce,
    spatial_coherence,
)

shapes = st.sampled_from([(2, 2, 3, 4), (1, 3, 4, 3), (2, 4, 2, 3, 3), (1, 5, 1, 4, 2)])
seeds = st.integers(0, 2**31)
quick = settings(max_examples=15, deadline=None)


class Draw:
    """Random inputs of every loss for scores (B, A, *S) float64; each call of a loss gives its value and gradients."""

    def __init__(self, shape: tuple[int, ...], seed: int, classes: int = 3) -> None:
        self.g = torch.Generator().manual_seed(seed)
        b, _, *size = shape
        self.scores = self.normal(shape)
        self.right = torch.rand(shape, generator=self.g) < 0.6
        self.valid = torch.rand(shape, generator=self.g) < 0.7
        self.defer = self.normal((b, 1, *size))
        self.logit = self.normal((b, 1, *size))
        self.mask = torch.rand((b, 1, *size), generator=self.g) < 0.5
        self.classes = self.normal((b, classes, *size))
        self.target = torch.randint(classes, (b, *size), generator=self.g)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return 2 * torch.randn(shape, generator=self.g, dtype=torch.float64)

    def inputs(self, name: str) -> tuple[Tensor, ...]:
        """Floating-point inputs of the loss, those with a gradient."""
        return {
            "predictor": (self.scores, self.defer),
            "deferredseg module": (self.scores, self.defer),
            "script": (self.scores, self.logit),
            "dense softmax": (self.scores, self.classes),
            "joint one-versus-all": (self.scores, self.classes),
        }.get(name, (self.scores,))

    def call(self, name: str, *x: Tensor) -> Tensor:
        u, v = self.right, self.valid
        others = {
            "predictor": lambda s, d: aggregated_deferral(d, s, u, v, 0.5),
            "deferredseg module": lambda s, d: DeferredSegLoss()(s, u, v, d),
            "script": lambda s, f: script_as_written(f, s, self.mask, u, v),
            "dense softmax": lambda s, c: dense_softmax(c, s[:, 1:], self.target, u, v),
            "joint one-versus-all": lambda s, c: joint_one_versus_all(c, s[:, 1:], self.target, u, v),
            "coherence": lambda s: spatial_coherence(s, v),
            "balance": lambda s: load_balance(s, v),
        }
        return others[name](*x) if name in others else ROUTER_LOSSES[name](*x, u, v)  # type: ignore[call-arg, operator]

    def run(self, name: str) -> tuple[Tensor, list[Tensor]]:
        x = [t.detach().clone().requires_grad_() for t in self.inputs(name)]
        value = self.call(name, *x)
        return value.detach(), list(torch.autograd.grad(value, x))


EXTRA = ["predictor", "deferredseg module", "script", "dense softmax", "joint one-versus-all", "coherence", "balance"]
ALL = [*ROUTER_LOSSES, *EXTRA]
each_loss = pytest.mark.parametrize("name", ALL)


@each_loss
@quick
@given(shapes, seeds, st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30, -3.0]))
def test_what_is_masked_never_matters(name, shape, seed, junk):
    draw = Draw(shape, seed)
    value, grads = draw.run(name)
    nobody = ~draw.valid[:, :1]
    out = ~draw.valid | nobody
    draw.scores[out] = junk
    draw.right = torch.where(out, junk, draw.right.double())
    for x in (draw.defer, draw.logit, draw.classes):
        x[nobody.expand_as(x)] = junk
    draw.mask = torch.where(nobody, junk, draw.mask.double())
    draw.target[nobody[:, 0]] = 255
    again, same = draw.run(name)
    assert again == value
    for a, b in zip(grads, same, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not grads[0][out].any()


@each_loss
@quick
@given(shapes, seeds)
def test_no_voxel_that_counts_gives_zero_with_a_gradient(name, shape, seed):
    draw = Draw(shape, seed)
    draw.valid[:, 0] = False
    value, grads = draw.run(name)
    assert value == 0
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("script", "balance", "coherence")])
@quick
@given(shapes, seeds)
def test_a_case_without_labels_beside_it_changes_nothing(name, shape, seed):
    draw = Draw(shape, seed)
    alone, _ = draw.run(name)
    for field in ("scores", "right", "valid", "defer", "classes", "target"):
        x = getattr(draw, field)
        setattr(draw, field, torch.cat((x, torch.zeros_like(x))))
    together, _ = draw.run(name)
    torch.testing.assert_close(alone, together)


@each_loss
@quick
@given(shapes, seeds, st.randoms(use_true_random=False))
def test_renaming_the_experts_renames_the_gradient(name, shape, seed, random):
    draw = Draw(shape, seed)
    value, grads = draw.run(name)
    order = [0, *random.sample(range(1, shape[1]), shape[1] - 1)]
    for field in ("scores", "right", "valid"):
        setattr(draw, field, getattr(draw, field)[:, order].clone())
    other, renamed = draw.run(name)
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(grads[0][:, order], renamed[0])


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@quick
@given(shapes, seeds)
def test_extreme_logits_give_finite_values_and_gradients(name, dtype, shape, seed):
    draw = Draw(shape, seed)
    for field in ("scores", "defer", "logit", "classes"):
        setattr(draw, field, (1e4 * getattr(draw, field).sign()).to(dtype))
    value, grads = draw.run(name)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert all(g.isfinite().all() for g in grads)


# Straight-through shares have a gradient on purpose that is not that of their value.
@pytest.mark.parametrize("name", [n for n in ALL if n not in ("balance", "deferredseg module")])
@settings(max_examples=5, deadline=None)
@given(st.sampled_from([(1, 2, 2, 2), (1, 4, 2, 2), (1, 3, 2, 2, 1)]), seeds)
def test_gradients_are_right(name, shape, seed):
    draw = Draw(shape, seed)
    x = tuple(t.requires_grad_() for t in draw.inputs(name))
    assert torch.autograd.gradcheck(partial(draw.call, name), x)


@quick
@given(shapes, seeds)
def test_the_module_is_the_weighted_sum_of_its_terms(shape, seed):
    d = Draw(shape, seed)
    loss = DeferredSegLoss(coherence=0.3, balance=0.2, deferral=2.0)
    terms = loss.terms(d.scores, d.right, d.valid, d.defer)
    torch.testing.assert_close(terms["collaboration"], collaboration(d.scores, d.right, d.valid))
    torch.testing.assert_close(terms["coherence"], spatial_coherence(d.scores, d.valid))
    torch.testing.assert_close(terms["balance"], load_balance(d.scores, d.valid))
    torch.testing.assert_close(terms["deferral"], aggregated_deferral(d.defer, d.scores, d.right, d.valid))
    total = terms["collaboration"] + 0.3 * terms["coherence"] + 0.2 * terms["balance"] + 2 * terms["deferral"]
    torch.testing.assert_close(loss(d.scores, d.right, d.valid, d.defer), total)
    torch.testing.assert_close(loss(d.scores, d.right, d.valid), total - 2 * terms["deferral"])


def voxels(rows: list[tuple[int, ...]]) -> Tensor:
    """Rows of u, one voxel each, as (1, A, N, 1)."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, :, None]


# Values by hand.

YES = torch.ones(1, 3, 1, 1, dtype=torch.bool)


def column(*x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)[None, :, None, None]


SHARES = column(log(0.5), log(0.3), log(0.2))


def test_pointwise_values_by_hand():
    u = column(0, 1, 1)
    assert excess_utility(SHARES, u, YES).item() == pytest.approx(-log(0.3) - log(0.2))
    assert excess_utility(SHARES, column(1, 1, 1), YES).item() == 0
    assert excess_utility(SHARES, column(0.5, 0.75, 1), YES).item() == pytest.approx(-0.25 * log(0.3) - 0.5 * log(0.2))
    assert collaboration(SHARES, u, YES).item() == pytest.approx(-log(0.5) - log(0.3) - log(0.2))
    assert collaboration(SHARES, column(0, 1, 0), YES).item() == pytest.approx(-log(0.5) - log(0.3) - log(0.8))
    assert picce(SHARES, u, YES).item() == pytest.approx(-log(0.3))
    assert picce(SHARES, column(1, 0, 1), YES).item() == pytest.approx(-log(0.5) - log(0.2))
    logits = column(0, log(3), -log(3))
    expected = (log(2) - log(0.75) - log(0.25)) / 3
    assert one_versus_all(logits, u, YES).item() == pytest.approx(expected)


def test_an_absent_reader_is_out_of_the_softmax():
    valid = YES.clone()
    valid[:, 2] = False
    u = column(1, 0, 1)
    assert excess_utility(SHARES, u, valid).item() == pytest.approx(-log(0.5 / 0.8))
    assert collaboration(SHARES, u, valid).item() == pytest.approx(-2 * log(0.5 / 0.8))
    assert picce(SHARES, u, valid).item() == pytest.approx(-log(0.5 / 0.8))


def test_voxels_on_which_all_agree_dilute_the_mean_but_do_not_pull():
    scores = SHARES.repeat(1, 1, 1, 2).requires_grad_()
    u = torch.cat((column(0, 1, 1), column(1, 1, 1)), 3)
    value = excess_utility(scores, u, torch.cat((YES, YES), 3))
    value.backward()
    assert value.item() == pytest.approx((-log(0.3) - log(0.2)) / 2)
    assert not scores.grad[..., 1].any()
    assert scores.grad[..., 0].all()


def test_joint_values_by_hand():
    classes, experts = column(log(0.4), log(0.1)), column(log(0.3), log(0.2))
    y, u = torch.tensor([[[1]]]), column(0, 1, 0)
    assert dense_softmax(classes, experts, y, u, YES).item() == pytest.approx(-log(0.1) - log(0.3))
    zeros = torch.zeros_like(classes)
    assert joint_one_versus_all(zeros, zeros, y, u, YES).item() == pytest.approx(4 * log(2))
    third = column(log(3), -log(3))
    assert joint_one_versus_all(third, third, y, u, YES).item() == pytest.approx(-2 * log(0.25) - 2 * log(0.75))


def test_the_deferral_predictor_by_hand():
    logit = column(log(0.7 / 0.3))
    for u, target in (((0, 1, 0), 0.7), ((0, 0, 0), 0.3), ((1, 1, 1), 0.3)):
        value = aggregated_deferral(logit, SHARES, column(*u), YES, consistency=2.0)
        assert value.item() == pytest.approx(-log(target) + 2 * (0.7 - 0.5) ** 2)


def test_the_script_by_hand():
    value = script_as_written(column(0), SHARES, column(1), column(1, 1, 0), YES, lower=0.25, upper=0.6, balance=10)
    segmentation = log(1 + torch.tensor(-0.5).exp().item())
    assert value.item() == pytest.approx(segmentation - log(0.5) - log(0.3) + log(0.2) + 10 * 0.05, rel=1e-5)


def test_the_script_has_no_floor_where_collaboration_has_one():
    u = column(1, 0)
    yes = torch.ones_like(u, dtype=torch.bool)
    zero = torch.zeros_like(u[:, :1])
    for far in (10.0, 1e3, 1e5):
        scores = column(0, -far)
        assert script_as_written(zero, scores, zero, u, yes, balance=0) < -0.9 * far + 2
        assert 0 <= collaboration(scores, u, yes) < 1e-3


def plane(p: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Scores of two agents with these P(defer), (1, 2, y, x)."""
    d = torch.tensor(p, dtype=torch.float64)
    scores = torch.stack(((1 - d).log(), d.log()))[None]
    return scores, torch.ones_like(scores, dtype=torch.bool)


def test_coherence_by_hand():
    scores, valid = plane([[0.2, 0.5], [0.2, 0.9]])
    assert spatial_coherence(scores, valid).item() == pytest.approx((0.3 + 0.7 + 0.0 + 0.4) / 4)
    assert spatial_coherence(scores, valid, (4, 1)).item() == pytest.approx((0.3 + 0.7 + 0.4 / 4) / 4)
    valid[:, 1, 1, 1] = False
    assert spatial_coherence(scores, valid).item() == pytest.approx(0.3 / 2)


@quick
@given(shapes, seeds)
def test_coherence_knows_no_direction(shape, seed):
    draw = Draw(shape, seed)
    value = spatial_coherence(draw.scores, draw.valid)
    axes = tuple(range(2, len(shape)))
    torch.testing.assert_close(spatial_coherence(draw.scores.flip(axes), draw.valid.flip(axes)), value)
    torch.testing.assert_close(spatial_coherence(draw.scores.mT, draw.valid.mT), value)


@quick
@given(shapes, seeds)
def test_coherence_weighs_each_item_by_its_own_voxels(shape, seed):
    draw = Draw(shape, seed)
    axes = len(shape) - 2
    lengths = torch.linspace(0.5, 5, len(draw.scores) * axes).reshape(-1, axes)
    together = spatial_coherence(draw.scores, draw.valid, lengths)
    pairs = spatial_coherence(draw.scores, draw.valid)
    torch.testing.assert_close(spatial_coherence(draw.scores, draw.valid, torch.full_like(lengths, 3.0)), pairs)
    torch.testing.assert_close(spatial_coherence(draw.scores, draw.valid, 2 * lengths), together)
    assert 0 <= together <= pairs


def test_coherence_does_not_ask_who_was_there():
    scores = torch.zeros(1, 3, 2, 4)
    valid = torch.ones_like(scores, dtype=torch.bool)
    valid[:, 2, :, 2:] = False
    assert spatial_coherence(scores, valid) == 0


def soft_even_hard_lopsided() -> tuple[Tensor, Tensor]:
    """100 voxels whose mean shares are near .24 .26 .24 .26 and whose winners are 2, 33, 2 and 63 of them."""
    p = torch.tensor([0.24, 0.26, 0.24, 0.26], dtype=torch.float64).repeat(100, 1)
    for start, count, agent in ((0, 2, 0), (2, 33, 1), (35, 2, 2), (37, 63, 3)):
        p[start : start + count, agent] += 0.03
    scores = (p / p.sum(1, keepdim=True)).log().T.reshape(1, 4, 10, 10)
    return scores, torch.ones_like(scores, dtype=torch.bool)


def test_balance_sees_what_soft_shares_hide():
    scores, valid = soft_even_hard_lopsided()
    soft = scores.softmax(1).mean((0, 2, 3))
    assert soft.tolist() == pytest.approx([0.24, 0.26, 0.24, 0.26], abs=0.015)
    nothing = torch.zeros_like(scores[:, :1])
    script = partial(script_as_written, nothing, scores, nothing, valid, valid)
    assert script(balance=1) == script(balance=0)
    expected = (1 / 6 - 2 / 98) + (63 / 98 - 1 / 2)
    assert load_balance(scores, valid).item() == pytest.approx(expected)
    assert load_balance(scores, valid, lower=[0, 0, 0.5], upper=[0.3, 1, 1]).item() == pytest.approx(33 / 98 - 0.3)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_descending_the_balance_moves_work_between_experts_and_none_to_the_ai(seed):
    scores = Draw((1, 4, 12, 12), seed).scores + column(0, -1, 0, 2)
    valid = torch.ones_like(scores, dtype=torch.bool)
    deferred = scores.argmax(1) > 0
    before = load_balance(scores, valid)
    assume(before > 0.1)
    for _ in range(200):
        scores.requires_grad_()
        (gradient,) = torch.autograd.grad(load_balance(scores, valid), scores)
        assert not gradient[:, 0].any()
        assert not gradient.permute(0, 2, 3, 1)[~deferred].any()
        scores = (scores - 3 * gradient).detach()
        deferred = scores.argmax(1) > 0
    a_voxel = 1 / deferred.sum()  # shares of what is really deferred move by no less
    assert load_balance(scores, valid) < 0.2 * before + a_voxel


def test_fewer_readers_at_hand_may_do_more_each():
    scores = torch.zeros(1, 5, 1, 10)
    valid = torch.ones_like(scores, dtype=torch.bool)
    valid[:, 3:] = False
    scores[:, 1, :, :6], scores[:, 2, :, 6:] = 5, 5
    assert load_balance(scores, valid) == 0
    valid[:, 3] = True
    assert load_balance(scores, valid).item() == pytest.approx((0.6 - 0.5) + 0.5 / 3)


def test_who_alone_was_there_is_not_overloaded():
    scores, valid = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2, dtype=torch.bool)
    scores[:, 1], valid[:, 2] = 3, False
    assert load_balance(scores, valid) == 0


@pytest.mark.parametrize(("lower", "upper"), [(0.6, 1.0), (0.0, 0.3), (0.5, 0.4), (-0.1, 1.0), ([0.1], 1.0)])
def test_refuses_bounds_that_nothing_meets(lower, upper):
    with pytest.raises(ValueError, match="experts"):
        load_balance(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2, dtype=torch.bool), lower, upper)


def test_refuses_shapes_that_do_not_fit():
    x, yes = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2, dtype=torch.bool)
    for name, loss in ROUTER_LOSSES.items():
        with pytest.raises(ValueError, match="valid"):
            loss(x, yes, yes[:, :2])
        with pytest.raises(ValueError, match="right"):
            loss(x, yes[..., :1], yes)
        with pytest.raises(ValueError, match="two or more agents"):
            loss(x[:, :1], yes[:, :1], yes[:, :1])
        assert loss(x, yes, yes).isfinite(), name
    with pytest.raises(ValueError, match="defer"):
        aggregated_deferral(x, x, yes, yes)
    with pytest.raises(ValueError, match="spacing"):
        spatial_coherence(x, yes, (1, 1, 1))
