"""Jobs for `engine.py`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_deferredseg.core.progress import Progress, Warm


def load_torch(warm: Warm, progress: Progress) -> int:
    """Import what every model needs."""
    import torch

    warm["torch"] = torch
    return os.getpid()


def nothing(warm: Warm, progress: Progress) -> None:
    """Return at once."""


def convolve(warm: Warm, progress: Progress) -> None:
    """Compute in steps of about 0.1 s, telling each, until stopped."""
    torch = warm["torch"]
    image, kernel = torch.ones(1, 8, 32, 128, 128), torch.ones(8, 8, 3, 3, 3)
    while True:
        progress(0.5, "convolving")
        torch.nn.functional.conv3d(image, kernel)


def sleep(warm: Warm, progress: Progress) -> None:
    """Do not listen."""
    progress(0.0, "sleeping")
    time.sleep(60)


def keep(warm: Warm, progress: Progress, array: np.ndarray) -> None:
    """Take an array and keep it."""
    warm["array"] = array


def give(warm: Warm, progress: Progress) -> np.ndarray:
    """Give the array that was kept."""
    kept: np.ndarray = warm["array"]
    return kept
