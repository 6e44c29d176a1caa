"""What is fitted: a segmentor, a router on its predictions, or both in one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import lightning.pytorch as pl
import torch
from monai.losses import MaskedDiceLoss
from torch import Tensor
from torch.nn import functional as F

from napari_deferredseg.deferral.data.patches import PatchData
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.training import joint_losses
from napari_deferredseg.deferral.training.batches import JointBatch, RouterBatch, SegmentorBatch
from napari_deferredseg.deferral.training.routing_loss import RoutingLoss

if TYPE_CHECKING:
    from torch import nn

    from napari_deferredseg.deferral.data.patches import Cases, Sample
    from napari_deferredseg.deferral.data.train_settings import DataConfig, FitConfig, JointLoss, RouterConfig
    from napari_deferredseg.deferral.routers.network import NetworkRouter
    from napari_deferredseg.deferral.training.batches import Answers

VALIDATION_LOSS = "validation_loss"

B = TypeVar("B")


class Objective(pl.LightningModule, Generic[B]):
    """A network, how it is fitted, and its loss on a batch."""

    def __init__(self, network: nn.Module, fit: FitConfig) -> None:
        super().__init__()
        self.network, self.fit_config = network, fit

    def loss(self, batch: B) -> Tensor:
        """Return the scalar loss of a batch."""
        raise NotImplementedError

    def data(self, cases: Cases, config: DataConfig, batches: int, seed: int) -> pl.LightningDataModule:
        """Return what it is fitted to, `batches` of them in an epoch."""
        raise NotImplementedError

    def size_of(self, batch: B) -> int:
        """Number of items in a batch."""
        raise NotImplementedError

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


class WithImage(Protocol):
    """A batch of patches."""

    @property
    def image(self) -> Tensor:
        """Images (B, c, *S)."""
        ...


P = TypeVar("P", bound=WithImage)


class PatchObjective(Objective[P]):
    """An objective that is fitted to patches; `sample` takes what its loss needs of a case."""

    def __init__(self, network: nn.Module, fit: FitConfig, sample: Sample[P]) -> None:
        super().__init__(network, fit)
        self.sample = sample

    def data(self, cases: Cases, config: DataConfig, batches: int, seed: int) -> pl.LightningDataModule:
        """Patches of the cases."""
        return PatchData(cases, self.sample, config, batch=self.fit_config.batch, batches=batches, seed=seed)

    def size_of(self, batch: P) -> int:
        """Number of patches."""
        return int(batch.image.shape[0])


class SegmentorObjective(PatchObjective[SegmentorBatch]):
    """Cross-entropy plus soft Dice where the reference is known."""

    def __init__(self, network: nn.Module, fit: FitConfig) -> None:
        super().__init__(network, fit, SegmentorBatch.of)

    def loss(self, batch: SegmentorBatch) -> Tensor:
        """Return the loss of class logits (B, C, *spatial)."""
        return segmentation_loss(self.network(batch.image).float(), batch.reference, batch.known)


class RouterObjective(PatchObjective[RouterBatch]):
    """The router's losses."""

    def __init__(self, router: NetworkRouter, config: RouterConfig) -> None:
        super().__init__(router, config.fit, RouterBatch.of)
        self.routing_loss = RoutingLoss(config)

    def loss(self, batch: RouterBatch) -> Tensor:
        """Return the weighted sum of the chosen routing loss, the other heads' losses and the optional terms."""
        logits = batch.scaled.float()
        routing = Routing.of(self.network(batch.image, logits))
        loss: Tensor = self.routing_loss(routing, *agents_of(logits, batch.answers), batch.spacing)
        return loss


class JointObjective(PatchObjective[JointBatch]):
    """One network with class logits and agent scores."""

    def __init__(self, network: nn.Module, fit: FitConfig, loss: JointLoss, classes: int) -> None:
        super().__init__(network, fit, JointBatch.of)
        self.name, self.classes = loss, classes

    def loss(self, batch: JointBatch) -> Tensor:
        """Return the joint loss of (B, C + K + 1, *spatial)."""
        channels = self.network(batch.image)
        logits, scores = channels[:, : self.classes], channels[:, self.classes :]
        right, valid = agents_of(logits, batch.answers)
        target = batch.answers.reference.long()
        if self.name == "script-as-written":
            # The script knows one foreground.
            foreground = logits[:, 1:2] - logits[:, :1]
            return joint_losses.script_as_written(foreground, scores, target.unsqueeze(1) > 0, right, valid)
        loss = joint_losses.dense_softmax if self.name == "dense-softmax" else joint_losses.joint_one_versus_all
        return loss(logits, scores[:, 1:], target, right, valid)


def segmentation_loss(logits: Tensor, reference: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice over known voxels; `reference` and `known` are (B, *spatial)."""
    mask = known.float()
    entropy = F.cross_entropy(logits, reference.long(), reduction="none")
    dice = MaskedDiceLoss(to_onehot_y=True, softmax=True, include_background=False)
    overlap: Tensor = dice(logits, reference.unsqueeze(1), mask.unsqueeze(1))
    return (entropy * mask).sum() / mask.sum().clamp(min=1) + overlap


def agents_of(logits: Tensor, answers: Answers) -> tuple[Tensor, Tensor]:
    """Where each agent is right and where that is known, (B, K + 1, *spatial); agent 0 is the AI."""
    own = (logits.argmax(dim=1) == answers.reference).unsqueeze(1)
    right = torch.cat([own, answers.right.bool()], dim=1)
    return right, torch.cat([answers.known.bool().unsqueeze(1), answers.valid.bool()], dim=1)
