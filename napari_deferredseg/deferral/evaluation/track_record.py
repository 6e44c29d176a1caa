"""What validation says of the AI and of each reader, label by label: for the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import bootstrap

from napari_deferredseg.deferral.evaluation.judging import KeptMaps
from napari_deferredseg.deferral.model.card import Record
from napari_deferredseg.scoring.metrics import confusion, dice_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import Prepared, PreparedCase

RESAMPLES = 1000


def track_records(prepared: Prepared, cases: Sequence[PreparedCase], seed: int) -> list[Record]:
    """Records of the AI and of the readers on cases whose maps are kept: each label, then each subgroup."""
    names = [label.name for label in prepared.table.labels]
    found: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for of, dice in _dices(case, prepared.experts, len(names) + 1):
            for name, value in zip(names, dice.tolist(), strict=True):
                found.setdefault((of, name), []).append(value)
            for group, value in case.groups.items():
                found.setdefault((of, f"{group}: {value}"), []).append(float(np.nanmean([*dice, np.nan])))
    return [_record(of, where, np.array(values), seed) for (of, where), values in found.items()]


def _dices(case: PreparedCase, experts: Sequence[str], classes: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    known = case.arrays.known.load()
    yield "AI", _dice(case, np.asarray(KeptMaps.of(case).raw_probability.load()).argmax(axis=0), known, classes)
    for name, mask, valid in zip(experts, case.arrays.experts.load(), case.arrays.valid.load(), strict=True):
        if valid.any():
            yield name, _dice(case, mask, valid, classes)


def _dice(case: PreparedCase, mask: Array, where: NDArray[np.bool_], classes: int) -> NDArray[np.float64]:
    return dice_of(confusion(case.arrays.reference.load()[where], mask[where], classes))


def _record(of: str, where: str, values: NDArray[np.float64], seed: int) -> Record:
    values = values[~np.isnan(values)]
    low = high = float("nan")
    if len(values) > 1 and np.ptp(values) > 0:
        rng = np.random.default_rng(seed)
        interval = bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng)
        low, high = (float(x) for x in interval.confidence_interval)
    mean = float(values.mean()) if len(values) else float("nan")
    return Record(of, where, mean, low, high, len(values))
