"""Open a demo project in napari: `python -m napari_deferredseg.widgets.plugin.demo FOLDER [--screenshot PNG]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.demo import make_demo
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.panels.defer import DeferPanel
from napari_deferredseg.widgets.panels.worklist import WorklistPanel
from napari_deferredseg.widgets.plugin.seats import make_seat
from napari_deferredseg.widgets.qt.background import in_background

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_deferredseg.widgets.seat.seat import Seat


def dock_panels(viewer: Viewer, seat: Seat) -> None:
    """Dock the reader's two panels as tabs, the worklist in front; the others are in the menus."""
    viewer.window.add_dock_widget(DeferPanel(seat), name="Defer to expert", area="right")
    viewer.window.add_dock_widget(WorklistPanel(seat), name="My worklist", area="right", tabify=True)


def show_demo(folder: Path, seed: int = 0, screenshot: Path | None = None) -> None:
    """Open the project, made first where the folder is empty, with the first region of a reader's worklist."""
    viewer = napari.Viewer(title="DeferredSeg demo")
    viewer.window.resize(1500, 950)
    seat = make_seat(viewer, Session())
    dock_panels(viewer, seat)

    def start(_: object = None) -> None:
        seat.open_project(folder)
        seat.session.choose_reader("ben")
        seat.navigation.step(1)

    if (folder / "project.json").is_file():
        start()
    else:
        seat.events.busy.emit("Making an abdomen ...")
        in_background(
            lambda progress: make_demo(folder, seed, progress),
            done=start,
            failed=seat.events.problem.emit,
            progressed=lambda share, doing: seat.events.busy.emit(f"{doing.capitalize()} ..."),
        )
    if screenshot is not None:
        _save_when_open(viewer, seat, screenshot)
    napari.run()


def _save_when_open(viewer: Viewer, seat: Seat, path: Path) -> None:
    """Look every 50 ms whether the first region is on the screen."""
    if seat.session.reading is None:
        QTimer.singleShot(50, lambda: _save_when_open(viewer, seat, path))
    else:
        QTimer.singleShot(500, lambda: _save_and_quit(viewer, path))


def _save_and_quit(viewer: Viewer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()


def main() -> None:
    """Read the command line and open the window."""
    parser = argparse.ArgumentParser(description="Open a demo project in napari.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--screenshot", type=Path)
    arguments = parser.parse_args()
    show_demo(arguments.folder, arguments.seed, arguments.screenshot)


if __name__ == "__main__":
    main()
