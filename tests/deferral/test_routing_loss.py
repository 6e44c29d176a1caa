from __future__ import annotations

import pytest
import torch

from napari_deferredseg.deferral.data.train_settings import RouterConfig
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.training.losses import DeferredSegLoss, one_versus_all
from napari_deferredseg.deferral.training.routing_loss import RoutingLoss


@pytest.mark.parametrize("name", ["excess-utility", "deferredseg"])
def test_a_step_across_thick_slices_costs_less_than_one_within_a_slice(name):
    """What coherence adds to the router's loss counts in mm: between slices five times as thick, a fifth."""
    with_it, without = (
        RoutingLoss(RouterConfig.model_validate({"loss": name, "weights": {"coherence": weight}})) for weight in (1, 0)
    )
    valid = torch.ones(1, 3, 4, 4, 4, dtype=torch.bool)
    right = torch.zeros_like(valid)

    def cost(axis, spacing):
        step = (torch.arange(4.0) > 1.5).float().mul(6).reshape([-1 if a == axis else 1 for a in range(3)])
        scores = torch.stack([torch.zeros(4, 4, 4), step.expand(4, 4, 4), -torch.ones(4, 4, 4)])[None]
        routing = Routing(scores, torch.zeros_like(scores), torch.zeros(1, 1, 4, 4, 4))
        lengths = torch.tensor([spacing])
        return float(with_it(routing, right, valid, lengths) - without(routing, right, valid, lengths))

    even, thick = (1.0, 1.0, 1.0), (5.0, 1.0, 1.0)
    assert cost(0, even) == pytest.approx(cost(2, even), rel=1e-4)
    assert cost(2, thick) == pytest.approx(cost(2, even), rel=1e-4)
    assert cost(0, thick) == pytest.approx(cost(0, even) / 5, rel=1e-3)


def test_each_term_of_a_router_stands_once():
    """What is asked for beside the loss of DeferredSeg adds to its weights."""
    torch.manual_seed(0)
    scores, defer = torch.randn(2, 3, 4, 5), torch.randn(2, 1, 4, 5)
    right, valid = torch.rand(2, 3, 4, 5) > 0.4, torch.ones(2, 3, 4, 5, dtype=torch.bool)
    weights = {"one_versus_all": 0.3, "aggregated": 0.7, "coherence": 0.4, "balance": 0.2}
    loss = RoutingLoss(RouterConfig.model_validate({"loss": "deferredseg", "weights": weights}))
    lengths = torch.tensor([[5.0, 1.0], [1.0, 1.0]])
    one_sum = DeferredSegLoss(coherence=0.5, balance=0.3, deferral=0.7)(scores, right, valid, defer, lengths)
    found = loss(Routing(scores, scores, defer), right, valid, lengths)
    torch.testing.assert_close(found, one_sum + 0.3 * one_versus_all(scores, right, valid))
