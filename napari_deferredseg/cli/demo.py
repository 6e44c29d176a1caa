"""`deferredseg demo`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_deferredseg.cli.console import given_path, out, progress_bar
from napari_deferredseg.core.errors import InputError, MissingExtra

QT = ("PySide6", "PyQt6")
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def demo(
    project: Annotated[
        Path | None,
        typer.Option(
            "--project",
            "-p",
            help="New folder to keep the demo in; a temporary one by default.",
            parser=given_path,
            metavar="PATH",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated abdomen.")] = 0,
    viewer: Annotated[bool, typer.Option(help="Open napari; --no-viewer only makes files and project.")] = True,
    screenshot: Annotated[
        Path | None,
        typer.Option(help="Save a picture of the window to this PNG and quit.", parser=given_path, metavar="PATH"),
    ] = None,
) -> None:
    """Open a generated abdomen with two AI masks and three readers, routed and ready to correct."""
    folder = project or Path(tempfile.mkdtemp(prefix="deferredseg-demo-"))
    if not viewer:
        _make(folder, seed)
        return
    from napari_deferredseg.usecases.project import refuse_used

    refuse_used(folder)
    if not any(find_spec(binding) for binding in QT):
        raise MissingExtra(
            "there is no Qt here for napari's window; install it: pip install 'napari-deferredseg[reader]'"
        )
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in SCREENS):
        raise InputError("there is no screen here to open napari on; log in with one, or give --no-viewer")
    out.print(f"The demo's project is {folder}; napari opens ...")
    # A process of its own: the command line pulls no Qt in. The window opens while the abdomen is made.
    command = [sys.executable, "-m", "napari_deferredseg.widgets.plugin.demo", str(folder), "--seed", str(seed)]
    done = subprocess.run(command + (["--screenshot", str(screenshot)] if screenshot else []), check=False)
    raise typer.Exit(done.returncode)


def _make(folder: Path, seed: int) -> None:
    from napari_deferredseg.usecases.demo import make_demo

    with progress_bar() as progress:
        report = make_demo(folder, seed, progress)
    out.print(f"{len(report.regions)} regions for three readers in {folder}")
