"""What several label maps of one volume say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array


def votes(first: Array, others: Sequence[Array]) -> tuple[NDArray[np.float32], Array]:
    """Count how many label maps disagree with the first, and what they say instead.

    Parameters
    ----------
    first : (z, y, x) uint8 or uint16
        The mask under review.
    others : sequence of (z, y, x) uint8 or uint16
        The votes, at least one.

    Returns
    -------
    disagreement : (z, y, x) float32
        Share of the others that differ from the first, 0 to 1.
    alternative : (z, y, x), the smallest type that holds all maps
        Among the labels that differ from the first the one with most votes, the smallest value when several have; the
        first's own label where none differs.

    Raises
    ------
    ValueError
        No votes, or maps of different shapes.
    """
    if not others or any(o.shape != first.shape for o in others):
        raise ValueError(f"votes {[o.shape for o in others]} do not fit the mask {first.shape}")
    disagreement = np.zeros(first.shape, np.float32)
    alternative = first.astype(np.result_type(first, *others))
    for z, own in enumerate(first):
        differs = np.stack([o[z] != own for o in others])
        where = differs.any(axis=0)
        if where.any():
            disagreement[z] = differs.sum(axis=0, dtype=np.float32) / np.float32(len(others))
            alternative[z][where] = _most_voted(np.stack([o[z][where] for o in others]), differs[:, where])
    return disagreement, alternative


def _most_voted(values: Array, counted: NDArray[np.bool_]) -> Array:
    """Value (n,) with most counted votes among those of (m, n), the smallest of equals."""
    best = np.zeros(values.shape[1], values.dtype)
    most = np.zeros(values.shape[1], np.intp)
    for value, counts in zip(values, counted, strict=True):
        count = np.where(counts, (values == value).sum(axis=0), 0)
        better = (count > most) | ((count == most) & counts & (value < best))
        best[better] = value[better]
        most[better] = count[better]
    return best
