"""Kill a reader's napari at random moments, look at what is left: `python benchmarks/kill_recovery.py --moments 200`.

Each moment has a process of its own, with a real window, mouse and keys (`kill_child.py`), on a copy of one project. It
writes down every state of the labels; SIGKILL comes without warning, also in the middle of a stroke. Then the project
is opened again as after a restart. Promised is that every stroke or undo which ended more than a second before is
there, that what is there is a state that really was, and that a correction is in the store once or still a draft.
Needs a screen: on a server, `xvfb-run -a python ...`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from projects import READER, make_project

from napari_deferredseg.core.records import State
from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.usecases.project import open_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session

SHAPE, REGIONS = (40, 128, 128), 4
PROMISE = 1.0
"""Seconds after which nothing may be lost."""
WAIT = 90.0
CHILD = Path(__file__).with_name("kill_child.py")
Line = dict[str, Any]


@dataclass
class Moment:
    """What one kill left. `lost` names broken promises; `oldest_gap` is the age of the oldest lost stroke, seconds."""

    seed: int
    mode: str
    within_stroke: bool = False
    actions: int = 0
    oldest_gap: float = 0.0
    stored: bool = False
    lost: list[str] = field(default_factory=list)


def run_moment(template: Path, scratch: Path, seed: int, mode: str) -> Moment:
    """Start a reader, kill them, and look."""
    folder, log = scratch / f"{mode}-{seed}", scratch / f"{mode}-{seed}.log"
    shutil.copytree(template, folder)
    pick = random.Random(seed)
    killed = _start_and_kill(folder, log, seed, mode, pick)
    lines = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
    strokes = [line["what"] for line in lines if line["what"] in ("ready", "began", "ended")]
    moment = Moment(seed, mode, strokes[-1] == "began", strokes.count("ended"))
    session = _reopened(folder)
    try:
        if mode == "edit":
            _check_edit(session, lines, killed, moment)
        else:
            _check_submit(session, lines, moment)
        moment.lost += session.need_project().store.verify()
    finally:
        session.close()
    shutil.rmtree(folder)
    return moment


def _start_and_kill(folder: Path, log: Path, seed: int, mode: str, pick: random.Random) -> float:
    # Own settings, and no compiling of colour maps, which would take two seconds of each start.
    settings = {"NAPARI_CONFIG": str(log.with_suffix(".yaml")), "NAPARI_EXPERIMENTAL_COLORMAP_BACKEND": "pure_python"}
    command = [sys.executable, str(CHILD), str(folder), str(log), str(seed), mode]
    with log.with_suffix(".err").open("wb") as errors:
        child = subprocess.Popen(command, env={**os.environ, **settings}, stdout=errors, stderr=errors)
        try:
            _await(log, b"ready" if mode == "edit" else b"submitting", child)
            time.sleep(pick.uniform(0.3, 3.0) if mode == "edit" else pick.uniform(0.0, 0.25))
            if child.poll() is not None:
                raise RuntimeError(f"the reader ended by itself: {_last_line(log)}")
            return time.monotonic()
        finally:
            child.kill()
            child.wait()


def _await(log: Path, what: bytes, child: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + WAIT
    while not (log.exists() and b'"' + what + b'"' in log.read_bytes()):
        if time.monotonic() > limit or child.poll() is not None:
            raise RuntimeError(f"the reader did not get to work: {_last_line(log)}")
        time.sleep(0.002)


def _last_line(log: Path) -> str:
    return (log.with_suffix(".err").read_text(errors="replace").splitlines() or ["no word"])[-1]


def _reopened(folder: Path) -> Session:
    session = Session()
    project = open_project(folder)
    session.set_project(project)
    session.choose_reader(READER.login)
    (case,) = project.store.cases()
    session.set_case(load_case(project, case.key))
    return session


def _labels(session: Session) -> str:
    assert session.work is not None
    return voxel_hash(session.work, b"")


def _begin(session: Session, region_id: str) -> str:
    """Open a region; the labels that it shows."""
    item = next(x for x in session.need_project().store.items() if x.region.id == region_id)
    session.begin(item)
    return _labels(session)


def _check_edit(session: Session, lines: list[Line], killed: float, moment: Moment) -> None:
    for region in dict.fromkeys(line["region"] for line in lines):
        states = [x for x in lines if x["region"] == region and x["what"] in ("ready", "put", "ended")]
        found = _begin(session, region)
        known = [i for i, line in enumerate(states) if line["hash"] == found]
        if not known and found != lines[0]["hash"]:
            moment.lost.append(f"region {region} came back in a state that never was")
            continue
        place = known[-1] if known else -1
        gaps = [killed - x["at"] for x in states[place + 1 :] if x["what"] == "ended"]
        moment.oldest_gap = max([moment.oldest_gap, *gaps])
        moment.lost += [f"a stroke that ended {gap:.3f} s before is gone" for gap in gaps if gap > PROMISE]


def _check_submit(session: Session, lines: list[Line], moment: Moment) -> None:
    line = next(x for x in lines if x["what"] == "submitting")
    region, project = line["region"], session.need_project()
    kept = project.store.history(region)
    moment.stored = bool(kept)
    waiting = region in {x.region.id for x in session.worklist()}
    state = next(x.assignment.state for x in project.store.items() if x.region.id == region)
    if len(kept) > 1:
        moment.lost.append(f"{len(kept)} corrections of one submission")
    if bool(kept) == waiting or bool(kept) != (state is State.SUBMITTED):
        moment.lost.append(f"{len(kept)} corrections kept, but the region is {state}")
    if kept and _labels(session) != line["hash"]:
        moment.lost.append("the correction is not what was painted")
    if _begin(session, region) != line["hash"]:
        moment.lost.append("neither correction nor draft show what was painted")
    if kept and session.reading is not None and session.reading.recovered:
        moment.lost.append("a draft came back beside the correction")


def summary(moments: list[Moment]) -> dict[str, Any]:
    """Figures of a run."""
    edits = [m for m in moments if m.mode == "edit"]
    submits = [m for m in moments if m.mode == "submit"]
    gaps = [m.oldest_gap for m in edits]
    return {
        "edits": len(edits),
        "within_stroke": sum(m.within_stroke for m in edits),
        "actions": sum(m.actions for m in edits),
        "lost": sum(bool(m.lost) for m in edits),
        "worst_gap_ms": round(1000 * max(gaps, default=0.0), 1),
        "moments_with_gap": int(np.count_nonzero(gaps)),
        "submits": len(submits),
        "stored": sum(m.stored for m in submits),
        "broken_submits": sum(bool(m.lost) for m in submits),
    }


def main() -> int:
    """Run and print; the exit status is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description="Kill a reader's napari at random moments and look at what is left.")
    parser.add_argument("--moments", type=int, default=200, help="kills in the middle of an edit")
    parser.add_argument("--submits", type=int, default=50, help="kills around a submission")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="readers at a time")
    parser.add_argument("--json", type=Path, help="write every moment here")
    given = parser.parse_args()
    plan = [("edit", given.seed + i) for i in range(given.moments)]
    plan += [("submit", given.seed + i) for i in range(given.submits)]
    with tempfile.TemporaryDirectory(prefix="deferredseg-kill-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        os.environ["DEFERREDSEG_CONFIG"] = str(scratch / "maker")
        make_project(scratch / "template", SHAPE, REGIONS, given.seed)
        # Each moment is a copy of one project. The holder of its key would be told that copies are not the record that
        # the key has sealed, so a reader without the key reads them.
        os.environ["DEFERREDSEG_CONFIG"] = str(scratch / "reader")
        with ThreadPoolExecutor(given.jobs) as pool:
            moments = list(pool.map(lambda x: run_moment(scratch / "template", scratch, x[1], x[0]), plan))
    for moment in moments:
        for line in moment.lost:
            print(f"{moment.mode} {moment.seed}: {line}")
    figures = summary(moments)
    if given.json is not None:
        given.json.write_text(json.dumps({"summary": figures, "moments": [asdict(m) for m in moments]}, indent=1))
    print(
        "{edits} kills while editing ({within_stroke} within a stroke, {actions} strokes and undoes before): {lost} "
        "with a loss; oldest stroke not there after restart: {worst_gap_ms} ms. {submits} kills around a submission "
        "({stored} kept, the others drafts): {broken_submits} broken.".format(**figures)
    )
    return int(any(m.lost for m in moments))


if __name__ == "__main__":
    sys.exit(main())
