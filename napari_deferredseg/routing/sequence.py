"""In which order pieces are sent to readers, whatever the budget: a smaller budget ends the same sequence earlier."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_deferredseg.routing.effort import Pace
    from napari_deferredseg.routing.surroundings import Surroundings

REGION_MINUTES = 4.0
"""A region of several pieces grows up to so long a reading."""

ADJOINING = 1.25
"""How much more a piece counts on each side on which the next slice is sent: a gap of one slice reads as a mistake."""

NEW = -1
LEAST = 1e-4  # minutes; what costs nothing more comes first


class Step(NamedTuple):
    """A piece joins a region, or opens one where the number is new; what that adds."""

    piece: int
    region: int
    minutes: float
    voxels: int
    regions: int


class _Offer(NamedTuple):
    """What could be next; the smallest is."""

    paid: bool
    worth: float
    size: float
    piece: int
    region: int


@dataclass
class _Growing:
    pieces: set[int]
    outline: float
    slices: int
    minutes: float
    compact: bool


class Sequence:
    """Pieces, the ones first that show most errors for a reader's minute.

    A piece opens a region or joins one near it, whatever shows more for its cost. What it shows is what speaks against
    the mask within `SEEN_MM` of it and was not seen with earlier pieces; it counts more where it adjoins what is sent
    on the slice before or after it. What costs nothing in the budget's unit comes at once. A piece that would cost more
    than all before it together waits until it does not, so that a budget is at least half spent, or nothing of what is
    left fits in the rest.

    Parameters
    ----------
    around : Surroundings
        The pieces.
    pace : Pace
        Of the grid.
    charge : callable
        What a step costs in the budget's unit.
    unit : float
        No piece waits that costs at most this.
    last : int
        Pieces from this number on, specks, come when all others are there.
    """

    def __init__(
        self, around: Surroundings, pace: Pace, charge: Callable[[Step], float], unit: float, last: int
    ) -> None:
        self._around, self._pace, self._charge, self._unit = around, pace, charge, unit
        self._last, self._open = last, False
        self._regions: list[_Growing] = []
        self._home: dict[int, int] = {}
        self._seen = np.zeros(len(around.worth), bool)
        self._spent = 0.0
        self._offers: list[_Offer] = []
        self._waiting: list[tuple[float, int, int]] = []

    def __iter__(self) -> Iterator[Step]:
        """All steps; each piece is in one."""
        for piece in range(self._last):
            self._offer(piece, NEW)
        yield from self._steps()
        self._open = True
        for piece in range(self._last, len(self._around.voxels)):
            self._offer(piece, NEW)
            for region in sorted({self._home[other] for other in self._around.near[piece] if other in self._home}):
                self._offer(piece, region)
        yield from self._steps()

    def _steps(self) -> Iterator[Step]:
        while self._offers or self._waiting:
            step = self._from_offers() if self._offers else self._from_waiting()
            if step is not None:
                self._take(step)
                yield step

    def _from_offers(self) -> Step | None:
        """The best step, or None where what stood first had changed, waits or is done."""
        offer = heapq.heappop(self._offers)
        step = self._step(offer.piece, offer.region)
        if step is None:
            return None
        if (now := self._valued(step, offer.region)) > offer:
            heapq.heappush(self._offers, now)
            return None
        cost = self._charge(step)
        if cost > max(self._spent, self._unit):
            heapq.heappush(self._waiting, (cost, offer.piece, offer.region))
            return None
        return step

    def _from_waiting(self) -> Step | None:
        _, piece, region = heapq.heappop(self._waiting)
        return self._step(piece, region)

    def _take(self, step: Step) -> None:
        around, piece = self._around, step.piece
        self._home[piece] = step.region
        self._seen[around.seen[piece]] = True
        self._spent += self._charge(step)
        if step.regions:
            self._regions.append(_Growing(set(), 0.0, 0, 0.0, False))
        region = self._regions[step.region]
        region.outline = self._outline(piece, region)
        region.slices |= around.slices[piece]
        region.minutes += step.minutes
        region.compact |= around.compact[piece]
        region.pieces.add(piece)
        for other in sorted(around.near[piece]):
            self._offer(other, step.region)
        while self._waiting and self._waiting[0][0] <= self._spent:
            self._offer(*heapq.heappop(self._waiting)[1:])

    def _offer(self, piece: int, region: int) -> None:
        step = self._step(piece, region)
        if step is not None:
            heapq.heappush(self._offers, self._valued(step, region))

    def _valued(self, step: Step, region: int) -> _Offer:
        cells = self._around.seen[step.piece]
        worth = float(self._around.worth[cells[~self._seen[cells]]].sum())
        worth *= ADJOINING ** self._sides(step.piece)
        minutes = max(step.minutes, LEAST)
        return _Offer(self._charge(step) > 0, -worth / minutes, -step.voxels / minutes, step.piece, region)

    def _sides(self, piece: int) -> int:
        """On how many sides, of the slices before and after it, a piece lies on something that is sent."""
        around = self._around
        return sum(any(other in self._home for other in side[piece]) for side in (around.above, around.below))

    def _step(self, piece: int, region: int) -> Step | None:
        """What a piece adds to a region; None where it is taken or does not go with it."""
        if piece in self._home or (piece >= self._last and not self._open):
            return None
        around, voxels = self._around, self._around.voxels[piece]
        if region == NEW:
            minutes = self._pace.minutes(around.slices[piece].bit_count(), around.outline[piece])
            return Step(piece, len(self._regions), minutes, voxels, 1)
        host = self._regions[region]
        if host.compact and around.compact[piece]:
            return None
        slices = (host.slices | around.slices[piece]).bit_count()
        minutes = self._pace.minutes(slices, self._outline(piece, host))
        if minutes > max(REGION_MINUTES, host.minutes):
            return None
        return Step(piece, region, minutes - host.minutes, voxels, 0)

    def _outline(self, piece: int, region: _Growing) -> float:
        common = sum(mm for other, mm in self._around.shared[piece].items() if other in region.pieces)
        return region.outline + self._around.outline[piece] - 2 * common
