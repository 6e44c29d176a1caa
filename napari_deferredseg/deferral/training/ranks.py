"""Several processes that train one model together, as `torchrun` starts them; alone, nothing here does anything."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # one process may choose a policy for long while the others wait


def count() -> int:
    """Processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return count() == 1 or int(os.environ["RANK"]) == 0


def per_machine() -> int:
    """Processes on this computer."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if count() > 1 else 1


def own_device(device: torch.device) -> torch.device:
    """Graphics card of this process where several train together, else the given device."""
    if count() == 1 or device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Join the other processes for the length of a run."""
    if count() == 1 or distributed.is_initialized():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Go on when all processes have come here."""
    if count() > 1:
        distributed.barrier()


def first_then_others(work: Callable[[], T]) -> T:
    """Let the first process do some work, then the others, who find on disk what it left."""
    if is_first():
        done = work()
        wait()
        return done
    wait()
    return work()


def own_part(items: Sequence[T]) -> Sequence[T]:
    """Return those of some items that this process works on."""
    return items[int(os.environ["RANK"]) :: count()] if count() > 1 else items
