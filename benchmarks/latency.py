"""What our code adds to napari's own time on the same layers: `python benchmarks/latency.py --regions 40`.

A generated CT, 512 x 512 x 300, in two windows of 1000 x 800 with equal canvases: napari alone, and napari with the
reader's panels. Both do the same things one after the other; the time is from the hand's event until everything is
drawn. Needs a screen: on a server, `xvfb-run -a -s "-screen 0 1280x1024x24" python ...`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from hand import Hand
from projects import READER, make_project
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_deferredseg.usecases.project import DATABASE
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.plugin.demo import dock_panels
from napari_deferredseg.widgets.plugin.seats import make_seat
from napari_deferredseg.widgets.seat.seat import LATER_MS
from napari_deferredseg.widgets.viewer.hands import jump

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels, Layer

    from napari_deferredseg.core.geometry import Shape
    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.widgets.viewer.case_layers import CaseLayers

SHAPE = (300, 512, 512)
WINDOW = (1000, 800)
REACH = 6
"""Voxels from the middle of the region to where the hand goes."""
LISTS = "lists, a moment later"
MEASURED = ("jump", "stroke ends", "undo", "crop written back", "durable submit", LISTS)
REST_MS = 2 * LATER_MS
UNSEEN = 7
"""A label that the AI never gives, so that every stroke changes something."""
Times = dict[str, tuple[list[float], list[float]]]


class Screen:
    """A window, the hand over it, and when it is drawn."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.hand = Hand(self.viewer)
        self._draws = 0
        self.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._on_draw)

    def _on_draw(self, event: Any) -> None:
        self._draws += 1

    def settle(self) -> None:
        """Let the window do all it has to do, until it draws no more."""
        drawn = -1
        while drawn != self._draws:
            drawn = self._draws
            QApplication.sendPostedEvents()
            QApplication.processEvents()

    def time(self, action: Callable[[], Any]) -> float:
        """Seconds from an action until it is on the screen."""
        self.settle()
        start = time.perf_counter()
        action()
        self.settle()
        return time.perf_counter() - start


class Ours(Screen):
    """Napari with our panels, a case open."""

    def __init__(self, regions_shown: bool) -> None:
        super().__init__()
        self.session = Session()
        self.seat = make_seat(self.viewer, self.session)
        self._regions_shown = regions_shown
        dock_panels(self.viewer, self.seat)

    def open(self, folder: Path) -> None:
        """Open the project and the first region."""
        self.seat.open_project(folder)
        self.session.choose_reader(READER.login)
        self.seat.navigation.step(1)
        while self.session.reading is None:
            QTest.qWait(5)
        self.layers.regions.visible = self._regions_shown
        self.settle()

    @property
    def layers(self) -> CaseLayers:
        """Layers of the open case."""
        assert self.seat.layers is not None
        return self.seat.layers

    @property
    def item(self) -> WorkItem:
        """The open region."""
        assert self.session.reading is not None
        return self.session.reading.item


class Bare(Screen):
    """Napari alone, with layers like those of another window."""

    def __init__(self, ours: Ours) -> None:
        super().__init__()
        panels = QWidget()
        panels.setFixedWidth(ours.viewer.window.dock_widgets["My worklist"].width())
        self.viewer.window.add_dock_widget(panels, name="as wide as our panels", area="right")
        for layer in ours.viewer.layers:
            self._copy(layer)
        self.viewer.scene.camera.orientation = ours.viewer.scene.camera.orientation
        self.correction: Labels = self.viewer.layers[ours.layers.correction.name]
        self.viewer.layers.selection.active = self.correction
        self._frame = ours.layers.frame
        self.settle()

    def _copy(self, layer: Layer) -> None:
        data, state, kind = layer.as_layer_data_tuple()
        state.pop("metadata")
        editable = layer.name == "My correction"
        array = np.array(data) if editable else data
        (made,) = (self.viewer.add_layer(type(layer)(array, **state)),)
        if kind == "labels":
            made.editable = editable
            made.contour = layer.contour  # napari leaves it out of a layer's state

    def go(self, item: WorkItem) -> None:
        """Show a region."""
        center = self._frame.to_view(item.case.geometry.index(item.region.center))
        jump(self.viewer, self._frame.box_to_view(item.region.box), self._frame, center=tuple(np.round(center)))


class Comparison:
    """The same things in both windows, timed."""

    def __init__(self, ours: Ours, bare: Bare, seed: int) -> None:
        self.times: Times = {name: ([], []) for name in MEASURED}
        self._ours, self._bare = ours, bare
        self._random = np.random.default_rng(seed)

    def region(self) -> None:
        """One region: strokes, undo, reset to the AI, to the next region and back, submit."""
        ours, bare = self._ours, self._bare
        self._stroke("stroke ends")
        self._timed("undo", bare.correction.undo, ours.seat.tools.undo)
        self._stroke(None)
        index, values = ours.session.reset_to_ai()
        index = tuple(index[axis] for axis in ours.layers.frame.axes)
        self._timed(
            "crop written back", lambda: bare.correction.data_setitem(index, values), ours.seat.tools.reset_to_ai
        )
        for steps in (1, -1):
            self._go("jump", self._following(steps), lambda steps=steps: ours.seat.navigation.step(steps))
        self._stroke(None)
        if self._go("durable submit", self._following(1), ours.seat.answers.submit):
            self.times[LISTS][1].append(ours.time(ours.seat.refresh_lists))
            self.times[LISTS][0].append(0.0)

    def _following(self, steps: int) -> WorkItem:
        items = self._ours.session.worklist()
        here = next(i for i, x in enumerate(items) if x.region.id == self._ours.item.region.id)
        return items[(here + steps) % len(items)]

    def _go(self, name: str, target: WorkItem, go: Callable[[], Any]) -> bool:
        ours_was_last = self._timed(name, lambda: self._bare.go(target), go)
        assert self._ours.item.region.id == target.region.id
        assert self._ours.viewer.dims.point == self._bare.viewer.dims.point
        return ours_was_last

    def _stroke(self, name: str | None) -> None:
        voxels = self._voxels()
        ends = []
        for screen, layer in ((self._bare, self._bare.correction), (self._ours, self._ours.layers.correction)):
            layer.mode, layer.selected_label, layer.brush_size = "paint", UNSEEN, 5
            ends.append(screen.hand.begin(layer, voxels))
        bare, ours = self._bare.hand, self._ours.hand
        if name is None:
            bare.release(ends[0])
            ours.release(ends[1])
        else:
            self._timed(name, lambda: bare.release(ends[0]), lambda: ours.release(ends[1]))

    def _voxels(self) -> list[Shape]:
        item = self._ours.item
        middle = self._ours.layers.frame.to_view(item.case.geometry.index(item.region.center)).round().astype(int)
        steps = self._random.integers(-REACH, REACH + 1, (6, 2))
        return [(int(middle[0]), int(middle[1] + a), int(middle[2] + b)) for a, b in steps]

    def _timed(self, name: str, bare: Callable[[], Any], ours: Callable[[], Any]) -> bool:
        """Time both, one at random first, after all is at rest; whether ours was the last."""
        turns = [(0, self._bare, bare), (1, self._ours, ours)]
        if self._random.random() < 0.5:
            turns.reverse()
        for place, screen, action in turns:
            QTest.qWait(REST_MS)
            self.times[name][place].append(screen.time(action))
        return turns[-1][1] is self._ours


def table(times: Times) -> str:
    """Milliseconds: p50 and p95 of both totals, and of the difference in each repetition."""
    lines = [
        "| what | n | napari p50 | p95 | with ours p50 | p95 | added p50 | p95 | added at p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (bare, ours) in times.items():
        a, b = np.array(bare) * 1000, np.array(ours) * 1000
        cells = [np.percentile(x, q) for x in (a, b, b - a) for q in (50, 95)]
        cells.append(cells[3] - cells[1])
        lines.append(f"| {name} | {len(a)} | " + " | ".join(f"{x:.1f}" for x in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="What our code adds to napari's own time on the same layers.")
    parser.add_argument("--regions", type=int, default=40, help="regions of the case")
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--outlines", action="store_true", help="show the layer of all regions, too")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deferredseg-latency-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "project"
        make_project(folder, SHAPE, given.regions, given.seed)
        shutil.copy(folder / DATABASE, folder.parent)
        ours = Ours(given.outlines)
        ours.open(folder)
        bare = Bare(ours)
        bare.go(ours.item)
        comparison = Comparison(ours, bare, given.seed)
        comparison.region()
        for pair in comparison.times.values():
            pair[0].clear(), pair[1].clear()
        while len(comparison.times["durable submit"][0]) < given.repetitions:
            if len(ours.session.worklist()) < 3:
                _afresh(ours, folder)
                bare.go(ours.item)
            comparison.region()
        shown = [x.name for x in ours.viewer.layers if x.visible]
        assert ours.hand.native.size() == bare.hand.native.size()
        print(f"{given.regions} regions, visible: {', '.join(shown)}, milliseconds\n")
        print(table(comparison.times))
        ours.session.close()
        for screen in (ours, bare):
            screen.viewer.close()


def _afresh(ours: Ours, folder: Path) -> None:
    """Start over with the database as it was."""
    ours.session.close()
    shutil.rmtree(folder / "journal")
    for leftover in folder.glob(f"{DATABASE}*"):
        leftover.unlink()
    shutil.copy(folder.parent / DATABASE, folder)
    ours.open(folder)


if __name__ == "__main__":
    main()
