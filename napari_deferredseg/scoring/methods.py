"""The ways to decide which voxels readers get, and which reader gets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.masks.smoothing import smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.scoring.cases import JudgedCase

NEVER = np.float32(-np.inf)
STAYS = -1
HAIR = np.float32(1e-3)
PIECE_MM = 5.0  # what one reader gets of work that all would do alike


@dataclass(frozen=True)
class Method:
    """A score map to be cut (where) and a rule that picks a reader (who). `says` explains both in one line."""

    name: str
    where: str
    who: str
    says: str


AI_ALONE = Method("ai-alone", "none", "none", "Nothing is deferred.")
BEST = Method("entropy+best", "entropy", "best", "Entropy; the reader who did best so on the validation cases.")
ORACLE_READER = Method(
    "entropy+oracle-reader", "entropy", "right", "Entropy; a reader who is right where there is one. A bound."
)
METHODS: tuple[Method, ...] = (
    AI_ALONE,
    Method("random+random", "random", "random", "Random voxels; one reader a case, drawn at random."),
    Method("random+best", "random", "best", "Random voxels; the reader who did best so on the validation cases."),
    Method("entropy+random", "entropy", "random", "Entropy; one reader a case, drawn at random."),
    Method("entropy+equal-share", "entropy", "dealt", "Entropy; its voxels dealt out at random in equal shares."),
    BEST,
    Method("router", "router", "gain", "The learned where; the reader of the largest learned gain."),
    Method("entropy+router", "entropy", "gain", "Entropy; the reader of the largest learned gain."),
    Method("router+prices", "router", "priced", "The learned where; the largest gain less the reader's price."),
    Method("entropy+router+prices", "entropy", "priced", "Entropy; the largest gain less the reader's price."),
    Method("router+batch", "router", "batch", "The learned where; prices that fit the gains of the judged cases."),
    ORACLE_READER,
    Method("oracle", "oracle", "right", "Voxels where the AI is wrong and a reader right, to that reader. A bound."),
)


@dataclass(frozen=True)
class Deferral:
    """Which voxels of a case leave the AI, and who gets them.

    Attributes
    ----------
    index : (n,) intp
        Flat indices of the deferred voxels, ascending.
    reader : (n,) intp
        Number of the reader, from 0, who answers at each of them.
    """

    index: NDArray[np.intp]
    reader: NDArray[np.intp]

    def who_map(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Reader of each voxel (z, y, x) of a case of this shape, -1 where the AI's label stays."""
        result = np.full(int(np.prod(shape)), STAYS, np.int16)
        result[self.index] = self.reader
        return result.reshape(shape)


@dataclass(frozen=True)
class ReaderTerms:
    """What the validation cases settled for a score map and a budget.

    Attributes
    ----------
    order : tuple of int
        Readers from the best single one to the worst.
    prices : (K,) float64
        What is subtracted from the gains.
    batch_prices : (K,) float64
        The same, from the gains of the cases that are judged: as when a batch of cases is routed together. Their truth
        is not looked at.
    """

    order: tuple[int, ...]
    prices: NDArray[np.float64]
    batch_prices: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class ScoreMaps:
    """Score maps of a case, all smoothed alike, and the smoothed gains. Each is computed when first asked for.

    Parameters
    ----------
    sigma_mm : float
        Standard deviation of the smoothing, mm.
    seed : int
        With the case's key it seeds whatever is random.
    """

    def __init__(self, case: JudgedCase, sigma_mm: float, seed: int) -> None:
        self.case = case
        self._sigma_mm = sigma_mm
        self._seed = seed
        self._where: dict[str, NDArray[np.float32]] = {}
        self.valid = case.valid.reshape(len(case.valid), -1)

    def where(self, name: str) -> NDArray[np.float32]:
        """Scores (z * y * x,), the highest are deferred first; -inf where nobody answers.

        The oracle's are not smoothed: they bound what any other map can reach. Voxels that the AI missed come first in
        it, since they raise Dice more than those it drew too many.
        """
        if name not in self._where:
            score = self._oracle() if name == "oracle" else self._smooth(self._raw(name))
            self._where[name] = np.where(self.case.readable, score, NEVER).ravel().astype(np.float32)
        return self._where[name]

    @cached_property
    def gain(self) -> NDArray[np.float32]:
        """Smoothed gains (K, z * y * x), -inf where a reader does not answer."""
        gain = np.stack([self._smooth(g).ravel() for g in self.case.gain])
        return np.where(self.valid, gain, NEVER)

    @cached_property
    def bids(self) -> NDArray[np.float32]:
        """Gains with a hair of difference from place to place, so that prices can divide what all would do alike."""
        shape, rng = self.case.truth.shape, self._rng("hair")
        hair = [smooth_field((shape[0], shape[1], shape[2]), self.case.spacing_zyx, PIECE_MM, rng) for _ in self.valid]
        return np.asarray(self.gain + HAIR * np.stack([h.ravel() for h in hair]))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Where (K, z * y * x) each reader answers rightly."""
        return self.case.expert_right().reshape(self.valid.shape)

    def deferral(self, who: str, index: NDArray[np.intp], choice: ReaderTerms) -> Deferral:
        """Give deferred voxels (n,), at each of which somebody answers, to readers.

        Raises
        ------
        ValueError
            No rule has this name.
        """
        if who == "none" or index.size == 0:
            return Deferral(index[:0], index[:0])
        return Deferral(index, self._readers(who, index, choice).astype(np.intp))

    def _readers(self, who: str, index: NDArray[np.intp], choice: ReaderTerms) -> NDArray[np.intp]:
        valid = self.valid[:, index]
        if who == "random":
            return first_valid(valid, self._rng("reader").permutation(len(valid)).tolist())
        if who == "dealt":
            return dealt(valid, self._rng("deal"))
        if who == "best":
            return first_valid(valid, choice.order)
        if who == "right":
            right = self.right[:, index]
            return np.asarray((2 * right + valid.astype(np.int8)).argmax(axis=0))
        if who == "gain":
            return np.asarray(self.gain[:, index].argmax(axis=0))
        if who == "priced":
            prices = self.case.prices if self.case.prices is not None else choice.prices
            return np.asarray((self.bids[:, index] - prices[:, None]).argmax(axis=0))
        if who == "batch":
            return np.asarray((self.bids[:, index] - choice.batch_prices[:, None]).argmax(axis=0))
        raise ValueError(f"no rule {who!r} picks a reader")

    def _raw(self, name: str) -> NDArray[np.float32]:
        if name == "entropy":
            return self.case.entropy
        if name == "router":
            return self.case.defer.astype(np.float32)
        if name == "random":
            return self._rng("where").random(self.case.truth.shape, np.float32)
        raise ValueError(f"no score map is called {name!r}")

    def _oracle(self) -> NDArray[np.float32]:
        case = self.case
        missed = np.where(case.labels == 0, np.float32(2), np.float32(1))
        fixable = (case.labels != case.truth) & case.expert_right().any(axis=0)
        return np.where(fixable, missed + self._rng("oracle").random(case.truth.shape, np.float32) / 2, NEVER)

    def _smooth(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return smooth(array, self.case.spacing_zyx, self._sigma_mm)

    def _rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, crc32(self.case.key.encode()), crc32(purpose.encode())])


def composed(case: JudgedCase, deferral: Deferral) -> Array:
    """Mask (z, y, x) of the whole system: the AI's labels, with the readers' at the deferred voxels."""
    mask = case.labels.astype(np.result_type(case.labels, case.experts))
    mask.reshape(-1)[deferral.index] = case.experts.reshape(len(case.experts), -1)[deferral.reader, deferral.index]
    return mask


def highest(score: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Flat indices, ascending, of the `count` highest scores (n,); -inf is never chosen, of equals the first are."""
    possible = np.flatnonzero(score > NEVER)
    if count <= 0:
        return possible[:0]
    if count >= len(possible):
        return possible
    values = score[possible]
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    above = possible[values > threshold]
    tied = possible[values == threshold][: count - len(above)]
    return np.sort(np.concatenate((above, tied)))


def first_valid(valid: NDArray[np.bool_], order: Sequence[int]) -> NDArray[np.intp]:
    """Reader (n,) who comes first in an order of preference among those who answer at each voxel, (K, n)."""
    preference = np.array(order, np.intp)
    return np.asarray(preference[valid[preference].argmax(axis=0)])


def dealt(valid: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Reader (n,) of each voxel: in turn, voxels in random order; who does not answer, (K, n), is passed over."""
    readers, voxels = valid.shape
    turn = (rng.permutation(voxels) + rng.integers(readers)) % readers
    following = (turn + np.arange(readers)[:, None]) % readers
    return np.asarray((turn + np.take_along_axis(valid, following, axis=0).argmax(axis=0)) % readers)
