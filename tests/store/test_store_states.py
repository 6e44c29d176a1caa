"""Random walks through the states of assignments, beside a model of a few lines."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import Assignment, Reader, State
from napari_deferredseg.store.sql import create_sqlite

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {"anna": {"liver"}, "ben": {"liver", "lung"}, "kim": set()}
LOGINS = st.sampled_from(sorted(GROUPS))
NUMBERS = st.integers(0, 3)


@dataclass
class Expected:
    """A region as the contract describes it."""

    region: Any
    reader: str | None
    group: str | None
    state: State = State.OPEN
    holder: str | None = None
    until: datetime | None = None
    author: str | None = None
    sent: list[str] = field(default_factory=list)

    def is_for(self, login: str) -> bool:
        return self.reader == login or self.group in GROUPS[login]

    def held_by(self, login: str) -> bool:
        return self.state is State.CLAIMED and self.holder == login

    def runs(self, now: datetime) -> bool:
        return self.state is State.CLAIMED and self.until > now

    def become(self, state: State, holder: str | None = None, until: datetime | None = None) -> None:
        self.state, self.holder, self.until = state, holder, until


class Walk(RuleBasedStateMachine):
    def __init__(self, path: Path, make, clock) -> None:
        super().__init__()
        self.make, self.clock, self.now = make, clock, clock.now
        self.store = create_sqlite(path, clock)
        for login, groups in GROUPS.items():
            self.store.add_reader(Reader(login=login, name=login.title(), groups=tuple(groups)))
        self.all: list[Expected] = []
        self.current: list[Expected] = []
        self.predict("anna", None, "liver")

    @rule(a=LOGINS, b=st.sampled_from([None, "anna"]), group=st.sampled_from(["liver", "lung"]))
    def predict(self, a, b, group):
        prediction = self.make.prediction(self.make.case())
        given = [(a, None), (None, group), (b, None if b else group), (None, "liver")]
        fresh = [Expected(self.make.region(prediction), reader, g) for reader, g in given]
        assignments = [_assignment(x) for x in fresh]
        args = (self.make.case(), prediction, [x.region for x in fresh], assignments)
        if any(x.runs(self.now) for x in self.current):
            with pytest.raises(Busy):
                self.store.add_prediction(*args)
            return
        assert self.store.add_prediction(*args)
        for x in self.current:
            if x.state is not State.SUBMITTED:
                x.become(State.WITHDRAWN)
        self.current = fresh
        self.all += fresh

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes):
        self.clock.go(minutes=minutes)
        self.now += timedelta(minutes=minutes)

    @rule(minutes=st.integers(1, 40))
    def set_the_clock_back(self, minutes):
        self.clock.go(minutes=-minutes)

    @rule(n=NUMBERS, login=LOGINS)
    def claim(self, n, login):
        x = self.current[n]
        lapsed = x.state is State.CLAIMED and x.until <= self.now
        free = x.state in (State.OPEN, State.SKIPPED) or x.held_by(login) or lapsed
        got = self.store.claim(x.region.id, login)
        assert (got is not None) == (free and x.is_for(login))
        if got is not None:
            x.become(State.CLAIMED, login, self.now + timedelta(minutes=30))

    @rule(n=NUMBERS, login=LOGINS)
    def release(self, n, login):
        x = self.current[n]
        assert self.store.release(x.region.id, login) == x.held_by(login)
        if x.held_by(login):
            x.become(State.OPEN)

    @rule(n=NUMBERS, login=LOGINS)
    def skip(self, n, login):
        x = self.current[n]
        may = x.held_by(login) or (x.state is State.OPEN and x.is_for(login))
        assert self.store.skip(x.region.id, login) == may
        if may:
            x.become(State.SKIPPED)

    @rule(n=NUMBERS, login=LOGINS)
    def decline(self, n, login):
        x = self.current[n]
        may = x.held_by(login) or (x.state in (State.OPEN, State.SKIPPED) and x.is_for(login))
        assert self.store.decline(x.region.id, login, "no") == may
        if may:
            x.become(State.DECLINED)

    @rule(n=NUMBERS, login=LOGINS)
    def assign(self, n, login):
        x = self.current[n]
        if x.runs(self.now) or x.state is State.SUBMITTED:
            with pytest.raises(InputError if x.state is State.SUBMITTED else Busy):
                self.store.assign(x.region.id, reader=login, group=None, by="lea")
            return
        self.store.assign(x.region.id, reader=login, group=None, by="lea")
        x.reader, x.group = login, None
        x.become(State.OPEN)

    @rule(data=st.data(), login=LOGINS, honest=st.booleans(), twice=st.booleans())
    def submit(self, data, login, honest, twice):
        x = data.draw(st.sampled_from(self.all))
        newest = x.sent[-1] if x.sent and x.author == login else None
        supersedes = newest if honest else data.draw(st.sampled_from([None, *x.sent]))
        given = self.make.correction(x.region, login, supersedes=supersedes)
        others = (x.state is State.CLAIMED and x.holder != login) or (x.author not in (None, login))
        if others or supersedes != newest:
            with pytest.raises(Busy if others else InputError):
                self.store.submit(given)
            return
        for _ in range(1 + twice):
            self.store.submit(given)
        x.author = login
        x.sent.append(given.id)
        x.become(State.SUBMITTED, login)

    @invariant()
    def the_store_agrees(self):
        kept = {item.region.id: item.assignment for item in self.store.items()}
        assert list(kept) == [x.region.id for x in self.current]
        for x in self.current:
            a = kept[x.region.id]
            found = (a.state, a.holder, a.lease_until, a.reader, a.group)
            assert found == (x.state, x.holder, x.until, x.reader, x.group)

    @invariant()
    def worklists_hold_what_can_be_claimed(self):
        for login in GROUPS:
            mine = [x for x in self.current if x.is_for(login)]
            open_now = [
                x for x in mine if x.state is State.OPEN or (x.state is State.CLAIMED and _free(x, login, self.now))
            ]
            skipped = [x for x in mine if x.state is State.SKIPPED]
            listed = [item.region.id for item in self.store.worklist(login)]
            assert listed == [x.region.id for x in (*open_now, *skipped)]

    @invariant()
    def every_correction_is_there_once(self):
        assert {c.id for c in self.store.corrections()} == {x.sent[-1] for x in self.all if x.sent}
        assert all([c.id for c in self.store.history(x.region.id)] == x.sent for x in self.all if x.sent)
        assert self.store.verify() == []

    def teardown(self):
        self.store.close()


def _free(x: Expected, login: str, now: datetime) -> bool:
    return x.holder == login or x.until <= now


def _assignment(x: Expected):
    return Assignment(region_id=x.region.id, reader=x.reader, group=x.group)


def test_the_states_are_those_of_the_contract(tmp_path, make, clock):
    numbers = itertools.count()
    run_state_machine_as_test(
        lambda: Walk(tmp_path / f"{next(numbers)}.sqlite", make, clock),  # type: ignore[arg-type]
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
