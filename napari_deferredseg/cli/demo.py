"""`deferredseg demo`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from napari_deferredseg.cli.console import out, progress_bar


def demo(
    project: Annotated[
        Path | None, typer.Option("--project", "-p", help="New folder to keep the demo in; a temporary one by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated abdomen.")] = 0,
    viewer: Annotated[bool, typer.Option(help="Open napari; --no-viewer only makes files and project.")] = True,
    screenshot: Annotated[Path | None, typer.Option(help="Save a picture of the window to this PNG and quit.")] = None,
) -> None:
    """Open a generated abdomen with two AI masks and three readers, routed and ready to correct."""
    from napari_deferredseg.usecases.demo import make_demo

    folder = project or Path(tempfile.mkdtemp(prefix="deferredseg-demo-"))
    with progress_bar() as progress:
        report = make_demo(folder, seed, progress)
    out.print(f"{len(report.regions)} regions for three readers in {folder}", highlight=False, markup=False)
    if not viewer:
        return
    # A process of its own: the command line pulls no Qt in.
    command = [sys.executable, "-m", "napari_deferredseg.widgets.demo", str(folder)]
    done = subprocess.run(command + (["--screenshot", str(screenshot)] if screenshot else []), check=False)
    raise typer.Exit(done.returncode)
