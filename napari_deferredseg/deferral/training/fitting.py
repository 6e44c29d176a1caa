"""Fit one stage with Lightning; what a killed run had reached is taken up again."""

from __future__ import annotations

import logging
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file, save_file

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.devices import autocast_dtype
from napari_deferredseg.deferral.training.objectives import VALIDATION_LOSS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.deferral.data.patches import Cases
    from napari_deferredseg.deferral.data.train_settings import FitConfig, TrainConfig
    from napari_deferredseg.deferral.training.objectives import Objective
    from napari_deferredseg.deferral.training.ranks import Ranks


@dataclass(frozen=True)
class Bench:
    """Where and how stages are fitted.

    Attributes
    ----------
    folder : Path
        Holds a finished stage as NAME.safetensors, an unfinished one as a checkpoint.
    """

    folder: Path
    config: TrainConfig
    seed: int
    ranks: Ranks

    def fit(self, name: str, objective: Objective[Any], cases: Cases, progress: Progress) -> None:
        """Fit an objective's network in place and leave the best weights by validation loss in it.

        A stage that is finished in the folder is loaded; one that was cut off goes on from its last validation.
        """
        done = self.folder / f"{name}.safetensors"
        if not done.exists():
            self._fit(name, objective, cases, progress)
            if self.ranks.is_first:
                kept = {k: v.detach().cpu().contiguous() for k, v in objective.network.state_dict().items()}
                part = done.with_suffix(".part")
                save_file(kept, part)
                part.replace(done)
            self.ranks.wait()
        objective.network.load_state_dict(load_file(done))
        objective.network.to(self.ranks.device).eval()

    def _fit(self, name: str, objective: Objective[Any], cases: Cases, progress: Progress) -> None:
        fit = objective.fit_config
        every = min(fit.validate_every, fit.steps)
        data = objective.data(cases, self.config.data, every, self.seed)
        best = ModelCheckpoint(
            self.folder / name, filename="best", monitor=VALIDATION_LOSS, save_last=True, enable_version_counter=False
        )
        with _quiet():
            trainer = pl.Trainer(
                accelerator=_accelerator(self.ranks.device),
                devices=_devices(self.ranks),
                num_nodes=self.ranks.machines,
                strategy="ddp" if self.ranks.count > 1 else "auto",
                max_steps=fit.steps,
                precision=_precision(self.config, self.ranks.device),
                logger=TensorBoardLogger(self.folder / "log", name=name, version=0),
                callbacks=[
                    best,
                    EarlyStopping(VALIDATION_LOSS, patience=fit.patience, check_on_train_epoch_end=False),
                    _Tell(fit, name, progress),
                ],
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                log_every_n_steps=min(50, every),
                reload_dataloaders_every_n_epochs=1,
                gradient_clip_val=10.0,
            )
            last = self.folder / name / "last.ckpt"
            start = last if last.exists() else None
            with _interruptible():
                trainer.fit(objective, datamodule=data, ckpt_path=start, weights_only=True)
        if best.best_model_score is None or not torch.isfinite(best.best_model_score):
            raise InputError(f"{name}: the loss is not finite; delete {self.folder} and give a lower learning_rate")
        content: dict[str, Any] = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        objective.load_state_dict(content["state_dict"])


class _Tell(Callback):
    """Reports every step; what progress raises ends the fit."""

    def __init__(self, fit: FitConfig, name: str, progress: Progress) -> None:
        self.fit, self.name, self.progress = fit, name, progress

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Report the step."""
        share = trainer.global_step / self.fit.steps
        self.progress(min(share, 1.0), f"{self.name}: step {trainer.global_step} of {self.fit.steps}")


def _accelerator(device: torch.device) -> str:
    return {"cuda": "gpu", "mps": "mps"}.get(device.type, "cpu")


def _devices(ranks: Ranks) -> Any:
    if ranks.count > 1:
        return ranks.per_machine
    return [ranks.device.index or 0] if ranks.device.type == "cuda" else 1


def _precision(config: TrainConfig, device: torch.device) -> Any:
    if config.precision != "auto":
        return config.precision
    return "bf16-mixed" if autocast_dtype(device) is torch.bfloat16 else "32-true"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl+C be what it is: Lightning exits on it, and ignores it ever after."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's remarks on loaders, loggers and tips away from the user: none is about their data."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            logger.setLevel(level)
