"""What is fitted: a segmentor, a router on its predictions, or both in one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import lightning.pytorch as pl
import torch
from monai.losses import MaskedDiceLoss
from torch import Tensor
from torch.nn import functional as F

from napari_deferredseg.deferral.data.patches import PatchData
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.training import losses

if TYPE_CHECKING:
    from torch import nn

    from napari_deferredseg.deferral.data.patches import Batch, Cases
    from napari_deferredseg.deferral.data.train_settings import DataConfig, FitConfig, JointLoss, RouterConfig
    from napari_deferredseg.deferral.routers.network import NetworkRouter

VALIDATION_LOSS = "validation_loss"


class Stage(pl.LightningModule):
    """A network, how it is fitted, and its loss on a batch."""

    ARRAYS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, network: nn.Module, fit: FitConfig) -> None:
        super().__init__()
        self.network, self.fit_config = network, fit

    def loss(self, batch: Any) -> Tensor:
        """Return the scalar loss of a batch."""
        raise NotImplementedError

    def data(self, cases: Cases, config: DataConfig, batches: int, seed: int) -> pl.LightningDataModule:
        """Return what it is fitted to: patches of the arrays that it names, `batches` of them in an epoch."""
        fit = self.fit_config
        return PatchData(cases, self.ARRAYS, config, batch=fit.batch, batches=batches, seed=seed)

    def size_of(self, batch: Any) -> int:
        """Number of items in a batch."""
        return int(batch["image"].shape[0])

    def training_step(self, batch: Any, number: int) -> Tensor:
        """Fit to a batch."""
        loss = self.loss(batch)
        self.log("training_loss", loss)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: Any, number: int) -> None:
        """Judge on a batch that is not learned from."""
        self.log(VALIDATION_LOSS, self.loss(batch), on_epoch=True, sync_dist=True, batch_size=self.size_of(batch))

    def configure_optimizers(self) -> pl.utilities.types.OptimizerLRScheduler:
        """AdamW, warmed up and annealed over all steps."""
        fit = self.fit_config
        optimiser = torch.optim.AdamW(self.parameters(), fit.learning_rate, weight_decay=fit.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, fit.learning_rate, total_steps=fit.steps + 1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class SegmentorStage(Stage):
    """Cross-entropy plus soft Dice where the reference is known. Batch: image, reference, known."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("image", "reference", "known")

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of class logits (B, C, *spatial)."""
        return segmentation_loss(self.network(batch["image"]).float(), batch["reference"], batch["known"])


class RouterStage(Stage):
    """The router's losses. Batch: image, scaled logits, right, valid, reference, known."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("image", "scaled", "right", "valid", "reference", "known")

    def __init__(self, router: NetworkRouter, config: RouterConfig) -> None:
        super().__init__(router, config.fit)
        self.config = config

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted sum of the chosen routing loss, the other heads' losses and the optional terms."""
        logits = batch["scaled"].float()
        routing = Routing.of(self.network(batch["image"], logits))
        return routing_loss(routing, *agents_of(logits, batch), self.config)


class JointStage(Stage):
    """One network with class logits and agent scores. Batch as for the router, without logits."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("image", "right", "valid", "reference", "known")

    def __init__(self, network: nn.Module, fit: FitConfig, loss: JointLoss, classes: int) -> None:
        super().__init__(network, fit)
        self.name, self.classes = loss, classes

    def loss(self, batch: Batch) -> Tensor:
        """Return the joint loss of (B, C + K + 1, *spatial)."""
        channels = self.network(batch["image"])
        logits, scores = channels[:, : self.classes], channels[:, self.classes :]
        right, valid = agents_of(logits, batch)
        target = batch["reference"].long()
        if self.name == "script-as-written":
            # The script knows one foreground.
            foreground = logits[:, 1:2] - logits[:, :1]
            return losses.script_as_written(foreground, scores, target.unsqueeze(1) > 0, right, valid)
        loss = losses.dense_softmax if self.name == "dense-softmax" else losses.joint_one_versus_all
        return loss(logits, scores[:, 1:], target, right, valid)


def routing_loss(routing: Routing, right: Tensor, valid: Tensor, config: RouterConfig) -> Tensor:
    """Weighted sum of the chosen routing loss, the other heads' losses and the optional terms.

    `right` and `valid` (B, K + 1, *spatial) say where each agent is right and where that is known.
    """
    weights = config.weights
    total = losses.ROUTER_LOSSES[config.loss](routing.scores, right, valid)
    total = total + weights.one_versus_all * losses.one_versus_all(routing.competence, right, valid)
    total = total + weights.aggregated * losses.aggregated_deferral(routing.defer, routing.scores, right, valid)
    if weights.coherence:
        total = total + weights.coherence * losses.spatial_coherence(routing.scores, valid)
    if weights.balance:
        total = total + weights.balance * losses.load_balance(routing.scores, valid)
    return total


def segmentation_loss(logits: Tensor, reference: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice over known voxels; `reference` and `known` are (B, *spatial)."""
    mask = known.float()
    entropy = F.cross_entropy(logits, reference.long(), reduction="none")
    dice = MaskedDiceLoss(to_onehot_y=True, softmax=True, include_background=False)
    overlap: Tensor = dice(logits, reference.unsqueeze(1), mask.unsqueeze(1))
    return (entropy * mask).sum() / mask.sum().clamp(min=1) + overlap


def agents_of(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Where each agent is right and where that is known, (B, K + 1, *spatial); agent 0 is the AI."""
    own = (logits.argmax(dim=1) == batch["reference"]).unsqueeze(1)
    right = torch.cat([own, batch["right"].bool()], dim=1)
    return right, torch.cat([batch["known"].bool().unsqueeze(1), batch["valid"].bool()], dim=1)
