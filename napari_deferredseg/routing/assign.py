"""From regions to readers: declared speciality first, within what a day holds; then the load as even as can be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Assignment, Reader, Region, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import LabelTable

SPECIALIST, GENERALIST, STRANGER = 0.0, 0.25, 1.0
"""Cost of a minute of reading: by one who declared the region's label, who declared nothing, who declared others."""

GAIN_DECIMALS = 2
"""Readers whose gains differ by less are equally good: it is noise, and an even load is worth more."""

EXACT = 1e-10
TOLERANCE = 1e-9
SLACK = 1e-7
"""Of a load that is fixed: more than the tolerance of the mismatch moves when the smallest difference is 0.01."""
VANISHING = 1e-6


@dataclass(frozen=True)
class Plan:
    """Who reads what.

    Attributes
    ----------
    assignments : list of Assignment
        One for each region, in the regions' order.
    minutes : dict of login to float
        Estimated minutes given to each candidate by this plan.
    prices : dict of login to float
        What one more minute of a reader's day would save in mismatch, 0 to 1: the duals of their capacities.
    """

    assignments: list[Assignment]
    minutes: dict[str, float]
    prices: dict[str, float]


@dataclass(frozen=True)
class _Problem:
    """Kinds of regions (rows: g) that cost alike with every reader (columns: r), all minutes as shares of the sum."""

    cost: NDArray[np.float64]
    demand: NDArray[np.float64]
    capacity: NDArray[np.float64]
    busy: NDArray[np.float64]

    def given(self) -> NDArray[np.float64]:
        """Rows (r, g * r) that add up what each reader is given."""
        return np.tile(np.eye(len(self.capacity)), len(self.demand))

    def taken(self) -> NDArray[np.float64]:
        """Rows (g, g * r) that add up what is taken of each kind."""
        return np.repeat(np.eye(len(self.demand)), len(self.capacity), axis=1)


def why_nobody(readers: Sequence[Reader]) -> str:
    """Why regions can be routed to none of a project's readers, by name; empty where they can."""
    if any(x.is_routed_to for x in readers):
        return ""
    reasons = ", ".join(f"{x.name} {'has 0 minutes a day' if x.active else 'was deactivated'}" for x in readers)
    if all(x.active and x.role is Role.ADMIN for x in readers):  # who made it, and only manages
        return f"this project has no readers yet{': ' if reasons else ''}{reasons}"
    return f"nobody reads in this project now: {reasons}"


def assign(
    regions: Sequence[Region],
    readers: Sequence[Reader],
    table: LabelTable,
    *,
    seed: int = 0,
    busy: Mapping[str, float] | None = None,
    columns: Mapping[str, int] | None = None,
    day: date | None = None,
) -> Plan:
    """Give each region to one reader.

    A linear programme finds the shares that cost least in mismatch within the readers' capacities (all scaled up
    alike when a day does not hold the demand), then, at that cost, the most even utilisation, the fullest readers
    first. Whole regions follow these shares, the longest first, to within about a region for each reader.

    Parameters
    ----------
    regions : sequence of Region
        What is to be read; the first of `labels` decides the speciality.
    readers : sequence of Reader
        Those who are active and have a capacity are candidates. Their order does not matter.
    table : LabelTable
        Names of the labels; case does not matter.
    seed : int
        Decides between readers who are equally due.
    busy : mapping of login to minutes, optional
        What lies on the readers' desks already.
    columns : mapping of login to int, optional
        Whose gain is which of the regions' scores. Beside the declared speciality, asking somebody then costs what
        their gain falls short of the best mapped reader's; who is not mapped falls short by the mean.
    day : date, optional
        Who is absent on this day is no candidate; without it nobody's absence counts.

    Raises
    ------
    InputError
        There is no candidate.
    """
    reading = sorted((r for r in readers if r.is_routed_to), key=lambda r: r.login)
    if not reading:
        raise InputError(f"{why_nobody(readers)}; add a reader, or change that", command="deferredseg reader add")
    candidates = [r for r in reading if day is None or not r.is_absent(day)]
    if not candidates:
        who = ", ".join(f"{r.login} until {r.absent_to}" for r in reading)
        raise InputError(f"all readers of the project are absent on {day}: {who}; change that or add a reader")
    if not regions:
        none = {r.login: 0.0 for r in candidates}
        return Plan([], none, dict(none))
    cost = np.array([[_mismatch(region, reader, table) for reader in candidates] for region in regions])
    cost += _shortfall(regions, [columns.get(r.login) for r in candidates]) if columns else 0.0
    minutes = np.array([region.minutes for region in regions], float)
    kinds, kind = np.unique(cost, axis=0, return_inverse=True)
    kind = kind.ravel()
    total = float(minutes.sum())
    problem = _Problem(
        cost=kinds,
        demand=np.asarray(np.bincount(kind, minutes / total), float),
        capacity=np.array([r.capacity for r in candidates]) / total,
        busy=np.array([(busy or {}).get(r.login, 0.0) for r in candidates]) / total,
    )
    least, prices = _least_mismatch(problem)
    chosen = _whole(regions, minutes / total, kind, _even(problem, least), [r.login for r in candidates], seed)
    return Plan(
        assignments=[
            Assignment(region_id=region.id, reader=candidates[i].login)
            for region, i in zip(regions, chosen, strict=True)
        ],
        minutes={r.login: float(minutes[chosen == i].sum()) for i, r in enumerate(candidates)},
        prices={r.login: float(price) for r, price in zip(candidates, prices, strict=True)},
    )


def why_not_routed_to(reader: Reader) -> str:
    """Login of a reader to whom nothing is routed, and why."""
    return f"{reader.login} ({'0 minutes a day' if reader.active else 'deactivated'})"


def _mismatch(region: Region, reader: Reader, table: LabelTable) -> float:
    if not reader.specialities:
        return GENERALIST
    name = table.name(region.labels[0]).casefold() if region.labels else ""
    return SPECIALIST if name in {s.strip().casefold() for s in reader.specialities} else STRANGER


def _shortfall(regions: Sequence[Region], columns: Sequence[int | None]) -> NDArray[np.float64]:
    """What each candidate's gain (rows: regions) falls short of the best; 0 where a region has no scores."""
    short = np.zeros((len(regions), len(columns)))
    mapped = [i for i, column in enumerate(columns) if column is not None]
    for row, region in zip(short, regions, strict=True):
        if mapped and region.scores:
            gain = np.array([region.scores[c] for c in columns if c is not None])
            row[:] = gain.max() - gain.mean()
            row[mapped] = gain.max() - gain
    return np.round(short, GAIN_DECIMALS)


def _least_mismatch(p: _Problem) -> tuple[float, NDArray[np.float64]]:
    """Lowest possible mismatch, and the prices of the readers' time at it."""
    level = max(1.0, _common_level(p))
    room = np.maximum(level * p.capacity - p.busy, 0) + TOLERANCE
    shares, prices = _solved(p.cost.ravel(), p.given(), room, p.taken(), p.demand)
    return float(p.cost.ravel() @ shares), prices


def _solved(
    objective: NDArray[np.float64],
    rows: NDArray[np.float64],
    bounds: NDArray[np.float64],
    equal_rows: NDArray[np.float64],
    equal_to: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variables (>= 0) of a linear programme, and the prices of its upper bounds."""
    found = linprog(
        objective,
        A_ub=rows,
        b_ub=bounds,
        A_eq=equal_rows,
        b_eq=equal_to,
        method="highs",
        options={"primal_feasibility_tolerance": EXACT, "dual_feasibility_tolerance": EXACT},
    )
    if found.x is None:
        raise RuntimeError(f"no assignment found: {found.message}")
    return np.asarray(found.x), np.abs(found.ineqlin.marginals)


def _common_level(p: _Problem) -> float:
    """Utilisation at which the readers' days together hold what is busy and the demand, 1 being all of it."""
    order = np.argsort(p.busy / p.capacity)
    filled = (1 + np.cumsum(p.busy[order])) / np.cumsum(p.capacity[order])
    return float(filled.min())


def _even(p: _Problem, mismatch: float) -> NDArray[np.float64]:
    """Shares (g, r) at the lowest mismatch; the highest utilisation is as low as can be, then the next, and so on."""
    kinds, readers = p.cost.shape
    fixed = np.full(readers, np.nan)
    taken = np.hstack([p.taken(), np.zeros((kinds, 1))])
    objective = np.append(np.zeros(kinds * readers), 1.0)
    shares = np.zeros((kinds, readers))
    while np.isnan(fixed).any():
        free = np.isnan(fixed)
        rows = np.vstack(
            [
                np.hstack([p.given(), np.where(free, -p.capacity, 0)[:, None]]),
                np.append(p.cost.ravel(), 0)[None],
            ]
        )
        bounds = np.append(np.where(free, 0, fixed * p.capacity + SLACK) - p.busy, mismatch) + TOLERANCE
        solution, prices = _solved(objective, rows, bounds, taken, p.demand)
        shares = solution[:-1].reshape(kinds, readers)
        binding = free & (prices[:readers] > TOLERANCE)
        fixed[binding if binding.any() else free] = solution[-1]
    return shares


def _whole(
    regions: Sequence[Region],
    minutes: NDArray[np.float64],
    kind: NDArray[np.intp],
    shares: NDArray[np.float64],
    logins: Sequence[str],
    seed: int,
) -> NDArray[np.intp]:
    """Reader of each region: of those with a share in its kind the one to whom most is due, the longest region first.

    Kinds with the fewest readers come first; what a reader got too much or too little of one counts in the next.
    """
    chosen = np.zeros(len(regions), np.intp)
    due = np.zeros(len(logins))
    longest = sorted(range(len(regions)), key=lambda i: (-round(float(minutes[i]), 12), regions[i].id))
    readers_of = [np.flatnonzero(row >= min(VANISHING, row.max())).tolist() for row in shares]
    for k in sorted(range(len(shares)), key=lambda k: len(readers_of[k])):
        due += shares[k]
        for i in (i for i in longest if kind[i] == k):
            most = max(due[r] for r in readers_of[k])
            equal = [r for r in readers_of[k] if due[r] >= most - TOLERANCE]
            chosen[i] = min(equal, key=partial(_lot, seed, regions[i].id, logins))
            due[chosen[i]] -= minutes[i]
    return chosen


def _lot(seed: int, region_id: str, logins: Sequence[str], reader: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{region_id}/{logins[reader]}".encode(), digest_size=8).digest()
