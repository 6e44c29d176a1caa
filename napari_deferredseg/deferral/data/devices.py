"""What a model computes on."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
BF16_FROM = (8, 0)
"""Compute capability from which CUDA cards multiply bfloat16 in hardware."""


def present() -> tuple[str, ...]:
    """Names of the devices that this computer has, best first: cuda:0, cuda:1, mps, cpu."""
    import torch

    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return (*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def pick(name: str = AUTO) -> torch.device:
    """Device of a name: auto (the best there is), cuda (the first one), cuda:1, mps or cpu.

    Raises
    ------
    InputError
        There is no such device here.
    """
    import torch

    names = present()
    wanted = name.strip().lower()
    if wanted == AUTO:
        return torch.device(names[0])
    found = "cuda:0" if wanted == "cuda" else wanted
    if found not in names:
        raise InputError(f"there is no device {name!r} here: use {AUTO}, {', '.join(names)}")
    return torch.device(found)


def describe(device: torch.device) -> str:
    """One line on a device, as it stands on a model card."""
    import torch

    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    if device.type == "mps":
        return f"Apple graphics (MPS), {platform.machine()}"
    level = torch.backends.cpu.get_cpu_capability()
    return f"CPU {platform.machine()}, {level}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Half precision type that makes this device faster and keeps float32's range, or None."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= BF16_FROM else None
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        return torch.bfloat16 if can.get("amx_bf16") or can.get("avx512_bf16") else None
    return None
