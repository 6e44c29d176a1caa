"""Open a demo project in napari: `python -m napari_deferredseg.widgets.demo FOLDER [--screenshot PNG]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.demo import make_demo
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.background import in_background
from napari_deferredseg.widgets.defer import DeferPanel
from napari_deferredseg.widgets.stages import make_stage
from napari_deferredseg.widgets.worklist import WorklistPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_deferredseg.widgets.stage import Stage


def dock_panels(viewer: Viewer, stage: Stage) -> None:
    """Dock the reader's two panels as tabs, the worklist in front; the others are in the menus."""
    viewer.window.add_dock_widget(DeferPanel(stage), name="Defer to expert", area="right")
    viewer.window.add_dock_widget(WorklistPanel(stage), name="My worklist", area="right", tabify=True)


def show_demo(folder: Path, seed: int = 0, screenshot: Path | None = None) -> None:
    """Open the project, made first where the folder is empty, with the first region of a reader's worklist."""
    viewer = napari.Viewer(title="DeferredSeg demo")
    viewer.window.resize(1500, 950)
    stage = make_stage(viewer, Session())
    dock_panels(viewer, stage)

    def start(_: object = None) -> None:
        stage.open_project(folder)
        stage.session.choose_reader("ben")
        stage.step(1)

    if (folder / "project.json").is_file():
        start()
    else:
        stage.events.busy.emit("Making an abdomen ...")
        in_background(
            lambda progress: make_demo(folder, seed, progress),
            done=start,
            failed=stage.events.problem.emit,
            progressed=lambda share, doing: stage.events.busy.emit(f"{doing.capitalize()} ..."),
        )
    if screenshot is not None:
        _save_when_open(viewer, stage, screenshot)
    napari.run()


def _save_when_open(viewer: Viewer, stage: Stage, path: Path) -> None:
    """Look every 50 ms whether the first region is on the screen."""
    if stage.session.reading is None:
        QTimer.singleShot(50, lambda: _save_when_open(viewer, stage, path))
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
