"""Open a demo project in napari: `python -m napari_deferredseg.widgets.demo FOLDER [--screenshot PNG]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QTimer

from napari_deferredseg.usecases.session import Session
from napari_deferredseg.widgets.defer import DeferPanel
from napari_deferredseg.widgets.stage import Stage
from napari_deferredseg.widgets.worklist import WorklistPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer


def dock_panels(viewer: Viewer, stage: Stage) -> None:
    """Dock the reader's two panels as tabs, the worklist in front; the others are in the menus."""
    viewer.window.add_dock_widget(DeferPanel(stage), name="Defer to expert", area="right")
    viewer.window.add_dock_widget(WorklistPanel(stage), name="My worklist", area="right", tabify=True)


def show_demo(folder: Path, screenshot: Path | None = None) -> None:
    """Open the project with the first region of the first reader's worklist."""
    viewer = napari.Viewer(title="DeferredSeg demo")
    viewer.window.resize(1500, 950)
    stage = Stage(viewer, Session())
    dock_panels(viewer, stage)
    stage.open_project(folder)
    stage.session.choose_reader("ada")
    stage.step(1)
    if screenshot is not None:
        QTimer.singleShot(6000, lambda: _save_and_quit(viewer, screenshot))
    napari.run()


def _save_and_quit(viewer: Viewer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()


def main() -> None:
    """Read the command line and open the window."""
    parser = argparse.ArgumentParser(description="Open a demo project in napari.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--screenshot", type=Path)
    arguments = parser.parse_args()
    show_demo(arguments.folder, arguments.screenshot)


if __name__ == "__main__":
    main()
