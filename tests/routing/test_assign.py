from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Reader, Region, Role
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.routing.assign import assign

ORGANS = table_from_names({1: "liver", 2: "spleen", 3: "kidney", 4: "aorta"})


def region(name, minutes, label=1, scores=()):
    return Region(
        id=name,
        case_key="c",
        prediction_id="p",
        number=1,
        labels=(label,) if label else (),
        box=((0, 1), (0, 1), (0, 1)),
        mask=np.ones((1, 1, 1), bool),
        volume=1.0,
        center=(0, 0, 0),
        gain=0.5,
        minutes=minutes,
        scores=scores,
    )


def by_region(plan):
    return {a.region_id: a.reader for a in plan.assignments}


minutes = st.integers(2, 30).map(lambda quarter: quarter / 8)
region_lists = st.lists(st.tuples(minutes, st.integers(0, 4)), min_size=1, max_size=40).map(
    lambda rows: [region(f"r{i:02}", m, label) for i, (m, label) in enumerate(rows)]
)
specialities = st.lists(st.sampled_from(["Liver", "SPLEEN", "kidney", "thyroid"]), max_size=2, unique=True).map(tuple)


def reader_lists(speciality=specialities):
    rows = st.tuples(st.integers(1, 480), speciality, st.sampled_from([Role.READER, Role.LEAD]))
    return st.lists(rows, min_size=1, max_size=6).map(
        lambda many: [
            Reader(login=f"d{i}", name=f"D {i}", capacity=c, specialities=s, role=role)
            for i, (c, s, role) in enumerate(many)
        ]
    )


@settings(max_examples=80, deadline=None)
@given(region_lists, reader_lists())
def test_every_region_has_exactly_one_reader(regions, readers):
    plan = assign(regions, readers, ORGANS)
    assert [a.region_id for a in plan.assignments] == [r.id for r in regions]
    assert {a.reader for a in plan.assignments} <= {r.login for r in readers}
    assert all(a.group is None for a in plan.assignments)
    given_to = by_region(plan)
    for r in readers:
        load = sum(x.minutes for x in regions if given_to[x.id] == r.login)
        assert plan.minutes[r.login] == pytest.approx(load)
        assert 0 <= plan.prices[r.login] <= 1


@settings(max_examples=80, deadline=None)
@given(region_lists, reader_lists(st.just(())))
def test_without_specialities_everybody_is_within_a_region_of_their_fair_share(regions, readers):
    plan = assign(regions, readers, ORGANS)
    fair = sum(r.minutes for r in regions) / sum(r.capacity for r in readers)
    longest = max(r.minutes for r in regions)
    for r in readers:
        assert abs(plan.minutes[r.login] - fair * r.capacity) <= longest + 1e-6


@settings(max_examples=80, deadline=None)
@given(region_lists, reader_lists(), st.randoms(), st.integers(0, 5))
def test_the_order_of_readers_and_regions_does_not_matter(regions, readers, random, seed):
    plan = assign(regions, readers, ORGANS, seed=seed)
    other = assign(random.sample(regions, len(regions)), random.sample(readers, len(readers)), ORGANS, seed=seed)
    assert by_region(plan) == by_region(other)


@settings(max_examples=40, deadline=None)
@given(region_lists, reader_lists(), st.sampled_from([0.25, 2.0]))
def test_hours_or_minutes_make_no_difference(regions, readers, factor):
    slower = [region(r.id, r.minutes * factor, r.labels[0] if r.labels else 0) for r in regions]
    longer = [r.model_copy(update={"capacity": r.capacity * factor}) for r in readers]
    assert by_region(assign(regions, readers, ORGANS)) == by_region(assign(slower, longer, ORGANS))


@settings(max_examples=80, deadline=None)
@given(region_lists, st.integers(1, 4))
def test_a_specialist_with_room_gets_what_is_theirs(regions, label):
    name = ORGANS.name(label)
    readers = [
        Reader(login="special", name="S", capacity=480, specialities=(f" {name.upper()}",)),
        Reader(login="general", name="G", capacity=480),
        Reader(login="other", name="O", capacity=480, specialities=("thyroid",)),
    ]
    given_to = by_region(assign(regions, readers, ORGANS))
    for r in regions:
        assert given_to[r.id] == ("special" if r.labels[:1] == (label,) else "general")


def test_a_full_specialist_shares_with_the_generalist_first_and_has_a_price():
    regions = [region(f"r{i}", 1.0, 1) for i in range(30)]
    readers = [
        Reader(login="special", name="S", capacity=10, specialities=("liver",)),
        Reader(login="general", name="G", capacity=10),
        Reader(login="other", name="O", capacity=60, specialities=("aorta",)),
    ]
    plan = assign(regions, readers, ORGANS)
    assert plan.minutes == {"special": 10, "general": 10, "other": 10}
    assert plan.prices["special"] == pytest.approx(1.0)
    assert plan.prices["general"] == pytest.approx(0.75)
    assert plan.prices["other"] == 0


def test_two_specialists_share_evenly_though_the_maximum_is_elsewhere():
    regions = [region(f"l{i}", 1.0, 1) for i in range(8)] + [region(f"s{i}", 1.0, 2) for i in range(40)]
    readers = [
        Reader(login="a", name="A", capacity=60, specialities=("liver",)),
        Reader(login="b", name="B", capacity=60, specialities=("liver",)),
        Reader(login="c", name="C", capacity=60, specialities=("spleen",)),
    ]
    assert assign(regions, readers, ORGANS).minutes == {"a": 4, "b": 4, "c": 40}


def test_what_is_on_the_desk_already_counts():
    regions = [region(f"r{i}", 1.0) for i in range(20)]
    readers = [Reader(login=x, name=x, capacity=60) for x in ("ann", "bob", "cyd")]
    assert assign(regions, readers, ORGANS, busy={"ann": 50, "bob": 10}).minutes == {"ann": 0, "bob": 5, "cyd": 15}


def test_more_than_a_day_holds_is_shared_by_capacity():
    regions = [region(f"r{i}", 2.0) for i in range(60)]
    readers = [Reader(login="half", name="H", capacity=10), Reader(login="full", name="F", capacity=20)]
    assert assign(regions, readers, ORGANS).minutes == {"half": 40, "full": 80}


def test_single_regions_do_not_always_go_to_the_same_person():
    readers = [Reader(login=x, name=x) for x in ("ann", "bob", "cyd")]
    first = {assign([region(f"r{i}", 1.0)], readers, ORGANS).assignments[0].reader for i in range(30)}
    assert first == {"ann", "bob", "cyd"}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("out", [{"capacity": 0}, {"active": False}])
def test_who_has_no_time_or_has_stopped_gets_nothing_and_nobody_is_an_error(role, out):
    resting = Reader(login="root", name="R", role=role, **out)
    for readers in ([], [resting]):
        with pytest.raises(InputError, match=r"no readers yet|nobody reads in this project now: R ") as none:
            assign([region("r", 1.0)], readers, ORGANS)
        assert none.value.command == "deferredseg reader add"
    lead = Reader(login="lead", name="L", role=Role.LEAD)
    assert by_region(assign([region("r", 1.0)], [resting, lead], ORGANS)) == {"r": "lead"}


@settings(max_examples=60, deadline=None)
@given(st.dates(), st.integers(0, 400), st.integers(-500, 500), region_lists)
def test_who_is_absent_on_the_day_gets_nothing_and_on_other_days_their_share(first, length, offset, regions):
    day, last = shifted(first, offset), shifted(first, length)
    absent = Reader(login="away", name="A", absent_from=first, absent_to=last)
    readers = [absent, Reader(login="here", name="H")]
    plan = assign(regions, readers, ORGANS, day=day)
    present = assign(regions, [x.model_copy(update={"absent_from": None, "absent_to": None}) for x in readers], ORGANS)
    if first <= day <= last:
        assert set(by_region(plan).values()) == {"here"}
        with pytest.raises(InputError, match=f"absent on {day}: away until {last}"):
            assign(regions, [absent], ORGANS, day=day)
    else:
        assert by_region(plan) == by_region(present)
    assert by_region(assign(regions, readers, ORGANS)) == by_region(present)


def shifted(day, by):
    return date.fromordinal(min(max(day.toordinal() + by, date.min.toordinal()), date.max.toordinal()))


def test_no_regions_no_assignments():
    plan = assign([], [Reader(login="ann", name="A")], ORGANS)
    assert plan.assignments == []
    assert plan.minutes == {"ann": 0}


gains = st.tuples(*[st.integers(-99, 99).map(lambda percent: percent / 100)] * 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(gains, min_size=1, max_size=20))
def test_mapped_readers_with_room_get_what_they_are_better_at(scores):
    regions = [region(f"r{i:02}", 1.0, scores=both) for i, both in enumerate(scores)]
    readers = [Reader(login=x, name=x, capacity=480) for x in ("first", "second")]
    given_to = by_region(assign(regions, readers, ORGANS, columns={"first": 0, "second": 1}))
    swapped = by_region(assign(regions, readers, ORGANS, columns={"first": 1, "second": 0}))
    for r in regions:
        if r.scores[0] != r.scores[1]:
            better = "first" if r.scores[0] > r.scores[1] else "second"
            assert given_to[r.id] == better != swapped[r.id]


@settings(max_examples=40, deadline=None)
@given(st.lists(gains, min_size=1, max_size=20), reader_lists(), st.integers(0, 3))
def test_scores_count_only_for_those_who_are_mapped(scores, readers, seed):
    scored = [region(f"r{i:02}", 1.0, 1 + i % 4, both) for i, both in enumerate(scores)]
    plain = [region(r.id, 1.0, r.labels[0]) for r in scored]
    without = by_region(assign(plain, readers, ORGANS, seed=seed))
    assert by_region(assign(scored, readers, ORGANS, seed=seed)) == without
    mapped = {readers[0].login: 0, "nobody here": 1}
    assert by_region(assign(plain, readers, ORGANS, seed=seed, columns=mapped)) == without


def test_between_readers_of_about_the_same_gain_the_load_is_even():
    regions = [region(f"r{i}", 1.0, scores=(0.2001 + i / 1e4, 0.2)) for i in range(20)]
    readers = [Reader(login=x, name=x, capacity=60) for x in ("first", "second")]
    assert assign(regions, readers, ORGANS, columns={"first": 0, "second": 1}).minutes == {"first": 10, "second": 10}


def test_a_better_reader_who_is_full_shares_with_the_other():
    regions = [region(f"r{i}", 1.0, scores=(0.5, 0.1)) for i in range(20)]
    readers = [Reader(login="first", name="F", capacity=5), Reader(login="second", name="S", capacity=60)]
    plan = assign(regions, readers, ORGANS, columns={"first": 0, "second": 1})
    assert plan.minutes == {"first": 5, "second": 15}
    assert plan.prices["first"] == pytest.approx(0.4)
