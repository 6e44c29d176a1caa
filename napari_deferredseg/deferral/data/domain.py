"""What images a model learned from, and whether another one is like them. No torch is needed for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array, Volume
    from napari_deferredseg.deferral.data.cases import Prepared
    from napari_deferredseg.deferral.data.segmentor_settings import View

FILE = "domain.json"
FORMAT: Literal[1] = 1

SAMPLE = 200_000
"""Voxels of a channel that are looked at."""
LEVELS = np.linspace(0, 1, 257)
BINS = 16
ENOUGH = 20
"""Cases from which on their own differences say how far a volume's grey values may be from theirs."""
FAR_SPACING, FAR_EXTENT, FAR_SPREAD = 2.0, 4.0, 3.5
NEAR_SPACING, NEAR_EXTENT, NEAR_SPREAD = 1.25, 1.5, 2.0
MOST, SOME = 0.5, 0.05
"""Shares of the voxels, beyond the grey values of every case, that refuse a volume and that are told."""
LEAST_SPREAD = 0.04
KEPT = 256
ROUNDING = 1 + 1e-6

Scale = Literal["stored", "z-score"]
Range = tuple[float, float]
Ranges = tuple[Range, Range, Range]


class GreyValues(BaseModel):
    """Grey values of one channel over the training cases.

    Attributes
    ----------
    low, high : float
        The smallest 0.5 percentile and the largest 99.5 percentile of any case.
    edges : tuple of float
        What parts the grey values into bins that hold equally much, all cases together.
    shares : tuple of tuples of float
        For each of at most 256 cases, the share of its voxels in each bin.
    spread : float
        Largest distance of a case from the one that is nearest to it: half the sum of the absolute differences, 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    low: float
    high: float
    edges: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...] = Field(min_length=1)
    spread: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if {len(x) for x in self.shares} != {len(self.edges) + 1} or list(self.edges) != sorted(self.edges):
            raise ValueError("edges must rise and part the shares")
        return self


class Domain(BaseModel):
    """Images that a model learned from. Kept as `domain.json` in its folder; later parts may join, unknown ones pass.

    Attributes
    ----------
    cases : int
        How many there were.
    labels : tuple of str
        Names of the model's labels, by which the record is known to be its own.
    modalities : tuple of str
        DICOM codes such as CT; empty where no file said its own.
    spacing_mm, extent_mm : three ranges
        Of the voxels and of the field of view along the arrays' z, y, x axes, mm.
    scale : {"stored", "z-score"}
        Whether grey values are those of the files or, for a network that sees them so, in standard deviations.
    channels : tuple of GreyValues
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = FORMAT
    cases: int = Field(ge=1)
    labels: tuple[str, ...]
    modalities: tuple[str, ...] = ()
    spacing_mm: Ranges
    extent_mm: Ranges
    scale: Scale = "stored"
    channels: tuple[GreyValues, ...] = Field(min_length=1)

    def described(self) -> tuple[str, ...]:
        """Lines for a person."""
        grey = "; ".join(f"{c.low:.4g} to {c.high:.4g}" for c in self.channels)
        unit = " standard deviations about the mean" if self.scale == "z-score" else ""
        return (
            f"cases: {self.cases}",
            f"modality: {', '.join(self.modalities) or 'not said by the files'}",
            f"voxels (z, y, x): {_sizes(self.spacing_mm)} mm",
            f"field of view (z, y, x): {_sizes(self.extent_mm)} mm",
            f"grey values: {grey}{unit}",
        )


@dataclass(frozen=True)
class Traits:
    """What is compared of one image; `quantiles` (channels, 257) of its grey values at equal steps from 0 to 1."""

    modality: str
    spacing_mm: tuple[float, ...]
    extent_mm: tuple[float, ...]
    quantiles: NDArray[np.float64]


@dataclass(frozen=True)
class Departure:
    """Something in which an image is unlike the training cases, a few words; `far`: too far to be run unasked."""

    what: str
    far: bool


def traits_of(volume: Volume, scale: Scale, modality: str = "") -> Traits:
    """Look at every n-th voxel of an image. `modality` counts where its file says none."""
    geometry = volume.geometry
    channels = volume.array if volume.array.ndim == 4 else volume.array[np.newaxis]
    return Traits(
        modality=volume.modality or modality,
        spacing_mm=geometry.spacing_zyx,
        extent_mm=tuple(n * s for n, s in zip(geometry.shape, geometry.spacing_zyx, strict=True)),
        quantiles=np.stack([np.quantile(_sample(channel, scale), LEVELS) for channel in channels]),
    )


def domain_of(traits: Sequence[Traits], labels: Sequence[str], scale: Scale) -> Domain:
    """Record of the images with these traits, all of the same number of channels."""

    def ranges(name: str) -> Ranges:
        z, y, x = np.array([getattr(t, name) for t in traits]).T
        return (float(z.min()), float(z.max())), (float(y.min()), float(y.max())), (float(x.min()), float(x.max()))

    quantiles = np.stack([t.quantiles for t in traits], axis=1)
    return Domain(
        cases=len(traits),
        labels=tuple(labels),
        modalities=tuple(sorted({t.modality for t in traits if t.modality})),
        spacing_mm=ranges("spacing_mm"),
        extent_mm=ranges("extent_mm"),
        scale=scale,
        channels=tuple(_grey_values(channel) for channel in quantiles),
    )


def training_domain(prepared: Prepared, view: View) -> Domain:
    """Record of the training cases of a run. InputError when an image is gone."""
    scale = scale_of(view)
    cases = prepared.split("training")
    traits = [traits_of(case.scan().volume, scale, case.groups.get("modality", "")) for case in cases]
    return domain_of(traits, [label.name for label in prepared.table.labels], scale)


def departures(domain: Domain, traits: Traits) -> tuple[Departure, ...]:
    """In what an image is unlike the training cases; empty where it is like them.

    Far is: another modality, where both are known; voxels by more than twice larger or smaller; a field of view by
    more than four times larger or smaller; more than half of the voxels beyond the grey values of every case; grey
    values whose distribution is 3.5 times as far from that of the nearest case as any case is from its nearest, where
    there were 20 cases or more. What is less far is told.
    """
    found = []
    if traits.modality and domain.modalities and traits.modality not in domain.modalities:
        found.append(Departure(f"its modality is {traits.modality}, theirs {', '.join(domain.modalities)}", far=True))
    for what, own, theirs, near, far in (
        ("voxels", traits.spacing_mm, domain.spacing_mm, NEAR_SPACING, FAR_SPACING),
        ("field of view", traits.extent_mm, domain.extent_mm, NEAR_EXTENT, FAR_EXTENT),
    ):
        factor = max(max(x / high, low / x) for x, (low, high) in zip(own, theirs, strict=True))
        if factor > near * ROUNDING:
            sizes = " x ".join(f"{x:.3g}" for x in own)
            text = f"its {what} (z, y, x) {sizes} mm, theirs {_sizes(theirs)} mm"
            found.append(Departure(text, far=factor > far * ROUNDING))
    for number, (quantiles, known) in enumerate(zip(traits.quantiles, domain.channels, strict=True), start=1):
        channel = f" of channel {number}" if len(domain.channels) > 1 else ""
        found += _unlike(quantiles, known, channel, domain.cases)
    return tuple(found)


def read_domain(folder: Path, labels: Sequence[str], channels: int) -> Domain | None:
    """Read the record in the folder of a model with these labels and image channels; None where there is none.

    Raises
    ------
    InputError
        It is damaged, of a newer version, or of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = Domain.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); copy the model again") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InputError(f"{path}: {where}: {first['msg']}; copy the model again, or measure its cases anew") from None
    if (found.labels, len(found.channels)) != (tuple(labels), channels):
        raise InputError(
            f"{path}: is of a model of {', '.join(found.labels)} with {len(found.channels)} channels, not of this one; "
            "copy the model again"
        )
    return found


def write_domain(folder: Path, domain: Domain) -> None:
    """Write the record into a model's folder, whole or not at all. OSError when it cannot be written."""
    part = folder / f".{FILE}.{os.getpid()}.part"  # processes that train together all write it
    part.write_text(domain.model_dump_json(indent=1), encoding="utf-8")
    part.replace(folder / FILE)


def _sample(channel: Array, scale: Scale) -> NDArray[np.float64]:
    step = max(1, int(np.ceil((channel.size / SAMPLE) ** (1 / 3))))
    some = channel[::step, ::step, ::step].astype(np.float64).ravel()
    some = some[np.isfinite(some)]
    if some.size == 0:
        return np.zeros(1)
    return (some - some.mean()) / max(float(some.std()), 1e-6) if scale == "z-score" else some


def _grey_values(quantiles: NDArray[np.float64]) -> GreyValues:
    """Grey values of a channel, of the quantiles (cases, 257)."""
    edges = np.unique(np.quantile(quantiles, np.linspace(0, 1, BINS + 1)[1:-1]))
    kept = np.unique(np.linspace(0, len(quantiles) - 1, KEPT).round().astype(int))
    shares = np.stack([_shares(quantiles[i], edges) for i in kept])
    apart = [_distance(np.delete(shares, i, axis=0), own) for i, own in enumerate(shares)] if len(shares) > 1 else [0.0]
    return GreyValues(
        low=float(np.quantile(quantiles, 0.005, axis=1).min()),
        high=float(np.quantile(quantiles, 0.995, axis=1).max()),
        edges=tuple(map(float, edges)),
        shares=tuple(tuple(round(float(x), 5) for x in own) for own in shares),
        spread=round(min(1.0, max(apart)), 5),
    )


def scale_of(view: View) -> Scale:
    """How the networks of a model see grey values."""
    return "stored" if view.intensity == "window" else "z-score"


def _unlike(own: NDArray[np.float64], theirs: GreyValues, channel: str, cases: int) -> list[Departure]:
    beyond = float(np.mean((own < theirs.low) | (own > theirs.high)))
    if beyond > SOME:
        values = f"{theirs.low:.4g} to {theirs.high:.4g}"
        text = f"{beyond:.0%} of its voxels{channel} lie beyond their grey values ({values})"
        if beyond > MOST:
            return [Departure(text, far=True)]
        found = [Departure(text, far=False)]
    else:
        found = []
    distance = _distance(np.array(theirs.shares), _shares(own, np.array(theirs.edges)))
    spread = max(theirs.spread, LEAST_SPREAD)
    if distance > (NEAR_SPREAD * spread if cases >= ENOUGH else MOST):
        apart = f"distance from the nearest {distance:.2f}, among them up to {theirs.spread:.2f}"
        text = f"its grey values{channel} are distributed otherwise ({apart})"
        found.append(Departure(text, far=cases >= ENOUGH and distance > FAR_SPREAD * spread))
    return found


def _shares(quantiles: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    bins = np.bincount(np.searchsorted(edges, quantiles, side="right"), minlength=len(edges) + 1)
    return np.asarray(bins / len(quantiles), np.float64)


def _distance(cases: NDArray[np.float64], own: NDArray[np.float64]) -> float:
    """Distance of shares (bins,) from the nearest of those of some cases (cases, bins), 0 to 1."""
    return float(np.abs(cases - own).sum(axis=1).min() / 2)


def _sizes(ranges: Ranges) -> str:
    return " x ".join(f"{a:.3g}" if round(a, 2) == round(b, 2) else f"{a:.3g} to {b:.3g}" for a, b in ranges)
