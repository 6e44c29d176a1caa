"""Prices that spread the deferred voxels evenly over the readers at the least loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVEN = 1.1
SWEEPS = 200
HALVINGS = 20
FAR = 4.0  # gains lie in -1 to 1: a larger difference of prices changes nothing
NEAR = 1.005
PATIENCE = 15


def shares(gain: NDArray[np.float32], prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share (K,) of the voxels that goes to each reader when the largest gain - price wins.

    Parameters
    ----------
    gain : (K, n) float32
        -inf where a reader does not answer.
    prices : (K,) float64

    Returns
    -------
    (K,) float64
        Sums to 1; zeros without voxels.
    """
    winner = (gain - prices[:, None]).argmax(axis=0)
    return np.asarray(np.bincount(winner, minlength=len(gain)) / max(gain.shape[1], 1))


def even_prices(
    gain: NDArray[np.float32], *, ratio: float = EVEN, targets: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Find prices under which the readers' shares are as even as asked.

    They are the duals of the assignment: sum_i max_j(gain_ij - p_j) + n sum_j target_j p_j is brought to its minimum
    one price at a time, each set so that its reader gets exactly the target. The prices are then shrunk towards none
    for as long as the shares stay within `ratio`.

    Parameters
    ----------
    gain : (K, n) float32
        Advantage of each reader over the AI at each deferred voxel; -inf where a reader does not answer.
    ratio : float
        Largest share over target, divided by the smallest one.
    targets : (K,) float64, optional
        Wanted shares, positive, summing to 1; equal ones by default.

    Returns
    -------
    (K,) float64
        The smallest is 0. Where absent readers or equal gains leave no way to reach the ratio, the nearest found.

    Raises
    ------
    ValueError
        `ratio` is below 1, or the targets are not K positive shares.
    """
    readers, voxels = gain.shape
    aim = np.full(readers, 1 / max(readers, 1)) if targets is None else np.asarray(targets, np.float64)
    if ratio < 1 or aim.shape != (readers,) or (readers and (aim.min() <= 0 or not np.isclose(aim.sum(), 1))):
        raise ValueError(f"ratio {ratio} must be 1 or more, targets {aim} positive and sum to 1")
    if readers < 2 or voxels == 0:
        return np.zeros(readers)
    if _unevenness(gain, np.zeros(readers), aim) <= ratio:
        return np.zeros(readers)
    best = _balanced(gain, aim)
    if _unevenness(gain, best, aim) > ratio:
        return best
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _unevenness(gain, middle * best, aim) <= ratio:
            high = middle
        else:
            low = middle
    return high * best


def _balanced(gain: NDArray[np.float32], aim: NDArray[np.float64]) -> NDArray[np.float64]:
    prices = np.zeros(len(gain))
    best, least, since = prices.copy(), _unevenness(gain, prices, aim), 0
    for _ in range(SWEEPS):
        since += 1
        if least <= NEAR or since > PATIENCE:
            break
        for j in range(len(gain)):
            others = np.delete(gain - prices[:, None], j, axis=0).max(axis=0)
            prices[j] = _price(gain[j], others, aim[j], prices.mean())
        prices -= prices.min()
        found = _unevenness(gain, prices, aim)
        if found < least:
            best, least, since = prices.copy(), found, 0
    return best


def _price(own: NDArray[np.float32], others: NDArray[np.float64], share: float, middle: float) -> float:
    """Price at which a reader wins this share of the voxels; within reach of `middle` when none does."""
    with np.errstate(invalid="ignore"):
        margin = np.nan_to_num(own - others, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    wanted = round(share * len(margin))
    at = len(margin) - min(max(wanted, 1), len(margin) - 1)
    low, high = np.partition(margin, (at - 1, at))[[at - 1, at]]
    cut = (low + high) / 2 if np.isfinite(low) and np.isfinite(high) else (high if np.isfinite(high) else low)
    return float(np.clip(cut, middle - FAR, middle + FAR))


def _unevenness(gain: NDArray[np.float32], prices: NDArray[np.float64], aim: NDArray[np.float64]) -> float:
    load = shares(gain, prices) / aim
    return float(load.max() / load.min()) if load.min() > 0 else float("inf")
