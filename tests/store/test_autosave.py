from __future__ import annotations

import statistics
import threading
import time

import numpy as np
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import utc_now
from napari_deferredseg.store.drafts.journal import AutoSave, Journal


class Heard:
    """What the callbacks said, and on which threads."""

    def __init__(self) -> None:
        self.saved, self.errors, self.threads = [], [], set()

    def on_saved(self, draft) -> None:
        self.saved.append(draft.active_seconds)
        self.threads.add(threading.get_ident())

    def on_error(self, line: str) -> None:
        self.errors.append(line)
        self.threads.add(threading.get_ident())


class SlowDisk(Journal):
    """A journal whose `save` waits in the middle until it is told to go on."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def save(self, draft) -> None:
        self.begun.set()
        assert self.go_on.wait(10)
        super().save(draft)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def saver(journal, heard):
    saver = AutoSave(journal, heard.on_saved, heard.on_error)
    yield saver
    saver.close()


def test_after_flush_the_last_one_is_on_the_disk(saver, journal, heard, make):
    assert saver.saved_at is None
    before = utc_now()
    for seed in range(50):
        saver.put(make.draft(seed))
    assert saver.flush(10) is True
    assert journal.load("anna", "ab12").active_seconds == 49
    assert before <= saver.saved_at <= utc_now()
    assert heard.saved[-1] == 49
    assert heard.saved == sorted(heard.saved)
    assert heard.errors == []
    assert heard.threads.isdisjoint({threading.get_ident()})


def test_one_region_does_not_push_out_another(saver, journal, make):
    for region in ("0a", "0b", "0c"):
        for seed in range(5):
            saver.put(make.draft(seed, region_id=region))
    assert saver.flush(10)
    assert [journal.load("anna", region).active_seconds for region in ("0a", "0b", "0c")] == [4, 4, 4]


def test_later_strokes_do_not_leak_into_what_was_put(saver, journal, make):
    draft = make.draft(1)
    expected = draft.after.copy()
    saver.put(draft)
    draft.after[:] = 7
    saver.flush(10)
    assert np.array_equal(journal.load("anna", "ab12").after, expected)


def test_a_vanished_folder_is_told_and_tried_again(tmp_path, heard, make):
    home = tmp_path / "disk"
    journal = Journal(home / "journal")
    saver = AutoSave(journal, heard.on_saved, heard.on_error)
    saver.put(make.draft(1, region_id="0a"))
    assert saver.flush(10) is False
    assert heard.saved == []
    assert heard.errors
    assert all("not saved" in line and "\n" not in line for line in heard.errors)
    assert saver.saved_at is None
    home.mkdir()
    saver.put(make.draft(2, region_id="0b"))
    assert saver.close() is True
    assert [journal.load("anna", region).active_seconds for region in ("0a", "0b")] == [1, 2]


def test_a_listeners_mistake_does_not_end_the_saving(journal, make, caplog):
    def broken(_):
        raise RuntimeError("listener")

    saver = AutoSave(journal, broken, broken)
    for seed in range(3):
        saver.put(make.draft(seed))
        assert saver.flush(10)
    assert saver.close()
    assert journal.load("anna", "ab12").active_seconds == 2
    assert "listener" in caplog.text


def test_what_is_discarded_does_not_come_back(saver, journal, make):
    for seed in range(30):
        saver.put(make.draft(seed))
        saver.discard("anna", "ab12", "")
    assert saver.flush(10)
    assert journal.load("anna", "ab12") is None


def test_what_is_put_after_a_discard_stays(tmp_path, heard, make):
    class SlowDiscard(SlowDisk):
        def save(self, draft) -> None:
            Journal.save(self, draft)

        def discard(self, *given) -> None:
            self.begun.set()
            assert self.go_on.wait(10)
            super().discard(*given)

    disk = SlowDiscard(tmp_path / "journal")
    saver = AutoSave(disk, heard.on_saved, heard.on_error)
    saver.put(make.draft(1))
    assert saver.flush(10)
    saver.discard("anna", "ab12", "")
    assert disk.begun.wait(10)
    saver.put(make.draft(2))
    disk.go_on.set()
    assert saver.close() is True
    assert disk.load("anna", "ab12").active_seconds == 2


def test_what_is_put_during_a_save_is_saved_next(tmp_path, heard, make):
    disk = SlowDisk(tmp_path / "journal")
    saver = AutoSave(disk, heard.on_saved, heard.on_error)
    saver.put(make.draft(1))
    assert disk.begun.wait(10)
    saver.put(make.draft(2))
    assert saver.flush(0.05) is False
    disk.go_on.set()
    assert saver.close() is True
    assert disk.load("anna", "ab12").active_seconds == 2


def test_a_discard_does_not_wait_for_the_save_under_way_and_outlasts_it(tmp_path, heard, make):
    disk = SlowDisk(tmp_path / "journal")
    saver = AutoSave(disk, heard.on_saved, heard.on_error)
    saver.put(make.draft(1))
    assert disk.begun.wait(10)
    saver.discard("anna", "ab12", "")
    assert not disk.go_on.is_set()
    disk.go_on.set()
    assert saver.close() is True
    assert heard.saved == [1]
    assert disk.load("anna", "ab12") is None


def test_a_draft_that_cannot_be_deleted_holds_nobody_up(tmp_path, heard, make, caplog):
    class Locked(Journal):
        def discard(self, *given) -> None:
            raise InputError("the draft is locked")

    journal = Locked(tmp_path / "journal")
    saver = AutoSave(journal, heard.on_saved, heard.on_error)
    saver.put(make.draft(1))
    saver.discard("anna", "ab12", "")
    assert saver.flush(10) is True
    assert heard.errors == []
    assert "the draft is locked" in caplog.text
    assert saver.close() is True


def test_the_draft_of_another_window_outlasts_a_discard(saver, journal, make):
    journal.save(make.draft(3, id="0b"))
    saver.put(make.draft(4, id="0c"))
    saver.discard("anna", "ab12", "0a")
    assert saver.flush(10)
    assert {d.active_seconds for d in journal.drafts("anna")} == {3, 4}
    saver.discard("anna", "ab12", "0c")
    assert saver.flush(10)
    assert [d.id for d in journal.drafts("anna")] == ["0b"]


def test_closing_saves_what_waits_and_ends_the_thread(journal, heard, make):
    threads = threading.active_count()
    saver = AutoSave(journal, heard.on_saved, heard.on_error)
    saver.put(make.draft(5))
    assert saver.close() is True
    assert saver.close() is True
    assert journal.load("anna", "ab12").active_seconds == 5
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="closed"):
        saver.put(make.draft(6))


def test_put_returns_at_once_and_is_on_the_disk_within_a_second(saver, heard, make):
    big = np.random.default_rng(0).integers(0, 4, (32, 128, 128)).astype(np.uint16)
    draft = make.draft(box=((0, 32), (0, 128), (0, 128)), before=big, after=big.copy())
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        saver.put(draft)
        took.append(time.perf_counter() - begun)
        time.sleep(0.005)
    assert statistics.median(took) < 0.01
    assert saver.flush(1.0)
