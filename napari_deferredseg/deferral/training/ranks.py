"""Several processes that train one model together, as `torchrun` starts them; alone, there is nobody to wait for."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # one process may choose a policy for long while the others wait


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees them: `per_machine` of them are on this computer.

    `device` is this one's own.
    """

    fabric: Fabric
    per_machine: int
    device: torch.device

    @property
    def count(self) -> int:
        """Processes that train together."""
        return self.fabric.world_size

    @property
    def machines(self) -> int:
        """Computers that they are on."""
        return self.count // self.per_machine

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.fabric.is_global_zero

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.fabric.barrier()

    def first_then_others(self, work: Callable[[], T]) -> T:
        """Let the first process do some work, then the others, who find on disk what it left."""
        if self.count == 1:
            return work()
        with self.fabric.rank_zero_first():
            return work()

    def own_part(self, items: Sequence[T]) -> Sequence[T]:
        """Return those of some items that this process works on."""
        return items[self.fabric.global_rank :: self.count] if self.count > 1 else items


@contextmanager
def together(device: torch.device) -> Iterator[Ranks]:
    """Join the other processes for the length of a run, each on `device` or its own graphics card."""
    if not TorchElasticEnvironment.detect():
        yield Ranks(Fabric(accelerator="cpu", devices=1), 1, device)
        return
    on_cuda, joined = device.type == "cuda", distributed.is_initialized()
    each, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), TorchElasticEnvironment().world_size()
    strategy = DDPStrategy(timeout=PATIENCE, process_group_backend="cpu:gloo,cuda:nccl" if on_cuda else "gloo")
    fabric = Fabric(
        accelerator="cuda" if on_cuda else "cpu", strategy=strategy, devices=each, num_nodes=all_of_them // each
    )
    fabric.launch()
    try:
        yield Ranks(fabric, each, fabric.device if on_cuda else device)
    finally:
        if not joined:
            distributed.destroy_process_group()
