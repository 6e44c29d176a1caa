"""Several processes, real ones, on one database and one journal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_deferredseg.core.records import Reader
from napari_deferredseg.store.drafts.journal import Journal
from napari_deferredseg.store.sql import create_sqlite, open_sqlite

CHILDREN = Path(__file__).parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILDREN / script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def together(children: list[subprocess.Popen[str]], barrier: Path) -> list[list[str]]:
    """Let all go at once when each is ready; the lines each one printed."""
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    barrier.touch()
    lines = []
    for child in children:
        out, err = child.communicate(timeout=60)
        assert (child.returncode, err) == (0, "")
        lines.append(out.split())
    return lines


def test_eight_processes_claim_each_region_once(tmp_path, make):
    path = tmp_path / "s.sqlite"
    store = create_sqlite(path)
    logins = [f"r{n}" for n in range(8)]
    for login in logins:
        store.add_reader(Reader(login=login, name=login, groups=("all",)))
    regions = make.run(store, make.case(), 200, group="all")
    won = together([start("child_claim.py", path, x, tmp_path / "go") for x in logins], tmp_path / "go")
    assert sorted(region for one in won for region in one) == sorted(r.id for r in regions)
    assert {i.region.id: i.assignment.holder for i in store.items()} == {
        region: login for login, one in zip(logins, won, strict=True) for region in one
    }
    store.close()


def test_the_same_corrections_from_four_processes_count_once(tmp_path, make):
    path = tmp_path / "s.sqlite"
    store = create_sqlite(path)
    store.add_reader(Reader(login="anna", name="Anna"))
    regions = make.run(store, make.case(), 25, reader="anna")
    drafts = Journal(tmp_path / "drafts")
    for seed, region in enumerate(regions):
        given = make.correction(region, "anna", seed)
        labels = {"before": given.before, "after": given.after, "box": given.box}
        drafts.save(make.draft(region_id=region.id, voxel_hash=given.voxel_hash, **labels))
    children = [start("child_submit.py", path, drafts.folder, seed, tmp_path / "go") for seed in range(4)]
    together(children, tmp_path / "go")
    assert sorted(c.id for c in store.corrections()) == sorted(f"c{r.id}" for r in regions)
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize("pause", [0.0, 0.003, 0.017, 0.05, 0.11, 0.2])
def test_a_saved_draft_survives_a_kill_at_any_moment(tmp_path, pause):
    child = start("child_save.py", tmp_path / "journal")
    said = child.stdout.readline()
    time.sleep(pause)
    child.kill()
    rest, err = child.communicate(timeout=30)
    assert said, err
    saved = [int(line) for line in (said + rest).splitlines(keepends=True) if line.endswith("\n")]
    journal = Journal(tmp_path / "journal")
    draft = journal.load("anna", "ab")
    assert draft.active_seconds in (saved[-1], saved[-1] + 1)
    seed = int(draft.active_seconds)
    assert np.array_equal(draft.after, np.random.default_rng(seed).integers(0, 9, draft.after.shape))
    assert not list(journal.folder.glob("*.damaged"))
    assert [d.active_seconds for d in journal.drafts("anna")] == [draft.active_seconds]
    journal.discard("anna", "ab", "")
    assert list(journal.folder.iterdir()) == []


def test_a_killed_writer_leaves_a_sound_database(tmp_path, make):
    path = tmp_path / "s.sqlite"
    store = create_sqlite(path)
    store.add_reader(Reader(login="anna", name="Anna", groups=("all",)))
    make.run(store, make.case(), 300, group="all")
    child = start("child_claim.py", path, "anna", tmp_path / "go")
    child.stdout.readline()
    (tmp_path / "go").touch()
    time.sleep(0.1)
    child.kill()
    child.communicate(timeout=30)
    again = open_sqlite(path)
    assert len(again.items()) == 300
    assert again.verify() == []
    again.add_reader(Reader(login="ben", name="Ben"))
    again.close()
    store.close()


def test_writers_at_once_lose_nothing_and_none_is_turned_away(tmp_path):
    """A short run of the benchmark; how long each waits is for the benchmark to say."""
    out, script = tmp_path / "claims.json", CHILDREN.parents[1] / "benchmarks" / "claims.py"
    command = [sys.executable, str(script), "--pairs", "10", "--processes", "6", "--each", "5", "--json", str(out)]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (found,) = json.loads(out.read_text())["together"]
    assert (found["pairs"], found["lost"], found["wrong"]) == (30, 0, [])
