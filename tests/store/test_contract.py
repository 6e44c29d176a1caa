"""What `Store` promises, line by line. A new backend joins through the fixture `store_factory`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from napari_deferredseg.core.errors import Busy, InputError, NotAllowed
from napari_deferredseg.core.records import Assignment, Reader, State

if TYPE_CHECKING:
    from napari_deferredseg.core.records import Region
    from napari_deferredseg.store.base import Store

MINUTE = timedelta(minutes=1)


def state_of(store: Store, region: Region) -> State:
    return next(i.assignment.state for i in store.items() if i.region.id == region.id)


def ids(items) -> list[str]:
    return [item.region.id for item in items]


class TestReaders:
    def test_what_goes_in_comes_out_by_login(self, store):
        added = Reader(login="Ab-1", name="Zoë", role="admin", groups=("b", "a"), specialities=("x",), capacity=0.1)
        store.add_reader(added)
        assert [r.login for r in store.readers()] == ["Ab-1", "anna", "ben", "lea"]
        assert store.reader("ab-1") == added

    def test_a_taken_login_is_refused_whatever_its_case(self, store):
        with pytest.raises(InputError, match=r"'ANNA' is taken by Dr\. Anna Berg"):
            store.add_reader(Reader(login="ANNA", name="Another"))
        assert len(store.readers()) == 3

    def test_found_by_login_before_display_name(self, store):
        store.add_reader(Reader(login="x1", name="ben"))
        assert store.reader("BEN").login == "ben"
        assert store.reader("dr. anna berg").login == "anna"

    def test_an_ambiguous_or_unknown_name_names_the_logins(self, store):
        store.add_reader(Reader(login="lea2", name="LEA "))
        store.add_reader(Reader(login="x2", name="Kim"))
        store.add_reader(Reader(login="x3", name="kim"))
        with pytest.raises(InputError, match="x2, x3"):
            store.reader("Kim")
        with pytest.raises(InputError, match="anna, ben, lea, lea2, x2, x3"):
            store.reader("nobody")


class TestCases:
    def test_a_case_whose_image_moved(self, store, make):
        case = make.case(source="old/ct.nii.gz")
        store.add_prediction(case, make.prediction(case), [], [])
        store.move_case(case.key, "new/ct.nii.gz", "1.2.3")
        assert store.case(case.key) == case.model_copy(update={"source": "new/ct.nii.gz", "series": "1.2.3"})
        with pytest.raises(InputError, match=f"known cases: {case.key}"):
            store.move_case("case-nowhere", "x", "")

    def test_everything_comes_back_as_it_was(self, store, make):
        case = make.case(modality="CT", series="1.2.3")
        prediction = make.prediction(case)
        regions = [make.region(prediction, 2), make.region(prediction, 1)]
        assignments = [
            Assignment(region_id=regions[0].id, reader="anna", reason="why"),
            Assignment(region_id=regions[1].id, group="lung", assigned_by="lea"),
        ]
        assert store.add_prediction(case, prediction, regions, assignments) is True
        assert store.cases() == [case]
        assert store.case("case-1") == case
        assert store.prediction("case-1") == prediction
        first, second = store.items()
        assert make.same(first.region, regions[1])
        assert make.same(second.region, regions[0])
        assert (first.assignment, second.assignment) == (assignments[1], assignments[0])
        assert first.case == second.case == case
        assert make.same(store.region(regions[0].id), regions[0])

    def test_the_same_prediction_again_changes_nothing(self, store, make):
        case = make.case()
        prediction = make.prediction(case)
        region = make.region(prediction)
        given = [Assignment(region_id=region.id, reader="anna")]
        store.add_prediction(case, prediction, [region], given)
        store.skip(region.id, "anna")
        assert store.add_prediction(case, prediction, [region], given) is False
        assert state_of(store, region) is State.SKIPPED

    def test_a_known_case_keeps_its_image_and_grid(self, store, make):
        case = make.case()
        (region,) = make.run(store, case, reader="anna")
        moved = case.geometry.model_copy(update={"origin": (0.0, 0.0, 0.0)})
        for other, said in ((make.case(voxel_hash="z"), "another image"), (make.case(geometry=moved), "mm away")):
            prediction = make.prediction(other)
            with pytest.raises(InputError, match=said):
                store.add_prediction(other, prediction, [], [])
        assert ids(store.items()) == [region.id]

    def test_a_newer_prediction_withdraws_what_nobody_submitted(self, store, make, clock):
        case, other = make.case(), make.case("case-2")
        make.run(store, other, reader="anna")
        old = make.run(store, case, 5, reader="anna")
        store.submit(make.correction(old[0], "anna"))
        store.skip(old[1].id, "anna")
        store.decline(old[2].id, "anna", "no time")
        store.claim(old[3].id, "anna")
        clock.go(minutes=60)
        new = make.run(store, case, 2, reader="anna")
        assert ids(store.items(case_key="case-1")) == [r.id for r in new]
        assert len(store.worklist("anna")) == 3
        assert [c.region_id for c in store.corrections()] == [old[0].id]
        assert all(store.claim(r.id, "anna") is None for r in old)

    def test_nothing_changes_while_somebody_reads(self, store, make):
        case = make.case()
        old = make.run(store, case, 2, reader="anna")
        store.claim(old[1].id, "anna")
        prediction = make.prediction(case)
        with pytest.raises(Busy, match=r"Dr\. Anna Berg is reading"):
            store.add_prediction(case, prediction, [], [])
        assert ids(store.items()) == [r.id for r in old]
        store.release(old[1].id, "anna")
        assert store.add_prediction(case, prediction, [], []) is True
        assert store.items() == []
        assert store.prediction("case-1") == prediction

    def test_an_unknown_assignee_leaves_nothing_behind(self, store, make):
        case = make.case()
        prediction = make.prediction(case)
        region = make.region(prediction)
        for given in ({"reader": "zoe"}, {"group": "heart"}):
            with pytest.raises(InputError, match=r"zoe|heart"):
                store.add_prediction(case, prediction, [region], [Assignment(region_id=region.id, **given)])
        assert store.cases() == []

    def test_one_assignment_a_region(self, store, make):
        case = make.case()
        prediction = make.prediction(case)
        with pytest.raises(ValueError, match="one assignment"):
            store.add_prediction(case, prediction, [make.region(prediction)], [])

    def test_unknown_cases_name_the_known(self, store, make):
        for key in ("b", "a"):
            make.run(store, make.case(key), reader="anna")
        assert [c.key for c in store.cases()] == ["b", "a"]
        with pytest.raises(InputError, match="known cases: b, a"):
            store.case("c")
        with pytest.raises(InputError, match="no case"):
            store.prediction("c")


class TestRegions:
    def test_a_drawn_region_outlives_its_prediction(self, store, make):
        case = make.case()
        prediction = make.prediction(case)
        store.add_prediction(case, prediction, [], [])
        drawn = make.drawn(prediction, number=7)
        store.add_region(drawn, Assignment(region_id=drawn.id, reader="ben", assigned_by="lea"))
        (modelled,) = make.run(store, case, reader="ben")
        assert set(ids(store.items())) == {drawn.id, modelled.id}
        assert drawn.id in ids(store.worklist("ben"))
        assert make.same(store.region(drawn.id), drawn)

    def test_a_drawn_region_needs_a_prediction(self, store, make):
        case = make.case()
        drawn = make.drawn(make.prediction(case))
        with pytest.raises(InputError, match="no case"):
            store.add_region(drawn, Assignment(region_id=drawn.id, reader="ben"))
        make.run(store, case, reader="anna")
        with pytest.raises(InputError, match="not have the prediction"):
            store.add_region(drawn, Assignment(region_id=drawn.id, reader="ben"))

    def test_unknown_and_repeated_ids(self, store, make):
        (region,) = make.run(store, make.case(), reader="anna")
        with pytest.raises(InputError, match="no region"):
            store.region("ffff")
        with pytest.raises(InputError, match="is there already"):
            store.add_region(region, Assignment(region_id=region.id, reader="ben"))

    def test_items_go_by_case_then_number(self, store, make):
        for key in ("z", "a"):
            case = make.case(key)
            prediction = make.prediction(case)
            regions = [make.region(prediction, n) for n in (10, 2, 1)]
            store.add_prediction(
                case, prediction, regions, [Assignment(region_id=r.id, reader="anna") for r in regions]
            )
        order = [(i.case.key, i.region.number) for i in store.items()]
        assert order == [("z", 1), ("z", 2), ("z", 10), ("a", 1), ("a", 2), ("a", 10)]
        assert [(i.case.key, i.region.number) for i in store.items(case_key="a")] == order[3:]


class TestWorklist:
    def test_own_and_group_regions_only(self, store, make):
        own = make.run(store, make.case("a"), reader="anna")
        group = make.run(store, make.case("b"), group="liver")
        make.run(store, make.case("c"), reader="ben")
        make.run(store, make.case("d"), group="lung")
        assert ids(store.worklist("ANNA")) == [own[0].id, group[0].id]
        assert store.worklist("lea") == []
        with pytest.raises(InputError, match="known logins"):
            store.worklist("zoe")

    def test_states_and_order(self, store, make, clock):
        r = make.run(store, make.case(), 6, group="liver")
        store.skip(r[0].id, "anna")
        store.claim(r[1].id, "anna")
        store.claim(r[2].id, "ben")
        store.claim(r[3].id, "ben", MINUTE)
        store.decline(r[4].id, "anna", "not mine")
        assert ids(store.worklist("anna")) == [r[1].id, r[5].id, r[0].id]
        assert ids(store.worklist("ben")) == [r[2].id, r[3].id, r[5].id, r[0].id]
        clock.go(minutes=1)
        assert ids(store.worklist("anna")) == [r[1].id, r[3].id, r[5].id, r[0].id]
        store.submit(make.correction(r[5], "ben"))
        assert r[5].id not in ids(store.worklist("anna"))


class TestHands:
    def test_claim_takes_it_and_extends(self, store, make, clock):
        now = clock.now
        (region,) = make.run(store, make.case(), group="liver")
        taken = store.claim(region.id, "Anna")
        assert (taken.state, taken.holder, taken.lease_until) == (State.CLAIMED, "anna", now + 30 * MINUTE)
        clock.go(minutes=29)
        assert store.claim(region.id, "ben") is None
        assert store.claim(region.id, "anna", 5 * MINUTE).lease_until == now + 34 * MINUTE
        clock.go(minutes=4)
        assert store.claim(region.id, "ben") is None
        clock.go(minutes=1)
        assert store.claim(region.id, "ben").holder == "ben"
        clock.go(minutes=1)
        assert store.claim(region.id, "anna") is None

    def test_claim_is_for_those_it_was_given_to(self, store, make):
        (region,) = make.run(store, make.case(), reader="anna")
        assert store.claim(region.id, "ben") is None
        with pytest.raises(InputError, match="no region"):
            store.claim("ffff", "anna")
        with pytest.raises(InputError, match="no reader"):
            store.claim(region.id, "zoe")

    def test_release(self, store, make):
        (region,) = make.run(store, make.case(), group="liver")
        assert store.release(region.id, "anna") is False
        store.claim(region.id, "anna")
        assert store.release(region.id, "ben") is False
        assert store.release(region.id, "anna") is True
        assert state_of(store, region) is State.OPEN
        assert store.claim(region.id, "ben").holder == "ben"

    def test_skip(self, store, make):
        first, second = make.run(store, make.case(), 2, group="liver")
        assert store.skip(first.id, "lea") is False
        assert store.skip(first.id, "anna") is True
        assert store.skip(first.id, "anna") is False
        store.claim(second.id, "ben")
        assert store.skip(second.id, "anna") is False
        assert store.skip(second.id, "ben") is True
        assert store.claim(first.id, "ben").state is State.CLAIMED

    def test_decline(self, store, make):
        regions = make.run(store, make.case(), 3, group="liver")
        with pytest.raises(InputError, match="reason is empty"):
            store.decline(regions[0].id, "anna", "  ")
        store.claim(regions[0].id, "ben")
        assert store.decline(regions[0].id, "anna", "no") is False
        assert store.decline(regions[0].id, "ben", " it is my own patient ") is True
        store.skip(regions[1].id, "anna")
        assert store.decline(regions[1].id, "anna", "no") is True
        assert store.decline(regions[1].id, "anna", "no") is False
        declined = store.items()[0].assignment
        assert (declined.state, declined.holder, declined.reason) == (State.DECLINED, None, "it is my own patient")
        assert ids(store.worklist("anna")) == [regions[2].id]

    def test_assign(self, store, make, clock):
        first, second = make.run(store, make.case(), 2, reader="anna")
        store.decline(first.id, "anna", "holiday")
        given = store.assign(first.id, reader=None, group="lung", by="lea", note="please")
        assert (given.reader, given.group, given.state, given.assigned_by) == (None, "lung", State.OPEN, "lea")
        assert given.reason == "please"
        assert ids(store.worklist("ben")) == [first.id]
        store.claim(second.id, "anna")
        with pytest.raises(Busy, match=rf"Dr\. Anna Berg is reading region {second.number} of case-1"):
            store.assign(second.id, reader="ben", group=None, by="lea")
        clock.go(minutes=30)
        assert store.assign(second.id, reader="BEN", group=None, by="lea").reader == "ben"
        store.submit(make.correction(second, "anna"))
        with pytest.raises(InputError, match="is submitted"):
            store.assign(second.id, reader="ben", group=None, by="lea")

    @pytest.mark.parametrize(
        ("reader", "group"), [(None, None), ("anna", "liver"), ("zoe", None), (None, "heart")], ids=str
    )
    def test_assign_needs_one_known_assignee(self, store, make, reader, group):
        (region,) = make.run(store, make.case(), reader="anna")
        with pytest.raises(InputError):
            store.assign(region.id, reader=reader, group=group, by="lea")
        assert store.items()[0].assignment.reader == "anna"

    def test_assign_an_unknown_region(self, store):
        with pytest.raises(InputError, match="no region"):
            store.assign("ffff", reader="anna", group=None, by="lea")


class TestExchange:
    def two(self, store: Store, make, **second: object) -> tuple[str, str]:
        case = make.case()
        prediction = make.prediction(case)
        a, b = make.region(prediction, 1), make.region(prediction, 2)
        given = second or {"group": "liver"}
        held = [Assignment(region_id=a.id, group="liver"), Assignment(region_id=b.id, **given)]
        store.add_prediction(case, prediction, [a, b], held)
        assert store.claim(a.id, "anna") is not None
        return a.id, b.id

    def holders(self, store: Store) -> dict[str, tuple[State, str | None]]:
        return {i.region.id: (i.assignment.state, i.assignment.holder) for i in store.items()}

    def test_the_first_is_free_and_the_second_is_held(self, store, make, clock):
        a, b = self.two(store, make)
        taken = store.exchange(a, b, "ANNA", 5 * MINUTE)
        assert taken is not None
        assert (taken.region_id, taken.holder, taken.lease_until) == (b, "anna", clock.now + 5 * MINUTE)
        assert self.holders(store) == {a: (State.OPEN, None), b: (State.CLAIMED, "anna")}
        assert store.claim(a, "ben") is not None

    def test_who_comes_too_late_holds_neither(self, store, make):
        a, b = self.two(store, make)
        assert store.claim(b, "ben") is not None
        assert store.exchange(a, b, "anna") is None
        assert self.holders(store) == {a: (State.OPEN, None), b: (State.CLAIMED, "ben")}

    def test_a_region_of_somebody_else_is_not_taken_nor_given_back(self, store, make):
        a, b = self.two(store, make, reader="lea")
        assert store.exchange(a, b, "anna") is None
        assert self.holders(store) == {a: (State.OPEN, None), b: (State.OPEN, None)}
        assert store.claim(b, "lea") is not None
        taken = store.exchange(b, a, "ben")
        assert taken is not None
        assert self.holders(store) == {a: (State.CLAIMED, "ben"), b: (State.CLAIMED, "lea")}

    def test_the_same_region_stays_with_its_reader(self, store, make):
        a, _ = self.two(store, make)
        assert store.exchange(a, a, "anna") is not None
        assert self.holders(store)[a] == (State.CLAIMED, "anna")

    def test_after_an_error_both_are_as_they_were(self, store, make):
        a, b = self.two(store, make)
        before = self.holders(store)
        for arguments in ((a, "00ff", "anna"), ("00ff", b, "anna"), (a, b, "nobody")):
            with pytest.raises(InputError, match=r"no region|nobody"):
                store.exchange(*arguments)
            assert self.holders(store) == before


class TestLeases:
    """Whatever the computer's clock does, nobody loses a region too early, and nobody keeps one for ever."""

    @pytest.mark.parametrize(
        "lease", [timedelta(0), -MINUTE, timedelta(hours=24, seconds=1), timedelta(days=365)], ids=str
    )
    def test_an_implausible_lease_is_refused(self, store, make, lease):
        a, b = make.run(store, make.case(), 2, group="liver")
        with pytest.raises(InputError, match=r"lease of .* is refused"):
            store.claim(a.id, "anna", lease)
        assert store.claim(a.id, "anna") is not None
        with pytest.raises(InputError, match=r"lease of .* is refused"):
            store.exchange(a.id, b.id, "anna", lease)
        assert [i.assignment.holder for i in store.items()] == ["anna", None]

    def test_a_clock_set_back_stops_no_lease_and_revives_none(self, store, make, clock):
        a, b = make.run(store, make.case(), 2, group="liver")
        store.claim(a.id, "anna")
        clock.go(minutes=31)
        store.skip(b.id, "ben")
        clock.go(days=-365)
        assert store.claim(a.id, "ben") is not None
        clock.go(minutes=29)
        assert store.claim(a.id, "anna") is None
        clock.go(minutes=1)
        assert store.claim(a.id, "anna") is not None

    def test_a_clock_set_back_before_the_program_started(self, store_factory, store, make, clock):
        a, b = make.run(store, make.case(), 2, group="liver")
        store.claim(a.id, "anna")
        clock.go(minutes=31)
        store.skip(b.id, "ben")
        clock.go(days=-365)
        assert store_factory().claim(a.id, "ben") is not None

    def test_a_clock_set_forward_by_a_year_ends_no_lease(self, store_factory, store, make, clock):
        a, b = make.run(store, make.case(), 2, group="liver")
        store.claim(a.id, "anna")
        clock.go(days=365)
        for late in (store, store_factory()):
            for region in (a, b):
                with pytest.raises(NotAllowed, match=rf"clock says .* Dr\. Anna Berg was reading region {a.number} of"):
                    late.claim(region.id, "ben")
            assert ids(late.worklist("ben")) == [b.id]
            with pytest.raises(Busy, match="is reading"):
                late.assign(a.id, reader="ben", group=None, by="lea")
            with pytest.raises(Busy, match="is reading"):
                make.run(late, make.case())
        late.skip(b.id, "ben")
        with pytest.raises(NotAllowed, match="clock says"):
            late.claim(a.id, "ben")
        clock.go(days=-365)
        assert store.claim(a.id, "ben") is None
        store.submit(make.correction(a, "anna"))

    def test_a_project_that_rested_for_a_year_goes_on_once_a_lead_has_said_so(self, store, make, clock):
        a, b = make.run(store, make.case(), 2, group="liver")
        store.claim(a.id, "anna")
        clock.go(days=365)
        store.take_back(a.id, "lea")
        now = clock.now
        assert store.claim(b.id, "ben").lease_until == now + 30 * MINUTE
        clock.go(days=365)
        store.submit(make.correction(b, "ben"))
        assert store.claim(a.id, "anna") is not None

    def test_after_a_long_absence_a_reader_goes_on_without_a_lead(self, store_factory, store, make, clock):
        a, b, c = make.run(store, make.case(), 3, group="liver")
        store.claim(a.id, "ben")
        clock.go(days=35)
        late = store_factory()
        assert late.claim(a.id, "BEN").lease_until == clock.now + 30 * MINUTE
        assert late.exchange(a.id, b.id, "ben").holder == "ben"
        clock.go(days=35)
        assert late.take_back(b.id, "ben").state is State.OPEN
        assert late.claim(c.id, "anna") is not None

    def test_others_stay_protected_while_one_goes_on_with_her_own(self, store, make, clock):
        a, b, c = make.run(store, make.case(), 3, group="liver")
        store.claim(a.id, "anna")
        store.claim(b.id, "ben")
        clock.go(days=35)
        assert store.claim(b.id, "ben") is not None
        for region in (a, c):
            with pytest.raises(
                NotAllowed, match=rf"goes on or .* lead does: deferredseg release case-1 {a.number} --by"
            ):
                store.claim(region.id, "ben")
        assert ids(store.worklist("ben")) == [b.id, c.id]
        assert store.release(b.id, "ben")
        assert store.claim(a.id, "anna") is not None
        assert store.claim(b.id, "ben") is not None

    def test_after_a_weekend_a_lease_has_run_out(self, store, make, clock):
        (a,) = make.run(store, make.case(), group="liver")
        store.claim(a.id, "anna")
        clock.go(days=3)
        assert store.claim(a.id, "ben") is not None

    def test_a_lead_takes_a_region_back(self, store, make):
        a, b = make.run(store, make.case(), 2, group="liver")
        store.claim(a.id, "anna")
        with pytest.raises(NotAllowed, match=f"Ben is no lead: .* region {a.number} of case-1"):
            store.take_back(a.id, "ben")
        with pytest.raises(InputError, match=f"nobody is reading region {b.number} of case-1"):
            store.take_back(b.id, "lea")
        with pytest.raises(InputError, match="no region"):
            store.take_back("ffff", "lea")
        assert store.take_back(a.id, "LEA", "she is on holiday").state is State.OPEN
        assert store.claim(a.id, "ben") is not None
        with pytest.raises(Busy, match="Ben has claimed region"):
            store.submit(make.correction(a, "anna"))
