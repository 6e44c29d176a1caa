"""What several label maps of one volume say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deferredseg.core.volume import labels_present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array


Method = Literal["majority", "staple"]

# Probabilities this near to each other are a tie: rounding must not decide.
TIE = 1e-9
# What was never seen is not impossible: two readers who are each "always right" may still differ.
NEVER = 1e-12


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
        if len(others) == 1:
            disagreement[z] = others[0][z] != own
            alternative[z] = others[0][z]
            continue
        differs = np.stack([o[z] != own for o in others])
        where = differs.any(axis=0)
        if where.any():
            disagreement[z] = differs.sum(axis=0, dtype=np.float32) / np.float32(len(others))
            alternative[z][where] = _most_voted(np.stack([o[z][where] for o in others]), differs[:, where])
    return disagreement, alternative


def majority(masks: Array, valid: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Give each voxel the label that most readers drew.

    Parameters
    ----------
    masks : (R, z, y, x) uint8 or uint16
        Labels of each reader.
    valid : (R, z, y, x) bool
        Voxels each reader answers for; the others contribute nothing.

    Returns
    -------
    labels : (z, y, x), as masks
        Among labels with equally many votes the smallest value; 0 where nobody answers.
    decided : (z, y, x) bool
        Whether one label has more votes than any other.

    Raises
    ------
    ValueError
        No masks, or other shapes.
    """
    _check(masks, valid)
    labels = np.zeros(masks.shape[1:], masks.dtype)
    decided = np.zeros(masks.shape[1:], np.bool_)
    for z in range(masks.shape[1]):
        most = np.zeros(masks.shape[2:], np.intp)
        for value in np.unique(masks[:, z]):
            count = ((masks[:, z] == value) & valid[:, z]).sum(axis=0)
            more = count > most
            labels[z][more] = value
            decided[z] = more | (decided[z] & (count < most))
            most = np.maximum(most, count)
    return labels, decided


def staple(
    masks: Array, valid: NDArray[np.bool_], iterations: int = 100, tolerance: float = 1e-5
) -> tuple[Array, NDArray[np.bool_]]:
    """Give each voxel the label that is most probable when each reader is weighed by their estimated errors (STAPLE).

    Expectation maximisation over the readers' confusion matrices, started from the majority, with the share of each
    label among all votes as prior, as in ITK's multi-label filter; unlike there a reader contributes only voxels that
    they answer for, and where all who answer agree it is that. The estimate depends on how much background there is.

    Parameters
    ----------
    masks, valid, returns
        As in `majority`; `decided` says that one label is more probable than any other.
    iterations : int
        At most as many.
    tolerance : float
        Stop when no entry of a confusion matrix changes by more.

    Raises
    ------
    ValueError
        No masks, or other shapes.

    References
    ----------
    Warfield et al., IEEE TMI 23 (2004) 903; Rohlfing et al., IPMI 2003, LNCS 2732, 210.
    """
    _check(masks, valid)
    voted = (labels_present(np.where(known, mask, 0)) for mask, known in zip(masks, valid, strict=True))
    values = np.array(sorted({0}.union(*voted)))
    patterns, place, counts = _patterns(masks, valid, values)
    share = _staple_shares(patterns, counts, len(values), iterations, tolerance)
    best = share >= share.max(axis=0) * (1 - TIE)
    sure = best.sum(axis=0) == 1
    answered = (patterns < len(values)).any(axis=0)
    labels = np.where(answered, values[best.argmax(axis=0)], 0).astype(masks.dtype)
    shape = masks.shape[1:]
    return labels[place].reshape(shape), (sure & answered)[place].reshape(shape)


def leave_one_out(masks: Array, valid: NDArray[np.bool_], method: Method = "majority") -> Array:
    """Find for each reader what the others agree on, so that nobody is judged by their own vote.

    Parameters
    ----------
    masks, valid
        As in `majority`, of at least two readers.
    method : {"majority", "staple"}
        How the others' labels are put together.

    Returns
    -------
    (R, z, y, x), as masks
        Ties as in the method; 0 where none of the others answers.

    Raises
    ------
    ValueError
        Fewer than two readers, or other shapes.
    """
    _check(masks, valid)
    if len(masks) < 2:
        raise ValueError("one reader leaves nobody to compare with")
    combine = {"majority": majority, "staple": staple}[method]
    others = [np.arange(len(masks)) != reader for reader in range(len(masks))]
    return np.stack([combine(masks[rest], valid[rest])[0] for rest in others])


def _check(masks: Array, valid: NDArray[np.bool_]) -> None:
    if masks.ndim != 4 or not len(masks) or masks.shape != valid.shape:
        raise ValueError(f"masks {masks.shape} and valid {valid.shape} are not both (R, z, y, x)")


def _patterns(
    masks: Array, valid: NDArray[np.bool_], values: Array
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Different votes of all readers (R, u), which of them each voxel has (n,), and how many voxels have each (u,).

    A vote is the place of a label in `values`, and their number where a reader does not answer.
    """
    code = np.zeros(int(np.iinfo(masks.dtype).max) + 1, np.int64)
    code[values] = np.arange(len(values))
    place = np.zeros(masks[0].size, np.int64)
    for mask, known in zip(masks, valid, strict=True):
        vote = np.where(known, code[mask], len(values)).ravel()
        _, place = np.unique(place * (len(values) + 1) + vote, return_inverse=True)
    _, first, counts = np.unique(place, return_index=True, return_counts=True)
    votes = [np.where(v.flat[first], code[m.flat[first]], len(values)) for m, v in zip(masks, valid, strict=True)]
    return np.stack(votes), place, counts


def _staple_shares(
    patterns: NDArray[np.intp], counts: NDArray[np.intp], labels: int, iterations: int, tolerance: float
) -> NDArray[np.float64]:
    """Probability (labels, u) of each true label at each pattern of votes (R, u)."""
    voted = np.stack([patterns == label for label in range(labels)])  # (labels, R, u)
    prior = (voted.sum(axis=1) * counts).sum(axis=1).astype(np.float64)
    if not prior.any():
        return np.zeros((labels, len(counts)))
    prior /= prior.sum()
    tally = voted.sum(axis=1)
    # Without this, readers who share no voxel would be taken for each other's opposites.
    agreed = tally == np.maximum(tally.sum(axis=0), 1)
    share = np.where((tally == tally.max(axis=0)) & (tally > 0), 1.0, 0.0)
    share /= np.maximum(share.sum(axis=0), 1.0)
    confusion = _confusion(voted, share, counts)
    for _ in range(iterations):
        share = np.where(agreed.any(axis=0), agreed, _expected(voted, confusion, prior))
        before, confusion = confusion, _confusion(voted, share, counts)
        if np.abs(confusion - before).max() < tolerance:
            break
    return share


def _confusion(voted: NDArray[np.bool_], share: NDArray[np.float64], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """P(vote | truth), (R, votes, truths), from the voxels that each reader answers for."""
    joint: NDArray[np.float64] = np.einsum("vru,tu->rvt", voted, share * counts)
    total = joint.sum(axis=1, keepdims=True)
    return joint / np.where(total > 0, total, 1.0) + np.where(total > 0, 0.0, 1 / len(voted))


def _expected(
    voted: NDArray[np.bool_], confusion: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        share = np.repeat(np.log(prior)[:, np.newaxis], voted.shape[2], axis=1)
    for reader, table in enumerate(np.log(np.maximum(confusion, NEVER))):
        share += table.T @ voted[:, reader]  # nothing where the reader is missing
    share = np.exp(share - share.max(axis=0))
    result: NDArray[np.float64] = share / share.sum(axis=0)
    return result


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
