"""Regions go to a reader, to a group, or to whom the router chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import Busy, InputError, NotAllowed
from napari_deferredseg.core.records import Origin, Reader, State, Verdict, utc_now
from napari_deferredseg.usecases.readers import deactivate
from napari_deferredseg.usecases.reading.defer import ROUTER, Target, defer_drawn, defer_region, release_region
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.read import begin, submit
from napari_deferredseg.usecases.record.verify import verify_project
from napari_deferredseg.usecases.running.run import run_external


@pytest.fixture
def project(scene):
    with scene.open() as opened:
        yield opened


@pytest.fixture
def case(project):
    return load_case(project, project.store.cases()[0].key)


@pytest.fixture
def ball(case):
    """An outline that somebody drew: a ball across the border of the liver."""
    z, y, x = np.indices(case.labels.shape)
    return (z - 12) ** 2 + (y - 20) ** 2 + (x - 21) ** 2 < 20


def on_worklist(project, login: str) -> set[str]:
    return {item.region.id for item in project.store.worklist(login)}


def test_a_region_goes_from_one_reader_to_another(project):
    item = next(x for x in project.store.items() if x.assignment.reader == "ben")
    given = defer_region(project, item.region.id, Target(reader="Ada Moreau"), by="lea", note="your field")
    assert (given.reader, given.state, given.assigned_by, given.reason) == ("ada", State.OPEN, "lea", "your field")
    assert item.region.id in on_worklist(project, "ada")
    assert item.region.id not in on_worklist(project, "ben")
    (found,) = [x for x in project.store.worklist("ada") if x.region.id == item.region.id]
    assert found.note == "your field"
    project.store.decline(item.region.id, "ada", "on leave")
    (found,) = [x for x in project.store.items() if x.region.id == item.region.id]
    assert found.note == ""


def test_a_region_goes_to_a_group_and_every_member_sees_it(project):
    item = project.store.items()[0]
    defer_region(project, item.region.id, Target(group="abdomen"), by="lea")
    seen = {login: item.region.id in on_worklist(project, login) for login in ("ada", "ben", "lea")}
    assert seen == {"ada": True, "ben": True, "lea": False}


def test_the_router_minds_who_is_busy(project):
    project.store.add_reader(Reader(login="zoe", name="Zoe", capacity=600))
    item = project.store.items()[0]
    assert defer_region(project, item.region.id, ROUTER, by="lea").reader == "zoe"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(group="thorax"), r"'thorax'; known groups: abdomen"),
        (Target(reader="nobody"), r"'nobody'; known logins: ada, ben, lea"),
    ],
)
def test_an_unknown_target_changes_nothing(project, case, ball, target, message):
    before = project.store.items()
    with pytest.raises(InputError, match=message):
        defer_region(project, before[0].region.id, target, by="lea")
    with pytest.raises(InputError, match=message):
        defer_drawn(project, case, ball, target, by="lea")
    assert [x.assignment for x in project.store.items()] == [x.assignment for x in before]


def test_who_was_deactivated_gets_neither_a_region_nor_a_drawn_one(project, case, ball):
    deactivate(project, "ben", "lea")
    before = project.store.items()
    with pytest.raises(NotAllowed, match=r"Ben Okafor .* was deactivated"):
        defer_region(project, before[0].region.id, Target(reader="ben"), by="lea")
    with pytest.raises(NotAllowed, match=r"Ben Okafor .* was deactivated"):
        defer_drawn(project, case, ball, Target(reader="ben"), by="lea")
    assert [x.assignment for x in project.store.items()] == [x.assignment for x in before]


def test_an_unknown_region(project):
    with pytest.raises(InputError, match="no region"):
        defer_region(project, "ab12", Target(reader="ada"), by="lea")


def test_a_region_that_is_being_read_stays(project):
    item = project.store.items()[0]
    project.store.claim(item.region.id, item.assignment.reader)
    for target in (ROUTER, Target(reader="lea"), Target(group="abdomen")):
        with pytest.raises(Busy, match="is reading"):
            defer_region(project, item.region.id, target, by="lea")


def test_a_lead_gives_back_what_nobody_reads_any_more(project):
    item = next(x for x in project.store.items() if x.assignment.reader == "ben")
    key, number = item.case.key, item.region.number
    with pytest.raises(InputError, match=f"nobody is reading region {number} of {key}"):
        release_region(project, key, number, "lea")
    project.store.claim(item.region.id, "ben")
    with pytest.raises(NotAllowed, match=r"Ada Moreau .* is for a lead or an admin: Lea Brandt"):
        release_region(project, key, number, "ada")
    with pytest.raises(InputError, match=f"{key} has no region 99"):
        release_region(project, key, 99, "lea")
    release_region(project, key, number, "Lea Brandt")
    held = next(x.assignment for x in project.store.items() if x.region.id == item.region.id)
    assert (held.state, held.holder, held.reader) == (State.OPEN, None, "ben")


def test_whoever_holds_a_region_gives_it_back_without_a_lead(project):
    item = next(x for x in project.store.items() if x.assignment.reader == "ben")
    project.store.claim(item.region.id, "ben")
    release_region(project, item.case.key, item.region.number, "ben")
    held = next(x.assignment for x in project.store.items() if x.region.id == item.region.id)
    assert (held.state, held.holder) == (State.OPEN, None)


def test_no_two_regions_of_a_case_have_one_number_after_another_run(project, case, ball, scene):
    other = np.roll(ball, 3, axis=0)
    drawn = [defer_drawn(project, case, mask, Target(reader="ben"), by="ada") for mask in (ball, other)]
    reading = begin(
        project, case, project.store.worklist("ben")[0], project.store.reader("ben"), case.composed, utc_now()
    )
    submit(reading, Verdict.ACCEPTED, utc_now())
    stay = {reading.item.region.number, *(region.number for region in drawn)}
    report = run_external(project, scene.files, Budget(amount=2, unit="regions"))
    numbers = [region.number for region in report.regions]
    assert numbers == [max(stay) + 1, max(stay) + 2]
    again = defer_drawn(project, load_case(project, case.record.key), ball, Target(reader="ada"), by="ada")
    assert again.number == max(numbers) + 1
    kept = {x.region.id: x.region.number for x in project.store.items()}
    assert len(set(kept.values())) == len(kept)
    assert [kept[region.id] for region in report.regions] == numbers
    assert verify_project(project).problems == ()


def test_without_anything_that_stays_another_run_begins_at_one(project, scene):
    report = run_external(project, scene.files, Budget(amount=2, unit="regions"))
    assert [region.number for region in report.regions] == [1, 2]


def test_of_two_regions_of_one_number_the_one_that_is_read_is_given_back(project, monkeypatch):
    """As in a project in which an earlier version gave one number twice."""
    a, b = [x for x in project.store.items() if x.assignment.reader == "ben"][:2]
    doubled = [replace(x, region=replace(x.region, number=7)) for x in (a, b)]
    key, listed = a.case.key, project.store.items
    with monkeypatch.context() as patch:
        standing = {x.region.id: x for x in doubled}

        def items(*, case_key=None):
            return [replace(x, region=standing[x.region.id].region) for x in listed() if x.region.id in standing]

        patch.setattr(project.store, "items", items)
        project.store.claim(b.region.id, "ben")
        assert release_region(project, key, 7, "lea").id == b.region.id
        project.store.claim(a.region.id, "ben")
        project.store.claim(b.region.id, "ben")
        with pytest.raises(InputError, match=r"2 regions 7 that are being read, by Ben .*: choose the one in napari"):
            release_region(project, key, 7, "lea")


def test_a_declined_region_comes_back_to_somebody(project):
    item = next(x for x in project.store.items() if x.assignment.reader == "ben")
    project.store.claim(item.region.id, "ben")
    project.store.decline(item.region.id, "ben", "not my field")
    assert item.region.id not in on_worklist(project, "ben")
    assert defer_region(project, item.region.id, Target(reader="lea"), by="lea").state is State.OPEN
    assert item.region.id in on_worklist(project, "lea")


def test_what_is_drawn_becomes_a_region(project, case, ball):
    numbers = {item.region.number for item in project.store.items()}
    made = defer_drawn(project, case, ball, Target(reader="lea"), by="ada", note="look here")
    item = next(x for x in project.store.worklist("lea") if x.region.id == made.id)
    region = item.region
    assert region.box == bounding_box(ball)
    np.testing.assert_array_equal(region.mask, ball[slices(region.box)])
    assert region.volume == pytest.approx(ball.sum() * case.record.geometry.voxel_volume)
    np.testing.assert_allclose(case.record.geometry.index(region.center), (12, 20, 21), atol=1.01)
    assert (region.origin, region.note, item.assignment.assigned_by) == (Origin.DRAWN, "look here", "ada")
    assert region.labels == (1,)
    assert 0.1 <= region.minutes <= 10
    assert region.number not in numbers


def test_what_is_drawn_beside_an_organ_asks_about_it(project, case):
    drawn = np.zeros(case.labels.shape, bool)
    drawn[10, 20, 22:25] = True
    assert not case.labels[drawn].any()
    assert defer_drawn(project, case, drawn, ROUTER, by="lea").labels == (1,)


def test_what_is_drawn_far_from_everything_has_no_label(project, case):
    drawn = np.zeros(case.labels.shape, bool)
    drawn[23, 39, 43] = True
    made = defer_drawn(project, case, drawn, ROUTER, by="lea")
    assert made.labels == ()
    assert made.id in set().union(*(on_worklist(project, login) for login in ("ada", "ben", "lea")))


def test_nothing_drawn(project, case):
    before = len(project.store.items())
    with pytest.raises(InputError, match="nothing is drawn"):
        defer_drawn(project, case, np.zeros(case.labels.shape, bool), ROUTER, by="lea")
    assert len(project.store.items()) == before


def test_drawn_regions_outlive_another_run(scene, project, case, ball):
    made = defer_drawn(project, case, ball, Target(reader="ada"), by="lea")
    run_external(project, scene.files, Budget(amount=1, unit="regions"))
    assert {x.region.id for x in project.store.items()} >= {made.id}
    assert made.id in on_worklist(project, "ada")


def test_what_is_submitted_is_not_given_away(project, case):
    item = project.store.items()[0]
    reader = project.store.reader(item.assignment.reader)
    reading = begin(project, case, item, reader, case.composed.copy(), utc_now())
    submit(reading, Verdict.ACCEPTED, utc_now())
    with pytest.raises(InputError, match="is submitted"):
        defer_region(project, item.region.id, Target(reader="lea"), by="lea")
