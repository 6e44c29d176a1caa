"""What `Store` promises about corrections, line by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import State, Verdict, new_id, utc_now

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Region
    from napari_deferredseg.store.base import Store

MINUTE = timedelta(minutes=1)


def state_of(store: Store, region: Region) -> State:
    return next(i.assignment.state for i in store.items() if i.region.id == region.id)


class TestCorrections:
    @pytest.fixture
    def region(self, store, make) -> Region:
        return make.run(store, make.case(), group="liver")[0]

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_what_goes_in_comes_out(self, store, make, region, dtype):
        given = make.correction(region, "anna")
        given = replace(given, before=given.before.astype(dtype), after=given.after.astype(dtype))
        store.claim(region.id, "anna")
        store.submit(given)
        (kept,) = store.corrections()
        assert make.same(kept, given)
        (item,) = store.items()
        assert (item.assignment.state, item.assignment.lease_until) == (State.SUBMITTED, None)
        assert store.worklist("anna") == []
        assert store.claim(region.id, "anna") is None
        assert store.verify() == []

    def test_the_same_id_again_is_harmless(self, store, make, region):
        given = make.correction(region, "anna")
        for _ in range(3):
            store.submit(given)
        store.submit(replace(given, submitted=utc_now() + MINUTE))
        assert make.same(store.history(region.id)[0], given)
        assert len(store.history(region.id)) == 1

    def test_the_same_id_with_other_strokes_is_not(self, store, make, region):
        given = make.correction(region, "anna")
        store.submit(given)
        with pytest.raises(InputError, match="another content"):
            store.submit(make.correction(region, "anna", seed=1, id=given.id))
        assert make.same(store.corrections()[0], given)

    @pytest.mark.parametrize(
        "wrong", [{"voxel_hash": "z"}, {"case_key": "case-2"}, {"box": ((18, 21), (2, 7), (3, 6))}], ids=str
    )
    def test_never_on_another_image(self, store, make, region, wrong):
        make.run(store, make.case("case-2"), reader="anna")
        with pytest.raises(InputError, match=r"image|outside"):
            store.submit(make.correction(region, "anna", **wrong))
        assert store.corrections() == []
        assert state_of(store, region) is State.OPEN

    def test_unknown_region_and_reader(self, store, make, region):
        with pytest.raises(InputError, match="no region"):
            store.submit(make.correction(region, "anna", region_id="ffff"))
        with pytest.raises(InputError, match="no reader"):
            store.submit(make.correction(region, "zoe"))

    def test_a_late_one_counts_until_somebody_claims(self, store, make, clock):
        first, second, third = make.run(store, make.case(), 3, group="liver")
        for region in (first, second, third):
            store.claim(region.id, "anna")
        clock.go(minutes=60)
        store.submit(make.correction(first, "anna"))
        store.claim(second.id, "ben")
        with pytest.raises(Busy, match=f"Ben has claimed region {second.number} of case-1"):
            store.submit(make.correction(second, "anna"))
        store.assign(third.id, reader="ben", group=None, by="lea")
        store.submit(make.correction(third, "anna"))
        assert {c.region_id for c in store.corrections()} == {first.id, third.id}

    def test_a_late_one_counts_after_a_newer_prediction(self, store, make, region, clock):
        store.claim(region.id, "anna")
        clock.go(minutes=60)
        make.run(store, make.case(), reader="ben")
        store.submit(make.correction(region, "anna"))
        assert [c.region_id for c in store.corrections()] == [region.id]

    def test_a_region_is_submitted_by_one(self, store, make, region):
        store.submit(make.correction(region, "anna"))
        with pytest.raises(Busy, match="somebody else has submitted"):
            store.submit(make.correction(region, "ben"))
        assert len(store.history(region.id)) == 1

    def test_amending(self, store, make, region):
        first = make.correction(region, "anna", 1)
        second = make.correction(region, "anna", 2, supersedes=first.id)
        third = make.correction(region, "anna", 3, supersedes=second.id, verdict=Verdict.INDETERMINATE)
        for one in (first, second, third):
            store.submit(one)
        assert [c.id for c in store.corrections()] == [third.id]
        assert [c.id for c in store.history(region.id)] == [first.id, second.id, third.id]
        assert all(make.same(a, b) for a, b in zip(store.history(region.id), (first, second, third), strict=True))
        assert state_of(store, region) is State.SUBMITTED
        assert store.verify() == []

    def test_only_ones_own_newest_is_amended(self, store, make, region):
        first = make.correction(region, "anna", 1)
        second = make.correction(region, "anna", 2, supersedes=first.id)
        with pytest.raises(InputError, match="not your newest"):
            store.submit(second)
        store.submit(first)
        store.submit(second)
        for wrong in (first.id, new_id()):
            with pytest.raises(InputError, match="not your newest"):
                store.submit(make.correction(region, "anna", 3, supersedes=wrong))
        with pytest.raises(InputError, match=rf"submitted region {region.number} of case-1 before, .* amend"):
            store.submit(make.correction(region, "anna", 3))
        with pytest.raises(Busy, match="somebody else"):
            store.submit(make.correction(region, "ben", 3, supersedes=second.id))
        assert len(store.history(region.id)) == 2

    def test_filters(self, store, make):
        a, b = make.run(store, make.case("a"), 2, group="liver")
        (c,) = make.run(store, make.case("b"), group="liver")
        for region, reader in ((b, "anna"), (a, "ben"), (c, "anna")):
            store.submit(make.correction(region, reader))
        assert [x.region_id for x in store.corrections()] == [b.id, a.id, c.id]
        assert [x.region_id for x in store.corrections(case_key="a")] == [b.id, a.id]
        assert [x.region_id for x in store.corrections(reader="ANNA")] == [b.id, c.id]
        assert [x.region_id for x in store.corrections(case_key="a", reader="anna")] == [b.id]
        with pytest.raises(InputError):
            store.history("ffff")


class TestErase:
    @pytest.fixture
    def region(self, store, make) -> Region:
        return make.run(store, make.case(), group="liver")[0]

    def test_the_chain_outlives_it(self, store, make, region):
        first = make.correction(region, "anna", 1)
        second = make.correction(region, "anna", 2, supersedes=first.id)
        store.submit(first)
        store.submit(second)
        store.erase(first.id, "anna", "my wish")
        assert [c.id for c in store.history(region.id)] == [c.id for c in store.corrections()] == [second.id]
        assert state_of(store, region) is State.SUBMITTED
        assert store.verify() == []
        store.submit(first)
        assert len(store.history(region.id)) == 1

    def test_a_region_left_without_answer_waits_to_be_assigned(self, store, make, region):
        first = make.correction(region, "anna", 1)
        second = make.correction(region, "anna", 2, supersedes=first.id)
        store.submit(first)
        store.submit(second)
        store.erase(second.id, "lea", "asked by mail")
        assert store.corrections() == []
        left = store.items()[0].assignment
        assert (left.state, left.holder) == (State.DECLINED, None)
        store.assign(region.id, reader="ben", group=None, by="lea")
        store.submit(make.correction(region, "ben"))
        assert store.verify() == []

    def test_after_an_erased_amendment_the_author_begins_anew(self, store, make, region):
        first = make.correction(region, "anna", 1)
        second = make.correction(region, "anna", 2, supersedes=first.id)
        store.submit(first)
        store.submit(second)
        store.erase(second.id, "anna", "my wish")
        with pytest.raises(InputError, match="submit it as a new one"):
            store.submit(make.correction(region, "anna", 3, supersedes=first.id))
        again = make.correction(region, "anna", 3)
        store.submit(again)
        assert [c.id for c in store.corrections()] == [again.id]
        assert store.verify() == []

    def test_the_author_may_begin_anew(self, store, make, region):
        first = make.correction(region, "anna", 1)
        store.submit(first)
        store.erase(first.id, "anna", "my wish")
        again = make.correction(region, "anna", 2)
        store.submit(again)
        assert [c.id for c in store.corrections()] == [again.id]

    def test_refused_without_reason_or_correction(self, store, make, region):
        given = make.correction(region, "anna")
        store.submit(given)
        with pytest.raises(InputError, match="reason is empty"):
            store.erase(given.id, "anna", " ")
        with pytest.raises(InputError, match="no correction"):
            store.erase(new_id(), "anna", "wish")
        store.erase(given.id, "anna", "wish")
        with pytest.raises(InputError, match="no correction"):
            store.erase(given.id, "anna", "wish")


def test_other_connections_see_it_all(store_factory, store, make):
    other = store_factory()
    (region,) = make.run(store, make.case(), group="liver")
    assert other.claim(region.id, "anna") is not None
    assert store.claim(region.id, "ben") is None
    given = make.correction(region, "anna")
    other.submit(given)
    store.submit(given)
    assert [i.assignment.state for i in store.items()] == [State.SUBMITTED]
    assert store.verify() == other.verify() == []
