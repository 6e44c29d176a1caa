"""A database that others write to holds up no window, and a key pressed twice claims once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager

from qtpy.QtCore import Qt


@contextmanager
def somebody_writes(desk):
    """Hold the database's lock."""
    path = desk.session.project.folder / "project.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def on_which_threads(desk, monkeypatch) -> set[str]:
    """Names of the threads that claims are made on from now on."""
    store, seen = desk.session.project.store, set()
    for name in ("claim", "exchange"):
        real = getattr(store, name)

        def noted(*given, real=real):
            seen.add(threading.current_thread().name)
            return real(*given)

        monkeypatch.setattr(store, name, noted)
    return seen


def test_no_claim_holds_the_window_up_and_none_is_made_twice(desk, monkeypatch):
    desk.sit_down()
    threads = on_which_threads(desk, monkeypatch)
    desk.open_row(1)
    assert desk.number == 1
    desk.paint(7)
    painted = desk.session.work.copy()
    with somebody_writes(desk):
        desk.key(Qt.Key.Key_N)
        assert desk.number == 1, "the window did not wait"
        desk.wait(lambda: "Asking for region 2" in desk.notice)
        desk.key(Qt.Key.Key_N)
        desk.key(Qt.Key.Key_K)
        assert "Still asking for region 2" in desk.notice
        desk.paint(8, down=1, right=1)
        later = desk.session.work.copy()
    assert (later != painted).any()
    desk.wait(lambda: desk.number == 2)
    assert desk.session.project.store.corrections() == []
    assert "Asking" not in desk.notice
    desk.settle()
    held = {x.region.number for x in desk.store.items() if x.assignment.holder == "ada"}
    assert held == {1, 2}
    desk.open_row(1)
    assert (desk.session.work == later).all(), "what was painted while the claim was under way is lost"
    assert threads
    assert all(name.startswith("deferredseg-claim") for name in threads)


def test_a_window_that_closes_while_it_asks_gives_the_region_back(desk):
    desk.sit_down()
    desk.open_row(1)
    with somebody_writes(desk):
        desk.key(Qt.Key.Key_N)
        desk.wait(lambda: "Asking for region 2" in desk.notice)
    desk.seat._claims.close()
    states = {x.region.number: x.assignment.holder for x in desk.store.items()}
    assert states[2] is None


def test_a_lead_releases_what_somebody_does_not_read_any_more(desk):
    desk.sit_down("ada")
    desk.say_who("lea")
    desk.store.claim(next(x for x in desk.store.items() if x.region.number == 1).region.id, "ada")
    desk.seat.refresh_lists()
    defer = desk.panels["defer"]
    assert defer.release.isHidden()
    desk.seat.picture.pick(next(x for x in desk.seat.items if x.region.number == 1))
    assert not defer.release.isHidden()
    desk.click(defer.release)
    assert "Region 1 waits again" in defer.notice.text()
    assert defer.release.isHidden()
    assert next(x for x in desk.store.items() if x.region.number == 1).assignment.holder is None
