"""The loss of a whole router: the chosen one, those of its other heads, and optional terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_deferredseg.deferral.training import losses

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deferredseg.deferral.data.train_settings import RouterConfig
    from napari_deferredseg.deferral.routers.base import Routing


class RoutingLoss(nn.Module):
    """Weighted sum, in which each term stands once: what is asked for beside `DeferredSegLoss` adds to its weights."""

    def __init__(self, config: RouterConfig) -> None:
        super().__init__()
        self.name, self.weights = config.loss, config.weights
        self.deferredseg = losses.DeferredSegLoss(
            coherence=losses.COHERENCE + self.weights.coherence,
            balance=losses.BALANCE + self.weights.balance,
            deferral=self.weights.aggregated,
        )

    def forward(self, routing: Routing, right: Tensor, valid: Tensor, spacing: Tensor) -> Tensor:
        """Loss of a router's channels.

        Parameters
        ----------
        right, valid : (B, K + 1, *S) bool
            Where each agent is right and where that is known.
        spacing : (B, S)
            Lengths of a voxel, mm.
        """
        weights, scores = self.weights, routing.scores
        competence = weights.one_versus_all * losses.one_versus_all(routing.competence, right, valid)
        if self.name == "deferredseg":
            whole: Tensor = self.deferredseg(scores, right, valid, routing.defer, spacing)
            return whole + competence
        total = losses.ROUTER_LOSSES[self.name](scores, right, valid) + competence
        total = total + weights.aggregated * losses.aggregated_deferral(routing.defer, scores, right, valid)
        if weights.coherence:
            total = total + weights.coherence * losses.spatial_coherence(scores, valid, spacing)
        if weights.balance:
            total = total + weights.balance * losses.load_balance(scores, valid)
        return total
