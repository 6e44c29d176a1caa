"""A reader at work until killed. Arguments: project folder, log file, seed, `edit` or `submit`.

A line of the log is JSON and on the disk before the reader goes on. `hash` is that of all labels of the case:

    ready      a region is open
    began      a stroke, fill, undo or redo begins
    put        a state is about to be handed to the journal
    ended      the stroke, fill, undo or redo is over
    submitting what was painted over a second ago is about to be submitted (`submit` only)
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from hand import Hand
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.plugin.demo import dock_panels
from napari_deferredseg.widgets.plugin.seats import make_seat

if TYPE_CHECKING:
    from napari_deferredseg.core.geometry import Shape
    from napari_deferredseg.widgets.seat.seat import Seat

WORK = {"stroke": 12, "erase": 2, "fill": 1, "undo": 4, "redo": 2}
"""What the reader does, by how often."""
LEAVES = 0.05
"""How often they go on to the next region, to come back later."""

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
REACH = 9
"""Voxels from the middle of the region to where the hand goes."""


class LoggedSession(Session):
    """A session that writes down each state before it goes to the journal."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log.open("ab", buffering=0)

    def write(self, what: str) -> None:
        """Write the state of the labels down, and wait until it is on the disk."""
        assert self.reading is not None
        assert self.work is not None
        at = time.monotonic()
        line = {"what": what, "at": at, "region": self.reading.item.region.id, "hash": voxel_hash(self.work, b"")}
        self._log.write(json.dumps(line).encode() + b"\n")
        os.fsync(self._log.fileno())

    def save(self) -> None:
        """Save, after the state was written down."""
        if self.reading is not None:
            self.write("put")
        super().save()


class Worker:
    """Strokes, fills, undoes and redoes by mouse and keys."""

    def __init__(self, seat: Seat, session: LoggedSession, seed: int) -> None:
        self._seat = seat
        self._session = session
        self._hand = Hand(seat.viewer)
        self._random = random.Random(seed)

    def edit(self) -> None:
        """Do one thing, and write down when it began and when it was over."""
        what = self._random.choices(list(WORK), list(WORK.values()))[0]
        self._session.write("began")
        if what in ("undo", "redo"):
            self._hand.press_key(Qt.Key.Key_Z, CTRL if what == "undo" else CTRL | SHIFT)
        else:
            self._paint(what)
        self._session.write("ended")
        QTest.qWait(self._random.choice((0, 0, 40, 150)))

    def leave(self) -> None:
        """Go to the next region, perhaps."""
        if self._random.random() < LEAVES:
            self._hand.press_key(Qt.Key.Key_N)

    def submit(self) -> None:
        """Submit what was painted, over a second after the last stroke."""
        if self._session.painted():
            QTest.qWait(1100)
            self._session.write("submitting")
            self._hand.press_key(Qt.Key.Key_Return, CTRL)

    def _paint(self, what: str) -> None:
        layers, pick = self._seat.layers, self._random
        assert layers is not None
        self._seat.tools.pick(pick.randint(1, 6), "paint" if what == "stroke" else what)
        layers.correction.brush_size = pick.choice((1, 4, 9))
        moves = 1 if what == "fill" else pick.randint(2, 14)
        self._hand.release(self._hand.begin(layers.correction, [self._voxel() for _ in range(moves)]))

    def _voxel(self) -> Shape:
        reading, layers = self._session.reading, self._seat.layers
        assert reading is not None
        assert layers is not None
        middle = layers.frame.to_view(reading.item.case.geometry.index(reading.item.region.center)).round()
        y, x = (int(middle[axis]) + self._random.randint(-REACH, REACH) for axis in (1, 2))
        return int(middle[0]), y, x


def main() -> None:
    """Open the project and work on it until killed."""
    folder, log, seed, mode = sys.argv[1:]
    session = LoggedSession(Path(log))
    viewer = napari.Viewer()
    viewer.window.resize(900, 700)
    seat = make_seat(viewer, session)
    dock_panels(viewer, seat)
    seat.open_project(Path(folder))
    session.choose_reader("ada")
    seat.navigation.step(1)
    while session.reading is None:
        QTest.qWait(5)
    worker = Worker(seat, session, int(seed))
    session.write("ready")
    while True:
        worker.edit()
        (worker.submit if mode == "submit" else worker.leave)()


if __name__ == "__main__":
    main()
