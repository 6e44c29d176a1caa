from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.records import utc_now
from napari_deferredseg.store.drafts.draft import HEAD, MAGIC, dump, parse
from napari_deferredseg.store.drafts.journal import Draft, Journal

if TYPE_CHECKING:
    from pathlib import Path

FACTS = (
    "region_id",
    "case_key",
    "reader",
    "voxel_hash",
    "model_id",
    "started",
    "active_seconds",
    "saved",
    "box",
    "note",
    "id",
    "supersedes",
)


def same(a: Draft, b: Draft) -> bool:
    pairs = ((a.before, b.before), (a.after, b.after))
    return all(getattr(a, n) == getattr(b, n) for n in FACTS) and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def newest_file(journal: Journal) -> Path:
    (path,) = journal.folder.glob("*.draft")
    return path


def test_a_draft_comes_back_as_it_was(journal, make):
    draft = make.draft(3)
    journal.save(draft)
    assert same(journal.load("anna", "ab12"), draft)
    assert same(journal.load("ANNA", "ab12"), draft)


def test_none_where_there_is_none(journal):
    assert journal.load("anna", "ab12") is None
    assert journal.drafts("anna") == []
    journal.discard("anna", "ab12", "")


def test_windows_have_a_draft_each(journal, make):
    now = utc_now()
    for n, draft_id in enumerate(["0a", "", "0b"]):
        journal.save(make.draft(n, id=draft_id, supersedes="0c" if n else "", saved=now + timedelta(seconds=n)))
    assert [d.id for d in journal.of_region("anna", "ab12")] == ["0b", "", "0a"]
    assert journal.load("anna", "ab12").supersedes == "0c"
    assert journal.of_region("anna", "ab1") == []
    journal.discard("anna", "ab12", "")
    assert [d.id for d in journal.drafts("anna")] == ["0b", "0a"]


def test_a_draft_of_an_earlier_version_is_read(journal, make):
    draft = make.draft(5)
    parts = dump(draft)
    header = json.loads(parts[1])
    del header["id"], header["supersedes"]
    plain = json.dumps(header).encode()
    head = HEAD.pack(MAGIC, len(plain), hashlib.sha256(plain).digest())
    journal.folder.mkdir()
    (journal.folder / "ab12-anna.draft").write_bytes(b"".join([head, plain, *parts[2:]]))
    assert same(journal.load("anna", "ab12"), draft)


def test_what_a_living_window_has_open_is_known_and_what_a_dead_one_had_is_not(journal, tmp_path):
    other = Journal(journal.folder)
    assert journal.open_drafts("anna", "ab12") == set()
    journal.enter("anna", "ab12", "0a")
    other.enter("ANNA", "ab12", "0b")
    other.enter("ben", "ab12", "0c")
    other.enter("anna", "ab1", "0d")
    code = "import sys, pathlib; from napari_deferredseg.store.drafts.journal import Journal;"
    code += "Journal(pathlib.Path(sys.argv[1])).enter('anna', 'ab12', '0e')"
    subprocess.run([sys.executable, "-c", code, str(journal.folder)], check=True)
    assert (journal.folder / "ab12.0e-anna.open").is_file()
    assert journal.open_drafts("anna", "ab12") == {"0a", "0b"}
    other.close()
    assert journal.open_drafts("anna", "ab12") == {"0a"}
    journal.leave("anna", "ab12", "0a")
    assert journal.open_drafts("anna", "ab12") == set()


def test_the_newest_counts(journal, make):
    for seed in range(4):
        journal.save(make.draft(seed))
    assert journal.load("anna", "ab12").active_seconds == 3


def test_drafts_of_one_reader_newest_first(journal, make):
    now = utc_now()
    for n, (reader, region) in enumerate([("anna", "0a"), ("anna", "0b"), ("ben-anna", "0c"), ("ben", "0a")]):
        journal.save(make.draft(n, reader=reader, region_id=region, saved=now + timedelta(seconds=n)))
    assert [d.region_id for d in journal.drafts("anna")] == ["0b", "0a"]
    assert [d.region_id for d in journal.drafts("Ben-Anna")] == ["0c"]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "zeros", "other"])
def test_a_damaged_file_gives_the_generation_before_and_is_kept(journal, make, harm):
    journal.save(make.draft(1))
    journal.save(make.draft(2))
    path = newest_file(journal)
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    other = b"".join(dump(make.draft(9, reader="ben")))
    bad = {"cut": good[:-7], "flip": bytes(flipped), "empty": b"", "zeros": bytes(len(good)), "other": other}[harm]
    path.write_bytes(bad)
    assert journal.load("anna", "ab12").active_seconds == 1
    (aside,) = journal.folder.glob("*.damaged")
    assert aside.read_bytes() == bad
    journal.save(make.draft(3))
    assert journal.load("anna", "ab12").active_seconds == 3


def test_both_generations_damaged_is_none_and_both_are_kept(journal, make):
    journal.save(make.draft(1))
    journal.save(make.draft(2))
    for path in list(journal.folder.iterdir()):
        path.write_bytes(b"x" + path.name.encode())
    assert journal.drafts("anna") == []
    assert journal.load("anna", "ab12") is None
    assert len(list(journal.folder.glob("*.damaged"))) == 2
    journal.discard("anna", "ab12", "")
    assert len(list(journal.folder.glob("*.damaged"))) == 2


def test_discard_removes_every_generation_of_that_draft_alone(journal, make):
    for seed in range(3):
        journal.save(make.draft(seed))
        journal.save(make.draft(seed, reader="ben"))
    journal.discard("anna", "ab12", "")
    assert journal.load("anna", "ab12") is None
    assert journal.load("ben", "ab12").active_seconds == 2


def test_names_cannot_leave_the_folder(journal, make):
    for region_id in ("../x", "", "a/b", "AB"):
        with pytest.raises(ValueError, match="region id"):
            journal.save(make.draft(region_id=region_id))
    for reader in ("../x", "", "a/b", "a b"):
        with pytest.raises(ValueError, match="login"):
            journal.load(reader, "ab12")
    assert not journal.folder.exists()


def test_a_vanished_disk_is_not_made_anew(tmp_path, make):
    with pytest.raises(OSError, match="gone"):
        Journal(tmp_path / "gone" / "journal").save(make.draft())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_one_before(journal, make):
    journal.save(make.draft(1))
    (journal.folder / f"ab12-anna.{os.getpid()}.new").mkdir()
    with pytest.raises(OSError, match=r"\.new"):
        journal.save(make.draft(2))
    assert journal.load("anna", "ab12").active_seconds == 1


def test_a_file_that_cannot_be_deleted_is_said_in_one_line(journal, make):
    journal.save(make.draft(1))
    (journal.folder / "ab12-anna.draft-previous").mkdir()
    with pytest.raises(InputError, match="cannot be deleted"):
        journal.discard("anna", "ab12", "")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps permissions elsewhere")
def test_only_the_user_may_read(journal, make):
    journal.save(make.draft())
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(newest_file(journal).stat().st_mode) == 0o600


@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 99))
def test_any_change_of_any_byte_is_noticed(make, data, dtype, seed):
    shape = data.draw(arrays.array_shapes(min_dims=3, max_dims=3, max_side=5))
    labels = [data.draw(arrays.arrays(dtype, shape)) for _ in range(2)]
    draft = make.draft(seed, box=tuple((3, 3 + n) for n in shape), before=labels[0], after=labels[1])
    written = b"".join(dump(draft))
    assert same(parse(written), draft)
    place = data.draw(st.integers(0, len(written) - 1))
    changed = bytearray(written)
    changed[place] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(changed), written[:place]):
        with pytest.raises(Damaged):
            parse(bad)
