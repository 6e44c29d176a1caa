"""How fast regions change hands: one process beside bare SQLite, and many processes on one project at once.

    python benchmarks/claims.py                     # all of it, about a minute
    python benchmarks/claims.py --pairs 200 --processes 4

A pair is a claim and a submission of labels before and after and their support, 32 x 32 x 32 voxels each, on the disk
(`synchronous=FULL`). Bare SQLite packs the arrays the same way, moves one row and adds one, and checks nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import (
    Assignment,
    CaseRecord,
    Correction,
    PredictionRecord,
    Reader,
    Region,
    Verdict,
    new_id,
    utc_now,
)
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.store.codec import encode
from napari_deferredseg.store.sql import create_sqlite, open_sqlite

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from napari_deferredseg.store.sql import SqlStore

EDGE = 32
SHAPE = (64, 64, 64)
BOX = ((16, 48),) * 3
PROMISED_SHARE = 1 / 3
PROMISED_P99 = 1.0
ROUNDS = 5


def make_store(path: Path, regions: int, readers: int) -> list[Region]:
    """Make a database with a case, its regions, and readers r0, r1, ... who may all claim all of them."""
    case = CaseRecord(key="case-1", geometry=Geometry(shape=SHAPE, spacing=(1, 1, 1)), voxel_hash="h", source="ct.nii")
    prediction = PredictionRecord(
        id=new_id(), case_key=case.key, model_id="m", table=table_from_names({1: "liver"}), labels_hash="x", settings={}
    )
    mask = _ball(10)
    made = [
        Region(new_id(), case.key, prediction.id, n, (1,), BOX, mask, 1.0, (0.0, 0.0, 0.0), 0.5, 1.0)
        for n in range(1, regions + 1)
    ]
    with closing(create_sqlite(path)) as store:
        for n in range(readers):
            store.add_reader(Reader(login=f"r{n}", name=f"Reader {n}", groups=("all",)))
        store.add_prediction(case, prediction, made, [Assignment(region_id=r.id, group="all") for r in made])
    return made


def correction(region: Region, login: str, seed: int) -> Correction:
    """Make what a reader submits: a ragged ball, moved a little."""
    rng = np.random.default_rng(seed)
    before = (_ball(11) * np.uint8(1 + seed % 5)).astype(np.uint8)
    after = np.roll(before, 1 + seed % 3, axis=seed % 3)
    after[rng.random(after.shape) < 0.002] = 2
    return Correction(
        id=new_id(),
        region_id=region.id,
        case_key=region.case_key,
        reader=login,
        model_id="m",
        voxel_hash="h",
        started=utc_now(),
        submitted=utc_now(),
        active_seconds=1.0,
        verdict=Verdict.EDITED,
        box=BOX,
        before=before,
        after=after,
        support=region.mask | (before != after),
    )


def _ball(radius: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    z, y, x = (axis - EDGE / 2 for axis in np.ogrid[:EDGE, :EDGE, :EDGE])
    return np.asarray(z * z + y * y + x * x < radius * radius)


class Bare:
    """SQLite without anything around it."""

    def __init__(self, path: Path, regions: list[Region]) -> None:
        self.raw = sqlite3.connect(path, isolation_level=None)
        self.raw.execute("PRAGMA journal_mode=WAL")
        self.raw.execute("PRAGMA synchronous=FULL")
        self.raw.execute("CREATE TABLE held (region TEXT PRIMARY KEY, state TEXT, holder TEXT)")
        self.raw.execute("CREATE TABLE sent (id TEXT PRIMARY KEY, region TEXT, before BLOB, after BLOB, support BLOB)")
        with self.raw:
            self.raw.executemany("INSERT INTO held VALUES (?, 'open', NULL)", [(r.id,) for r in regions])

    def pair(self, given: Correction) -> None:
        """Claim and submit."""
        claim = "UPDATE held SET state = 'claimed', holder = ? WHERE region = ? AND state = 'open' RETURNING region"
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.execute(claim, (given.reader, given.region_id)).fetchone()
        self.raw.execute("COMMIT")
        arrays = [encode(x) for x in (given.before, given.after, given.support)]
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.execute("INSERT INTO sent VALUES (?, ?, ?, ?, ?)", (given.id, given.region_id, *arrays))
        self.raw.execute("UPDATE held SET state = 'submitted' WHERE region = ?", (given.region_id,))
        self.raw.execute("COMMIT")


def pair(store: SqlStore, given: Correction) -> None:
    """Claim and submit."""
    assert store.claim(given.region_id, given.reader) is not None
    store.submit(given)


def beside_bare(scratch: Path, pairs: int) -> dict[str, float]:
    """Pairs a second of one process, ours and bare, in turn."""
    regions = make_store(scratch / "ours.sqlite", pairs, 1)
    sent = [correction(region, "r0", n) for n, region in enumerate(regions)]
    bare, store = Bare(scratch / "bare.sqlite", regions), open_sqlite(scratch / "ours.sqlite")
    took: dict[str, list[float]] = {"bare": [], "ours": []}
    for part in np.array_split(np.arange(pairs), ROUNDS):
        for name, act in (("bare", bare.pair), ("ours", lambda given: pair(store, given))):
            begun = time.perf_counter()
            for n in part:
                act(sent[n])
            took[name].append((time.perf_counter() - begun) / len(part))
    store.close()
    bare.raw.close()
    rates = {name: 1 / float(np.median(each)) for name, each in took.items()}
    return rates | {"share": rates["ours"] / rates["bare"]}


def reads(path: str, number: int, processes: int, barrier: Barrier, results: Any) -> None:
    """Claim and submit as a reader does: one's own regions and the next reader's, who comes to one's own.

    Tells how long each claim and submission took, and what went wrong.
    """
    login = f"r{number}"
    waits: list[tuple[float, float]] = []
    wrong: list[str] = []
    with closing(open_sqlite(Path(path))) as store:
        everything = [item.region for item in store.worklist(login)]
        regions = everything[number::processes] + everything[(number + 1) % processes :: processes]
        template = correction(regions[0], login, number)
        barrier.wait()
        for region in regions:
            try:
                begun = time.perf_counter()
                held = store.claim(region.id, login)
                claimed = time.perf_counter() - begun
                if held is None:
                    continue
                given = replace(template, id=new_id(), region_id=region.id)
                begun = time.perf_counter()
                store.submit(given)
                waits.append((claimed, time.perf_counter() - begun))
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
    results.put((login, waits, wrong))


def together(scratch: Path, processes: int, pairs: int) -> dict[str, Any]:
    """Many processes at once on one database: how long each waited, and whether all is there."""
    path = scratch / f"{processes}.sqlite"
    regions = make_store(path, pairs, processes)
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(processes + 1), spawn.Queue()
    children = [spawn.Process(target=reads, args=(str(path), n, processes, barrier, results)) for n in range(processes)]
    for child in children:
        child.start()
    barrier.wait()
    begun = time.perf_counter()
    told = [results.get(timeout=300) for _ in children]
    took = time.perf_counter() - begun
    for child in children:
        child.join()
    waits = np.array([wait for _, each, _ in told for wait in each])
    with closing(open_sqlite(path)) as store:
        kept, problems = len(store.corrections()), store.verify()
    counts = [len(each) for _, each, _ in told]
    return {
        "processes": processes,
        "pairs": len(waits),
        "rate": len(waits) / took,
        "claim_p50": float(np.median(waits[:, 0])),
        "claim_p99": float(np.percentile(waits[:, 0], 99)),
        "submit_p50": float(np.median(waits[:, 1])),
        "submit_p99": float(np.percentile(waits[:, 1], 99)),
        "longest": float(waits.max()),
        "fewest": min(counts),
        "most": max(counts),
        "lost": len(regions) - kept,
        "wrong": sorted({line for _, _, wrong in told for line in wrong}) + problems,
    }


def main() -> int:
    """Run and print; the exit status is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=1000, help="claims and submissions of one process")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4, 16, 32])
    parser.add_argument("--each", type=int, default=40, help="regions for each of several processes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory(prefix="deferredseg-claims-", ignore_cleanup_errors=True) as name:
        alone = beside_bare(Path(name), given.pairs)
        kept &= alone["share"] >= PROMISED_SHARE
        print(
            f"one process: {alone['ours']:.0f} pairs/s, bare SQLite {alone['bare']:.0f}: a share of "
            f"{alone['share']:.2f} (promised {PROMISED_SHARE:.2f})"
        )
        print(
            "\n| processes | pairs | pairs/s | claim p50, p99 s | submit p50, p99 s | longest s | each | lost | wrong |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        rows = []
        for processes in given.processes:
            row = together(Path(name), processes, processes * given.each)
            rows.append(row)
            print(
                "| {processes} | {pairs} | {rate:.0f} | {claim_p50:.3f}, {claim_p99:.3f} | {submit_p50:.3f}, "
                "{submit_p99:.3f} | {longest:.3f} | {fewest} to {most} | {lost} | {}".format(len(row["wrong"]), **row),
                "|",
                flush=True,
            )
            for line in row["wrong"]:
                print(line)
            kept &= not row["wrong"] and not row["lost"] and max(row["claim_p99"], row["submit_p99"]) < PROMISED_P99
    print(f"promised: p99 under {PROMISED_P99:g} s, none lost, no errors: {'kept' if kept else 'NOT KEPT'}")
    if given.json is not None:
        given.json.write_text(json.dumps({"alone": alone, "together": rows}, indent=1))
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
