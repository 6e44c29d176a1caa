"""Run a model on a volume: what it draws, where it should not be trusted, what each reader would add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.prediction import OverThreshold, Prediction
from napari_deferredseg.deferral.data.devices import pick
from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.data.images import ViewedScan
from napari_deferredseg.deferral.model.inference import maps_of
from napari_deferredseg.deferral.model.model import fingerprint, load_model
from napari_deferredseg.masks.smoothing import smooth

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Geometry, Shape
    from napari_deferredseg.core.progress import Progress, Warm
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array, Volume
    from napari_deferredseg.deferral.model.maps import ModelMaps
    from napari_deferredseg.deferral.model.model import DeferralModel
    from napari_deferredseg.deferral.model.spec import ModelSpec


def predicted(warm: Warm, progress: Progress, folder: Path, scan: Scan, device: str) -> Prediction:
    """Run a model folder on a volume; the model stays warm for the next one.

    Raises
    ------
    InputError
        The model or the device cannot be used, or the volume has another number of channels.
    """
    progress(0.0, "loading the model")
    chosen = pick(device)
    mark = fingerprint(folder)
    model = _warm_model(warm, folder, mark, chosen)
    spec, volume = model.spec, scan.volume
    logits = model.segmentor.segment(scan, chosen, lambda s, d: progress(0.05 + s * 0.45, d))
    maps = maps_of(model, ViewedScan(scan, spec.config.data), logits, chosen, lambda s, d: progress(0.5 + s * 0.4, d))
    progress(0.9, "weighing what the readers would add")
    return _prediction(maps, volume, spec, mark)


def _warm_model(warm: Warm, folder: Path, mark: str, device: torch.device) -> DeferralModel:
    """Model in the memory of its device; read again when its files have changed."""
    key = ("model", mark, str(device))
    if key not in warm:
        warm[key] = load_model(folder).to(device)
    found: DeferralModel = warm[key]
    return found


def _prediction(maps: ModelMaps, volume: Volume, spec: ModelSpec, mark: str) -> Prediction:
    shape = volume.geometry.shape
    values = np.array([0, *(x.value for x in spec.table.labels)])
    first, second = _two_best(maps.probability, shape)
    gain = spec.policy.gain(maps)
    defer = spec.policy.defer(maps, gain)
    kind = np.uint8 if values.max() <= 255 else np.uint16
    grid = model_geometry(volume.geometry, spec.config.data.spacing_mm)
    return Prediction(
        labels=values.astype(kind)[first],
        defer=resampled(defer, shape),
        alternative=values.astype(kind)[second],
        geometry=volume.geometry,
        table=spec.table,
        model_id=f"{spec.name}:{mark}",
        settings={
            "model": spec.name,
            "data": spec.data_digest,
            "seed": spec.seed,
            "fell_back": spec.policy.fell_back,
        },
        experts=spec.experts,
        gain=np.stack([resampled(g, shape).astype(np.float16) for g in gain]),
        over_thresholds=_over_thresholds(defer, spec, grid),
    )


def _over_thresholds(defer: NDArray[np.float32], spec: ModelSpec, geometry: Geometry) -> tuple[OverThreshold, ...]:
    """How much of a volume the thresholds of the policy defer, smoothed as it was for validation."""
    policy = spec.config.policy
    smoothed = smooth(defer, geometry.spacing_zyx, policy.smoothing_mm)
    return tuple(
        OverThreshold(b.budget, policy.unit, b.threshold, np.count_nonzero(smoothed >= b.threshold) / smoothed.size)
        for b in spec.policy.budgets
    )


def _two_best(probability: Array, shape: Shape) -> tuple[Array, Array]:
    """Most probable class of (C, z, y, x) and the next one, on the volume's own grid; one class in memory at a time."""
    first, second = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    best, next_best = resampled(probability[0], shape).copy(), np.full(shape, -1, np.float32)
    for number in range(1, len(probability)):
        p = resampled(probability[number], shape)
        wins, beats = p > best, p > next_best
        second = np.where(wins, first, np.where(beats, number, second)).astype(np.uint8)
        next_best = np.where(wins, best, np.maximum(p, next_best))
        first[wins] = number
        np.maximum(best, p, out=best)
    return first, second
