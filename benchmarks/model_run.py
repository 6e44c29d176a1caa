"""From the click on *Run* to regions, with the shipped model on the demo's abdomen: `python model_run.py`.

A real window with the demo's scan. While the model runs, a hand scrolls as fast as frames are drawn.
Prints seconds until the worklists are there, for a cold and a warm model, the frames in each second, and the longest
wait for a frame until the new regions are on the screen. Needs a screen: on a server,
`xvfb-run -a -s "-screen 0 1280x1024x24" python ...`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_deferredseg.usecases.demo import make_demo
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.models import find_model
from napari_deferredseg.widgets.panels.run import RunPanel
from napari_deferredseg.widgets.plugin.seats import make_seat

NAME = "abdomen-phantom"
WINDOW = (1000, 800)


class Frames:
    """Counts what is drawn, and asks for the next slice whenever something was."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.times: list[float] = []
        canvas = viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(lambda event: self.times.append(time.perf_counter()))

    def scroll(self) -> None:
        """Show the next slice and let the window draw it."""
        steps = self.viewer.dims.nsteps[0]
        self.viewer.dims.set_current_step(0, (self.viewer.dims.current_step[0] + 1) % steps)
        QApplication.processEvents()

    def rates(self, start: float, stop: float) -> np.ndarray:
        """Frames in each whole second between two times."""
        seconds = int(stop - start)
        inside = np.array([t for t in self.times if start <= t < start + seconds])
        return np.bincount((inside - start).astype(int), minlength=seconds)

    def longest_wait(self, start: float) -> float:
        """Seconds between two frames, at most, from a time on."""
        return float(np.diff([start, *(t for t in self.times if t >= start)]).max())


def run_once(panel: RunPanel, frames: Frames, budget: float) -> tuple[float, np.ndarray, float]:
    """Click on *Run*; seconds until it is done, the frames in each, and the longest wait until its regions show."""
    panel.form.amount.value = budget
    shown = panel.session.case
    start = time.perf_counter()
    panel.run_button.click()
    while not panel.run_button.isEnabled():
        frames.scroll()
    stop = time.perf_counter()
    if not panel.result.text():
        raise RuntimeError(f"the run failed: {panel.notice.text()}")
    while panel.session.case is shown or time.perf_counter() < stop + 3:
        frames.scroll()
    return stop - start, frames.rates(start, stop), frames.longest_wait(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=NAME, help="a model's name or folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_demo(Path(folder))
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        seat = make_seat(viewer, Session())
        panel = RunPanel(seat)
        viewer.window.add_dock_widget(panel, name="Run deferral model", area="right")
        seat.open_project(Path(folder))
        seat.navigation.open_case(seat.session.need_project().store.cases()[0].key)
        frames = Frames(viewer)
        for _ in range(50):
            frames.scroll()
        panel.form.volume.value = Path(folder) / "phantom.mha"
        known = find_model(asked.model)
        panel.form.model.value = next(c for c in panel.form.model.choices if getattr(c, "name", "") == known.name)
        idle_from = time.perf_counter()
        while time.perf_counter() - idle_from < 5:
            frames.scroll()
        idle = frames.rates(idle_from, time.perf_counter())
        print("| run | seconds | frames a second: median | slowest second | longest wait, s |\n|---|---|---|---|---|")
        print(f"| nothing runs | | {np.median(idle):.0f} | {idle.min()} | {frames.longest_wait(idle_from):.2f} |")
        for name, budget in (("first click", 10.0), ("again, another budget", 12.0)):
            seconds, rates, wait = run_once(panel, frames, budget)
            print(f"| {name} | {seconds:.1f} | {np.median(rates):.0f} | {rates.min()} | {wait:.2f} |")
        viewer.close()


if __name__ == "__main__":
    main()
