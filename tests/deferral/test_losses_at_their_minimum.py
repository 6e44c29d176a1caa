"""The losses of the router at their minimum: the best agent must win."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_deferredseg.deferral.training.joint_losses import dense_softmax, joint_one_versus_all, script_as_written
from napari_deferredseg.deferral.training.losses import (
    collaboration,
    excess_utility,
    one_versus_all,
    picce,
)

# One table of logits for all voxels, whose u follow a known distribution.


def voxels(rows: list[tuple[int, ...]]) -> Tensor:
    """Rows of u, one voxel each, as (1, A, N, 1)."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, :, None]


def lowest(loss, right: Tensor, start: Tensor) -> tuple[Tensor, float]:
    """Logits (A,) at which descent from `start` ends, and the loss there."""
    logits = start.double().clone().requires_grad_()
    optimiser = torch.optim.LBFGS([logits], lr=0.5, max_iter=200, line_search_fn="strong_wolfe")
    valid = torch.ones_like(right, dtype=torch.bool)

    def risk() -> Tensor:
        optimiser.zero_grad()
        # A pinch of decay: an agent that is never right would be sent to minus infinity.
        value = loss(logits[None, :, None, None].expand_as(right), right, valid) + 1e-6 * logits.square().sum()
        value.backward()
        return value

    optimiser.step(risk)
    return logits.detach(), risk().item()


def rows(agents: int):
    return st.lists(st.tuples(*[st.integers(0, 1)] * agents), min_size=12, max_size=60)


def clear_best(right: Tensor) -> int | None:
    best = right.mean((0, 2, 3)).sort(descending=True)
    return int(best.indices[0]) if best.values[0] - best.values[1] > 0.03 else None


@pytest.mark.parametrize("loss", [excess_utility, collaboration, one_versus_all])
@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5).flatmap(rows))
def test_the_best_agent_has_the_highest_score_at_the_minimum(loss, u):
    right = voxels(u)
    logits, _ = lowest(loss, right, torch.zeros(right.shape[1]))
    if (best := clear_best(right)) is not None:
        assert int(logits.argmax()) == best


@settings(max_examples=20, deadline=None)
@given(rows(3))
def test_picce_finds_the_better_of_two_experts(u):
    right = voxels(u)
    ends = [lowest(picce, right, torch.tensor(start)) for start in permutations((1.0, 0.0, -1.0))]
    if (best := clear_best(right)) is not None:
        assert int(min(ends, key=lambda e: e[1])[0].argmax()) == best


@settings(max_examples=12, deadline=None)
@given(st.permutations([0, 1, 2, 3]), st.integers(0, 4))
def test_picce_finds_the_best_of_independent_experts(quarters, ai):
    # Expert j is right on quarters[j] of every four voxels, the AI on `ai`, each independently of the others.
    experts = quarters[:3]
    u = [tuple(int(i < q) for i, q in zip(x, (ai, *experts), strict=True)) for x in product(range(4), repeat=4)]
    right = voxels(u)
    starts = [torch.tensor((0.0, *s)) for s in permutations((2.0, 0.0, -2.0))]
    logits, _ = min((lowest(picce, right, s) for s in starts), key=lambda e: e[1])
    if (best := clear_best(right)) is not None:
        assert int(logits.argmax()) == best


def test_picce_prefers_two_who_divide_the_work_to_a_better_third():
    right = voxels([(0, int(i in (2, 3, 4, 5)), int(i < 4), int(i > 3)) for i in range(1, 7)])
    assert clear_best(right) == 1
    _, alone = lowest(picce, right, torch.tensor((-3.0, 2.0, 0.0, 0.0)))
    logits, divided = lowest(picce, right, torch.tensor((-3.0, -3.0, 1.0, 1.0)))
    assert divided < alone - 0.1
    assert int(logits.argmax()) != 1


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4).flatmap(rows))
def test_one_versus_all_is_calibrated(u):
    right = voxels(u)
    logits, _ = lowest(one_versus_all, right, torch.zeros(right.shape[1]))
    torch.testing.assert_close(logits.sigmoid(), right.mean((0, 2, 3)), atol=0.01, rtol=0)


@pytest.mark.parametrize("loss", [dense_softmax, joint_one_versus_all])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), min_size=12, max_size=60))
def test_classes_and_experts_compete_by_their_chance_to_be_right(loss, drawn):
    y, u1, u2 = voxels(drawn)[0]
    chances = torch.tensor([float((y == c).double().mean()) for c in range(3)] + [u1.mean(), u2.mean()]).double()
    right = torch.stack((torch.zeros_like(u1), u1, u2))[None]

    def joint(channels: Tensor, _right: Tensor, _valid: Tensor) -> Tensor:
        valid = torch.ones_like(right, dtype=torch.bool)
        return loss(channels[:, :3], channels[:, 3:], y[None].long(), right, valid)

    logits, _ = lowest(joint, torch.zeros(1, 5, *y.shape).double(), torch.zeros(5))
    expected = chances / chances.sum() if loss is dense_softmax else chances
    got = logits.softmax(0) if loss is dense_softmax else logits.sigmoid()
    torch.testing.assert_close(got, expected, atol=0.01, rtol=0)


def test_the_script_wants_an_expert_much_better_than_the_ai():
    def script(scores: Tensor, right: Tensor, valid: Tensor) -> Tensor:
        nothing = torch.zeros_like(scores[:, :1])
        return script_as_written(nothing, scores, nothing, right, valid, balance=0)

    for of_100, chosen in ((95, 0), (97, 1)):
        right = voxels([(int(i < 92), int(i < of_100)) for i in range(100)])
        assert int(lowest(script, right, torch.zeros(2))[0].argmax()) == chosen
        assert int(lowest(collaboration, right, torch.zeros(2))[0].argmax()) == 1


def test_the_script_segments_only_what_is_foreground_at_062():
    right = torch.zeros(1, 2, 100, 1)

    def script(logit: Tensor, _right: Tensor, valid: Tensor) -> Tensor:
        return script_as_written(logit[:, :1], right, mask, right > 0, valid, balance=0)

    for of_100, foreground in ((60, False), (64, True)):
        mask = (torch.arange(100) < of_100)[None, None, :, None]
        assert bool(lowest(script, right, torch.zeros(2))[0][0] > 0) == foreground
