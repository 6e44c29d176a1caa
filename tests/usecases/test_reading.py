"""A reader's way through a worklist: nothing is lost, nothing is said that was not meant, one region has one home."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import State, Verdict, utc_now
from napari_deferredseg.store.base import LEASE
from napari_deferredseg.store.sql import open_sqlite
from napari_deferredseg.usecases.project import DATABASE
from napari_deferredseg.usecases.readers import deactivate
from napari_deferredseg.usecases.reading import read
from napari_deferredseg.usecases.reading.defer import Target, defer_region
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.order import case_after, next_after
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.run import run_external


def sit_down(scene, login: str | None = None, clock=None) -> Session:
    session = Session()
    session.messages = []  # type: ignore[attr-defined]
    session.events.message.connect(session.messages.append)  # type: ignore[attr-defined]
    project = scene.open()
    if clock is not None:
        project.store.close()
        project = replace(project, store=open_sqlite(scene.folder / DATABASE, clock=clock))
    session.set_project(project)
    session.set_case(load_case(session.project, session.project.store.cases()[0].key))
    if login:
        session.choose_reader(login)
    return session


@pytest.fixture
def sitting(scene):
    """Make sessions on the scene's project; those left open are closed."""
    made: list[Session] = []

    def one(login: str | None = None, clock=None) -> Session:
        made.append(sit_down(scene, login, clock))
        return made[-1]

    yield one
    for session in made:
        session.close()


@pytest.fixture
def session(sitting) -> Session:
    return sitting("ben")


def paint(session: Session, value: int = 7, thick: int = 2):
    """Paint the upper slices of the open region."""
    (z, _), y, x = session.reading.item.region.box
    box = ((z, z + thick), y, x)
    session.work[slices(box)] = value
    session.note_change(box)
    return box


def state(session: Session, region_id: str) -> State:
    return next(x for x in session.project.store.items() if x.region.id == region_id).assignment.state


def vanish(session: Session) -> None:
    """End a session as a crash does: the strokes are on the disk, nobody puts anything aside."""
    assert session._saver.flush(10)
    session.project.close()


# what is needed before one can read
def test_who_and_what_must_be_said_first(scene):
    session = Session()
    with pytest.raises(InputError, match="open a project"):
        session.choose_reader("ben")
    assert session.worklist() == []
    session.set_project(scene.open())
    item = session.project.store.items()[0]
    with pytest.raises(InputError, match="who you are"):
        session.begin(item)
    session.choose_reader("Ben Okafor")
    with pytest.raises(InputError, match="is not open"):
        session.begin(item)
    with pytest.raises(InputError, match="known logins"):
        session.choose_reader("zoe")
    assert session.reader.login == "ben"
    for action in (
        session.skip,
        session.reset_to_ai,
        lambda: session.decline("x"),
        lambda: session.submit(Verdict.ACCEPTED),
    ):
        with pytest.raises(InputError, match="open a region"):
            action()
    with pytest.raises(InputError, match="not submitted"):
        session.amend_last()
    session.close()
    assert session.project is None


def test_the_worklist_is_the_readers_own(sitting):
    session = sitting()
    assert session.worklist() == []
    every = {item.region.id for item in session.project.store.items()}
    seen = []
    for login in ("ada", "ben", "lea"):
        session.choose_reader(login)
        seen += [item.region.id for item in session.worklist()]
    assert sorted(seen) == sorted(every)


def test_next_goes_round():
    class Item:
        def __init__(self, name: str) -> None:
            self.region = type("Region", (), {"id": name})

    items: list[Any] = [Item(name) for name in "abc"]
    assert [next_after(items, x, 1).region.id for x in "abc"] == ["b", "c", "a"]
    assert [next_after(items, x, -1).region.id for x in "abc"] == ["c", "a", "b"]
    assert next_after(items, "gone", 1) is items[0]
    assert next_after([], "a", 1) is None


def test_the_case_that_comes_next():
    class Item:
        def __init__(self, name: str) -> None:
            self.region = type("Region", (), {"id": name})
            self.case = type("Case", (), {"key": name[0]})

    items: list[Any] = [Item(name) for name in ("a1", "a2", "b1", "b2", "b3")]
    assert [case_after(items, x, 1) for x in ("a1", "a2", "b1", "b2", "b3")] == ["b", "b", None, "a", "a"]
    assert [case_after(items, x, 0) for x in ("a1", "a2", "b3")] == [None, "b", "a"]
    assert case_after(items[:2], "a1", 9) is None
    assert case_after(items, "gone", 9) is None


# nothing is lost
def test_work_is_back_after_a_crash(sitting):
    before = sitting("ben")
    item = before.worklist()[0]
    before.begin(item)
    before.reading.note = "unsure about the rim"
    paint(before)
    work = before.work.copy()
    vanish(before)
    after = sitting("ben")
    assert not (after.work == 7).any()
    assert after.begin(next(x for x in after.worklist() if x.region.id == item.region.id))
    np.testing.assert_array_equal(after.work, work)
    assert after.messages == ["Your earlier work on this region is back."]
    assert after.reading.note == "unsure about the rim"
    assert after.submit(Verdict.EDITED).note == "unsure about the rim"
    journal = after.project.journal
    after.close()
    assert journal.drafts("ben") == []


def test_only_ones_own_work_comes_back(sitting):
    ben = sitting("ben")
    item = ben.worklist()[0]
    defer_region(ben.project, item.region.id, Target(group="abdomen"), by="lea")
    ben.begin(next(x for x in ben.worklist() if x.region.id == item.region.id))
    paint(ben)
    ben.skip()
    ada = sitting("ada")
    ada.begin(next(x for x in ada.worklist() if x.region.id == item.region.id))
    assert not ada.painted()
    assert ada.messages == []


def test_a_crash_does_not_undo_what_others_settled_meanwhile(sitting):
    ben = sitting("ben")
    item = ben.worklist()[0]
    ben.begin(item)
    box = paint(ben, 7, thick=1)
    vanish(ben)

    ada = sitting("ada")
    other = ada.worklist()[0]
    ada.begin(other)
    (z, _), (y, _), (x, _) = item.region.box
    beyond = ((z + 2, z + 3), (y, y + 1), (x, x + 1))
    ada.work[slices(beyond)] = 5
    ada.note_change(beyond)
    ada.submit(Verdict.EDITED)

    again = sitting("ben")
    again.begin(next(x for x in again.worklist() if x.region.id == item.region.id))
    assert (again.work[slices(box)] == 7).all()
    assert (again.work[slices(beyond)] == 5).all()


def test_what_is_put_aside_waits(session):
    first, second = session.worklist()[:2]
    composed = session.work.copy()
    session.begin(first)
    paint(session)
    painted = session.work.copy()
    session.begin(second)
    np.testing.assert_array_equal(session.work, composed)
    assert state(session, first.region.id) is State.CLAIMED
    session.begin(first)
    np.testing.assert_array_equal(session.work, painted)
    assert state(session, second.region.id) is State.OPEN


def test_an_untouched_region_is_given_back(session):
    item = session.worklist()[0]
    session.begin(item)
    assert state(session, item.region.id) is State.CLAIMED
    session.leave()
    assert state(session, item.region.id) is State.OPEN
    session.begin(item)
    assert session.messages == []
    assert not session.painted()


def test_closing_the_session_keeps_the_draft(sitting):
    session = sitting("ben")
    item = session.worklist()[0]
    session.begin(item)
    paint(session)
    work = session.work.copy()
    session.close()
    again = sitting("ben")
    again.begin(next(x for x in again.worklist() if x.region.id == item.region.id))
    np.testing.assert_array_equal(again.work, work)


def test_another_reader_at_the_same_desk_sees_none_of_it(session):
    item = session.worklist()[0]
    composed = session.work.copy()
    session.begin(item)
    paint(session)
    session.choose_reader("ada")
    assert session.reading is None
    np.testing.assert_array_equal(session.work, composed)
    assert item.region.id not in {x.region.id for x in session.worklist()}


def test_a_skipped_region_comes_last_and_keeps_its_paint(session):
    item = session.worklist()[0]
    session.begin(item)
    paint(session)
    work = session.work.copy()
    session.skip()
    assert session.worklist()[-1].region.id == item.region.id
    assert state(session, item.region.id) is State.SKIPPED
    session.begin(session.worklist()[-1])
    np.testing.assert_array_equal(session.work, work)


def test_declining_needs_a_reason(session):
    item = session.worklist()[0]
    session.begin(item)
    with pytest.raises(InputError, match="few words"):
        session.decline("  ")
    assert session.reading.item.region.id == item.region.id
    session.decline("motion, cannot judge")
    assert session.reading is None
    held = next(x for x in session.project.store.items() if x.region.id == item.region.id).assignment
    assert (held.state, held.reason) == (State.DECLINED, "motion, cannot judge")
    assert item.region.id not in {x.region.id for x in session.worklist()}


# what is said is what was meant
@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.INDETERMINATE, Verdict.POINTLESS])
def test_paint_and_a_verdict_without_edits_contradict_each_other(session, verdict):
    session.begin(session.worklist()[0])
    box = paint(session)
    voxels = (session.work[slices(box)] != session.case.composed[slices(box)]).sum()
    with pytest.raises(InputError, match=f"{voxels} voxels are changed"):
        session.submit(verdict)
    assert session.painted()
    assert session.project.store.corrections() == []
    index, values = session.reset_to_ai()
    session.work[index] = values
    session.note_change(box)
    assert session.submit(verdict).verdict is verdict


def test_edited_without_an_edit_is_refused(session):
    session.begin(session.worklist()[0])
    with pytest.raises(InputError, match="nothing is changed"):
        session.submit(Verdict.EDITED)
    assert session.submit(Verdict.ACCEPTED).verdict is Verdict.ACCEPTED


def test_paint_and_its_undo_are_no_edit(session):
    session.begin(session.worklist()[0])
    before = session.work.copy()
    box = paint(session)
    session.work[...] = before
    session.note_change(box)
    assert session.submit(Verdict.ACCEPTED).verdict is Verdict.ACCEPTED


def test_a_submission_tells_what_the_reader_saw_and_left(session):
    session.begin(session.worklist()[0])
    found = session.work.copy()
    box = paint(session)
    left = session.work.copy()
    correction = session.submit(Verdict.EDITED)
    np.testing.assert_array_equal(correction.before, found[slices(correction.box)])
    np.testing.assert_array_equal(correction.after, left[slices(correction.box)])
    support = np.zeros(found.shape, bool)
    support[slices(correction.box)] = correction.support
    assert support[slices(session.last.region.box)][session.last.region.mask].all()
    assert support[found != left].all()
    assert support[slices(box)][(found != left)[slices(box)]].all()
    assert session.project.store.corrections()[0].id == correction.id
    assert state(session, correction.region_id) is State.SUBMITTED


def test_submitting_twice_is_once(session):
    session.begin(session.worklist()[0])
    paint(session)
    reading = session.reading
    first = session.submit(Verdict.EDITED)
    session.project.store.submit(first)
    assert len(session.project.store.corrections()) == 1
    assert reading.correction_id == first.id
    with pytest.raises(InputError, match="open a region"):
        session.submit(Verdict.EDITED)


def test_amending_keeps_both_and_shows_the_new(session):
    session.begin(session.worklist()[0])
    found = session.work.copy()
    box = paint(session, 7)
    old = session.submit(Verdict.EDITED)
    session.amend_last()
    session.work[slices(box)] = 8
    session.note_change(box)
    new = session.submit(Verdict.EDITED)
    np.testing.assert_array_equal(new.before, found[slices(new.box)])
    assert (session.work[slices(box)] == 8).all()
    store = session.project.store
    assert [c.id for c in store.corrections()] == [new.id]
    assert [c.id for c in store.history(new.region_id)] == [old.id, new.id]
    assert store.verify() == []


def test_an_amendment_that_is_left_changes_nothing(session):
    session.begin(session.worklist()[0])
    box = paint(session, 7)
    old = session.submit(Verdict.EDITED)
    shown = session.work.copy()
    session.amend_last()
    session.work[slices(box)] = 9
    session.note_change(box)
    session.leave()
    np.testing.assert_array_equal(session.work, shown)
    assert [c.id for c in session.project.store.corrections()] == [old.id]
    assert state(session, old.region_id) is State.SUBMITTED
    session.amend_last()
    assert (session.work[slices(box)] == 9).all(), "the draft of the amendment is lost"


def test_an_amendment_that_takes_back_comes_back_after_a_crash(sitting):
    before = sitting("ben")
    item = before.worklist()[0]
    before.begin(item)
    found = before.work.copy()
    paint(before, 7)
    before.submit(Verdict.EDITED)
    before.amend_last()
    before.work[...] = found
    before.note_change(item.region.box)
    vanish(before)
    after = sitting("ben")
    assert after.begin(next(x for x in after.project.store.items() if x.region.id == item.region.id))
    np.testing.assert_array_equal(after.work, found)
    assert after.submit(Verdict.ACCEPTED).supersedes


def test_a_submission_of_another_window_is_shown_when_it_is_amended_here(sitting):
    first, second = sitting("ben"), sitting("ben")
    item = first.worklist()[0]
    first.begin(item)
    paint(first, 7)
    sent = first.submit(Verdict.EDITED)
    assert second.begin(next(x for x in second.project.store.items() if x.region.id == item.region.id))
    np.testing.assert_array_equal(second.work, first.work)
    np.testing.assert_array_equal(second.reading.before, sent.before[tuple(slice(0, n) for n in sent.before.shape)])
    second.leave()
    np.testing.assert_array_equal(second.work, first.work)


def test_reset_to_the_ai_reaches_only_what_the_reader_answers_for(session):
    item = session.worklist()[0]
    session.begin(item)
    paint(session)
    index, values = session.reset_to_ai()
    session.work[index] = values
    np.testing.assert_array_equal(session.work, session.case.labels)
    assert not session.painted()


def test_active_time_leaves_pauses_out(session):
    now = utc_now()
    item = session.worklist()[0]
    case = session.case
    reading = read.begin(session.project, case, item, session.reader, case.composed.copy(), now)
    for seconds in (5, 15, 15 + 600, 15 + 600 + 20, 15 + 600 + 10):  # a pause of ten minutes; a clock set back
        reading.touch(now + timedelta(seconds=seconds))
    correction = read.submit(reading, Verdict.ACCEPTED, now + timedelta(seconds=630))
    assert correction.active_seconds == pytest.approx(5 + 10 + 20 + 5)
    assert correction.started == now


# one region, one reader
def test_of_two_readers_one_gets_a_groups_region(sitting):
    ada, ben = sitting("ada"), sitting("ben")
    item = ada.project.store.items()[0]
    defer_region(ada.project, item.region.id, Target(group="abdomen"), by="lea")
    for session in (ada, ben):
        assert item.region.id in {x.region.id for x in session.worklist()}
    wanted = {s.reader.login: next(x for x in s.worklist() if x.region.id == item.region.id) for s in (ada, ben)}
    assert ada.begin(wanted["ada"])
    assert not ben.begin(wanted["ben"])
    assert ben.messages == [f"Region {item.region.number} is being read by somebody else."]
    assert ben.reading is None
    assert item.region.id not in {x.region.id for x in ben.worklist()}
    ada.leave()
    assert ben.begin(wanted["ben"])


def test_of_two_readers_at_the_same_moment_one_gets_it(sitting):
    sessions = [sitting("ada"), sitting("ben")]
    regions = [item.region.id for item in sessions[0].project.store.items()]
    for region_id in regions:
        defer_region(sessions[0].project, region_id, Target(group="abdomen"), by="lea")
    for region_id in regions:
        items = [next(x for x in s.worklist() if x.region.id == region_id) for s in sessions]
        gate = threading.Barrier(2)
        got: dict[str, Any] = {}

        def go(n: int, items=items, gate=gate, got=got) -> None:
            gate.wait()
            got[n] = sessions[n].begin(items[n])

        threads = [threading.Thread(target=go, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got.values()) == [False, True]
        for session in sessions:
            session.leave()


def test_a_claim_that_ran_out_goes_to_whoever_asks_and_the_late_one_is_told(sitting):
    ada, ben = sitting("ada"), sitting("ben", clock=lambda: utc_now() + 2 * LEASE)
    store = ada.project.store
    region_id = store.items()[0].region.id
    defer_region(ada.project, region_id, Target(group="abdomen"), by="lea")
    item = next(x for x in store.items() if x.region.id == region_id)
    late = read.begin(ada.project, ada.case, item, ada.reader, ada.work, utc_now())
    assert late is not None
    assert ben.begin(next(x for x in ben.worklist() if x.region.id == region_id))
    with pytest.raises(Busy, match="Ben Okafor has claimed region"):
        read.submit(late, Verdict.ACCEPTED, utc_now())
    ben.submit(Verdict.ACCEPTED)
    with pytest.raises(Busy):
        read.submit(late, Verdict.ACCEPTED, utc_now())
    assert [c.reader for c in store.corrections()] == ["ben"]


def test_work_handed_in_late_counts_when_nobody_else_took_it(sitting):
    now = [utc_now()]
    session = sitting("ben", clock=lambda: now[0])
    item = session.worklist()[0]
    late = read.begin(session.project, session.case, item, session.reader, session.work, now[0])
    now[0] += 2 * LEASE
    assert read.submit(late, Verdict.ACCEPTED, utc_now()).region_id == item.region.id
    assert state(session, item.region.id) is State.SUBMITTED


def test_a_worklist_to_its_end(session):
    total = len(session.worklist())
    seen = []
    while items := session.worklist():
        assert session.begin(items[0])
        seen.append(session.reading.item.region.number)
        if len(seen) % 2:
            paint(session)
        session.submit(Verdict.EDITED if session.painted() else Verdict.ACCEPTED)
    assert len(seen) == total
    assert all(a < b for a, b in pairwise(seen))
    assert len(session.project.store.corrections(reader=session.reader.login)) == total
    assert session.project.store.verify() == []


# two windows of one reader
def both_open(sitting):
    first, second = sitting("ben"), sitting("ben")
    item = first.worklist()[0]
    assert first.begin(item)
    assert first.messages == []
    assert second.begin(item)
    number = item.region.number
    assert second.messages == [f"Region {number} is open in another window of yours, too: submit it in one of them."]
    return first, second, item


def test_the_second_window_is_told_and_each_keeps_its_own_draft(sitting):
    first, second, item = both_open(sitting)
    paint(first, 7, thick=1)
    paint(second, 8)
    works = [first.work.copy(), second.work.copy()]
    assert first._saver.flush(10)
    assert second._saver.flush(10)
    drafts = first.project.journal.of_region("ben", item.region.id)
    assert {d.id for d in drafts} == {first.reading.correction_id, second.reading.correction_id}
    sent = first.submit(Verdict.EDITED)
    assert first._saver.flush(10)
    assert [d.id for d in first.project.journal.drafts("ben")] == [second.reading.correction_id]
    with pytest.raises(InputError, match=f"submitted region {item.region.number} of .* in another window"):
        second.submit(Verdict.EDITED)
    np.testing.assert_array_equal(second.work, works[1])
    again = next(x for x in second.project.store.items() if x.region.id == item.region.id)
    assert second.begin(again)
    np.testing.assert_array_equal(second.work, works[1])
    assert second.submit(Verdict.EDITED).supersedes == sent.id
    assert second._saver.flush(10)
    assert second.project.journal.drafts("ben") == []
    assert len(second.project.store.history(item.region.id)) == 2


def test_the_drafts_of_two_windows_outlive_both(sitting):
    first, second, item = both_open(sitting)
    paint(first, 7, thick=1)
    paint(second, 8)
    work = second.work.copy()
    vanish(first)
    vanish(second)
    third = sitting("ben")
    assert third.begin(item)
    np.testing.assert_array_equal(third.work, work)
    assert third.messages == ["Your earlier work on this region is back."]
    drafts = third.project.journal.of_region("ben", item.region.id)
    assert {int(d.after.max()) for d in drafts} == {7, 8}
    third.submit(Verdict.EDITED)
    assert third._saver.flush(10)
    (kept,) = third.project.journal.drafts("ben")
    assert int(kept.after.max()) == 7


def test_leaving_one_window_does_not_give_the_other_ones_region_away(sitting):
    first, second, item = both_open(sitting)
    second.leave()
    assert state(first, item.region.id) is State.CLAIMED
    assert second.begin(item)
    assert second.begin(second.worklist()[1])
    assert state(first, item.region.id) is State.CLAIMED
    first.leave()
    assert state(first, item.region.id) is State.OPEN


def test_a_draft_of_an_earlier_version_is_taken_up(sitting):
    before = sitting("ben")
    item = before.worklist()[0]
    before.begin(item)
    paint(before)
    work, draft = before.work.copy(), before.reading.draft(utc_now())
    vanish(before)
    journal = before.project.journal
    journal.discard("ben", item.region.id, draft.id)
    journal.save(replace(draft, id="", supersedes=""))
    after = sitting("ben")
    assert after.begin(item)
    np.testing.assert_array_equal(after.work, work)
    assert [d.id for d in journal.drafts("ben")] == [after.reading.correction_id]
    after.submit(Verdict.EDITED)
    assert after._saver.flush(10)
    assert journal.drafts("ben") == []


def test_a_draft_that_was_submitted_before_the_crash_does_not_come_back(sitting):
    before = sitting("ben")
    item = before.worklist()[0]
    before.begin(item)
    paint(before)
    draft = before.reading.draft(utc_now() + timedelta(days=1))  # a clock that was set back since
    draft = replace(draft, before=draft.before.copy(), after=np.full_like(draft.after, 9))
    before.submit(Verdict.EDITED)
    vanish(before)
    before.project.journal.save(draft)
    after = sitting("ben")
    assert after.begin(next(x for x in after.project.store.items() if x.region.id == item.region.id))
    assert not after.reading.recovered
    assert (after.work != 9).all()


def test_what_another_window_has_submitted_is_said(sitting):
    first, second = sitting("ben"), sitting("ben")
    item = second.worklist()[0]
    first.begin(item)
    first.submit(Verdict.ACCEPTED)
    assert not second.begin(item)
    assert second.messages == [
        f"You have submitted region {item.region.number} in another window: open it again to amend that."
    ]


def test_what_another_window_has_declined_is_said(sitting):
    first, second = sitting("ben"), sitting("ben")
    a, b = second.worklist()
    second.begin(a)
    first.begin(next(x for x in first.worklist() if x.region.id == a.region.id))
    first.decline("too hard")
    declined = f"You have declined region {a.region.number} in another window"
    for action in (second.skip, lambda: second.decline("me too")):
        with pytest.raises(Busy, match=f"{declined}.* Go on with N; what you painted is kept"):
            action()
    assert not second.begin(a)
    assert second.messages[-1].startswith(declined)
    assert second.begin(b)
    first.begin(next(x for x in first.worklist() if x.region.id == b.region.id))
    first.skip()
    with pytest.raises(Busy, match=f"You have put off region {b.region.number} in another window"):
        second.skip()


def test_what_others_of_a_group_have_declined_is_not_called_assigned(sitting):
    ada, ben = sitting("ada"), sitting("ben")
    item = ada.project.store.items()[0]
    defer_region(ada.project, item.region.id, Target(group="abdomen"), by="lea")
    wanted = next(x for x in ben.worklist() if x.region.id == item.region.id)
    ada.begin(next(x for x in ada.worklist() if x.region.id == item.region.id))
    ada.decline("not my field")
    assert not ben.begin(wanted)
    assert ben.messages == [f"Region {item.region.number} waits to be assigned anew: not my field."]


def test_that_a_newer_run_has_replaced_a_region_is_said(sitting, scene):
    ben = sitting("ben")
    item = ben.worklist()[0]
    run_external(ben.project, scene.files, Budget(amount=2, unit="regions"))
    assert not ben.begin(item)
    assert ben.messages == [f"Region {item.region.number} is not to be read any more: a newer run has replaced it."]


def test_that_a_region_was_given_to_somebody_else_is_said(sitting):
    ben = sitting("ben")
    item = ben.worklist()[0]
    defer_region(ben.project, item.region.id, Target(reader="ada"), by="lea")
    assert not ben.begin(item)
    assert ben.messages == [f"Region {item.region.number} is not yours to read any more: it was assigned anew."]


@pytest.mark.parametrize("since", [timedelta(0), LEASE / 2])
def test_a_reader_is_told_at_the_next_stroke_that_a_lead_took_the_region_back(sitting, monkeypatch, since):
    ben, lea = sitting("ben"), sitting("lea")
    lost: list[str] = []
    ben.events.claim_lost.connect(lost.append)
    item = ben.worklist()[0]
    assert ben.begin(item)
    paint(ben, thick=1)
    assert ben._saver.flush(10)
    assert lost == []
    lea.release(item)
    monkeypatch.setattr(ben.reading, "claimed", ben.reading.claimed - since)
    paint(ben)
    assert ben._saver.flush(10)
    assert len(lost) == 1
    name = lea.reader.name
    assert lost[0] == (
        f"Region {item.region.number}: {name} has released it. Submit still takes it. What you painted is kept."
    )
    assert state(lea, item.region.id) is State.OPEN
    ben.submit(Verdict.EDITED)
    assert state(lea, item.region.id) in (State.SUBMITTED, State.SETTLED)


def test_a_reader_who_was_deactivated_is_told_at_the_next_stroke(sitting):
    ben = sitting("ben")
    lost: list[str] = []
    ben.events.claim_lost.connect(lost.append)
    assert ben.begin(ben.worklist()[0])
    deactivate(ben.project, "ben")
    paint(ben)
    assert ben._saver.flush(10)
    assert lost == ["You were deactivated in this project; what you painted is kept as a draft: ask an admin."]


def test_what_is_submitted_right_after_a_stroke_is_not_called_lost(sitting):
    ben = sitting("ben")
    lost: list[str] = []
    ben.events.claim_lost.connect(lost.append)
    for item in ben.worklist()[:3]:
        assert ben.begin(item)
        paint(ben)
        ben.submit(Verdict.EDITED)
        assert ben._saver.flush(10)
    assert lost == []


def test_panels_get_facts_and_no_store(sitting):
    ben, nobody = sitting("ben"), Session()
    assert (nobody.readers(), nobody.cases(), nobody.regions(), nobody.rows(), nobody.facts()) == ((), (), [], (), None)
    assert [x.login for x in ben.readers()] == [x.login for x in ben.project.store.readers()]
    assert [row.key for row in ben.cases()] == [case.key for case in ben.project.store.cases()]
    rows = ben.rows()
    assert [row.item for row in rows] == ben.worklist()
    assert ben.progress().regions == len(rows)
    assert ben.progress().minutes == pytest.approx(sum(row.item.region.minutes for row in rows))
    table = ben.case.prediction.table
    assert all(row.about == (", ".join(table.name(v) for v in row.item.region.labels[:2]) or "new") for row in rows)
    assert ben.begin(rows[0].item)
    assert ben.facts().number == rows[0].item.region.number
    assert ben.facts().question == ben.reading.question()
    assert ben.changes(ben.regions()).voxels == 0
    paint(ben)
    assert ben.changes(ben.regions()).voxels == ben.reading.changed_voxels > 0
    ben.submit(Verdict.EDITED)
    assert [row.item.assignment.state.is_done for row in ben.rows(ben.regions())] == [False] * (len(rows) - 1) + [True]


def test_who_sends_a_region_is_said_first(sitting):
    nobody, ben = sitting(), sitting("ben")
    item = ben.worklist()[0]
    with pytest.raises(InputError, match="say who you are first"):
        nobody.send(item, Target(reader="ada"))
    heard: list[int] = []
    ben.events.worklist.connect(lambda: heard.append(1))
    sent = ben.send(item, Target(reader="ada"), "look at the rim")
    assert (sent.number, sent.to) == (item.region.number, ben.project.store.reader("ada").name)
    assert heard == [1]
