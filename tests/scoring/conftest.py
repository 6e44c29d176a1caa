from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deferredseg.masks.smoothing import smooth
from napari_deferredseg.scoring.cases import JudgedCase

SIZE = 40
MakeCase = Callable[..., JudgedCase]


def _field(rng: np.random.Generator) -> np.ndarray:
    values = smooth(rng.random((1, SIZE, SIZE), np.float32), (1, 1, 1), 2.5)
    return (values - values.mean()) / values.std()


def _make(
    number: int, *, readers: int = 3, size: int = SIZE, patient: str | None = None, split: str = "case"
) -> JudgedCase:
    """An organ with a blurred border; each reader is good in a sector and wrong in patches elsewhere.

    The first reader's sector is the largest, the last one's the smallest.
    """
    rng = np.random.default_rng([7, number, readers])
    _z, y, x = np.mgrid[:1, :SIZE, :SIZE]
    cy, cx = rng.uniform(SIZE * 0.4, SIZE * 0.6, 2)
    depth = SIZE * rng.uniform(0.2, 0.3) - np.hypot(y - cy, x - cx)
    truth = (depth + 2 * _field(rng) > 0).astype(np.uint8)
    seen = 1 / (1 + np.exp(-(depth + 0.5 * _field(rng)) / 2))
    turn = np.clip(np.arctan2(y - cy, x - cx) / (2 * np.pi) + 0.5, 0, 0.999)
    sector = np.floor(turn**1.6 * readers).astype(int)
    accuracy = np.stack([np.where(sector == j, 0.98, 0.8) for j in range(readers)]).astype(np.float32)
    wrong = np.stack([_field(rng) for _ in range(readers)]) < np.where(accuracy > 0.9, -2.05, -0.84)
    probability = np.stack([1 - seen, seen]).astype(np.float32)
    doubt = 0.05 * np.stack([_field(rng) for _ in range(readers)])
    gain = (accuracy + doubt - np.maximum(seen, 1 - seen)).astype(np.float32)
    return JudgedCase(
        key=f"{split}-{number}",
        patient=patient or f"{split}-patient-{number}",
        truth=truth,
        labels=(seen > 0.5).astype(np.uint8),
        probability=probability,
        raw_probability=None,
        experts=(truth ^ wrong).astype(np.uint8),
        valid=np.ones((readers, 1, SIZE, SIZE), bool),
        defer=gain.max(axis=0),
        gain=gain,
        right=accuracy,
        groups={"site": "north" if number % 2 else "south"},
    )


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    """A case from a number; the same number gives the same case."""
    return _make
