"""Review of a mask that some other program made: its uncertainty is what further masks or its probabilities say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.prediction import Prediction
from napari_deferredseg.core.volume import Array, LabelMap, LabelTable, Probabilities, labels_present, narrowed
from napari_deferredseg.masks.consensus import votes

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = "external:labels"
PROBABILITIES = "external:probabilities"


def from_labels(first: LabelMap, others: Sequence[LabelMap]) -> Prediction:
    """Defer where other label maps disagree with the first.

    Parameters
    ----------
    first : LabelMap
        The mask under review; its names win.
    others : sequence of LabelMap
        The votes, at least one, on the same grid.

    Returns
    -------
    Prediction
        `defer` is the share of the others that disagree; labels of 255 or less are uint8, whatever the files store.

    Raises
    ------
    InputError
        No votes, another size, or one name at two label values.
    """
    if not others:
        raise InputError(f"{first.source}: one mask alone shows no disagreement; give a second one, or probabilities")
    for other in others:
        _check_shape(other.source, other.array.shape, first)
    table = merged_table(first, others)
    sources: dict[str, str | float | int | bool] = {f"vote {i}": o.source for i, o in enumerate(others, start=1)}
    labels = narrowed(first.array)
    defer, alternative = votes(labels, [narrowed(o.array) for o in others])
    return Prediction(
        labels=labels,
        defer=defer,
        alternative=alternative,
        geometry=first.geometry,
        table=table,
        model_id=LABELS,
        settings={"mask": first.source, "votes": len(others), **sources},
        votes=len(others),
    )


def from_probabilities(first: LabelMap, probabilities: Probabilities) -> Prediction:
    """Defer where the probabilities are spread over several classes.

    Parameters
    ----------
    first : LabelMap
        The mask under review; its label values are the numbers of the probabilities' channels.
    probabilities : Probabilities
        (c, z, y, x) on the same grid, channel 0 background.

    Returns
    -------
    Prediction
        `defer` is the entropy divided by that of c equally probable classes; `alternative` the most probable class
        that is not the mask's own.

    Raises
    ------
    InputError
        Another size, fewer than two channels, a label without a channel, or values that are no probabilities.
    """
    p = probabilities.array
    _check_shape(probabilities.source, p.shape[1:], first)
    if len(p) < 2:
        raise InputError(f"{probabilities.source}: has {len(p)} channel; give one for each class, background first")
    present = labels_present(first.array)
    if present and present[-1] >= len(p):
        raise InputError(
            f"{first.source}: label {present[-1]} has no channel in {probabilities.source}, which has {len(p)} (0 to "
            f"{len(p) - 1}); number the labels as the channels"
        )
    labels = narrowed(first.array)
    defer = np.zeros(labels.shape, np.float32)
    alternative = labels.copy()
    for z, own in enumerate(labels):
        _check_values(p[:, z], probabilities.source)
        defer[z] = np.clip(entr(p[:, z]).sum(axis=0) / np.log(len(p)), 0, 1)
        where = defer[z] > 0
        alternative[z][where] = _runner_up(p[:, z], own)[where]
    return Prediction(
        labels=labels,
        defer=defer,
        alternative=alternative,
        geometry=first.geometry,
        table=first.table.completed(range(1, len(p))),
        model_id=PROBABILITIES,
        settings={"mask": first.source, "probabilities": probabilities.source, "classes": len(p)},
    )


def merged_table(first: LabelMap, others: Sequence[LabelMap]) -> LabelTable:
    """Names of all labels of some masks; those of the first win.

    Raises
    ------
    InputError
        One name has another value in two of them.
    """
    known = {x.value: x for x in first.table.labels}
    values = {x.name.casefold(): (x.value, first.source) for x in first.table.labels}
    for other in others:
        for x in other.table.labels:
            value, source = values.setdefault(x.name.casefold(), (x.value, other.source))
            if value != x.value:
                raise InputError(
                    f"{other.source}: {x.name!r} has label value {x.value}, in {source} it has {value}; "
                    "number the labels alike"
                )
            known.setdefault(x.value, x)
    table = LabelTable(labels=tuple(known[v] for v in sorted(known)))
    return table.completed({v for m in (first, *others) for v in labels_present(m.array)})


def _runner_up(plane: Array, own: Array) -> Array:
    """Most probable class of (c, y, x) other than `own` (y, x)."""
    rest = plane.copy()
    np.put_along_axis(rest, own[np.newaxis].astype(np.intp), -1, axis=0)
    return np.asarray(rest.argmax(axis=0))


def _check_shape(source: str, shape: tuple[int, ...], first: LabelMap) -> None:
    if shape != first.array.shape:
        raise InputError(
            f"{source}: its size (z, y, x) is {shape}, that of {first.source} is {first.array.shape}; "
            "resample it to the mask's grid"
        )


def _check_values(plane: Array, source: str) -> None:
    low, high = float(plane.min()), float(plane.max())
    if not (low >= 0 and high <= 1 + 1e-3):
        raise InputError(f"{source}: holds values from {low:g} to {high:g}; give probabilities from 0 to 1")
