"""`deferredseg`: the same use cases from a command line.

Exit codes: 0 done, 1 something given cannot be used (one line says what), 2 the command itself is wrong, 3 a defect of
ours, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_deferredseg.cli import demo, export, model, project, reader, run, simulate, train, worklist
from napari_deferredseg.cli.console import err
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.version import __version__


class Commands(TyperGroup):
    """The commands, of which each can be interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl+C ends it with a line instead of silently."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("deferredseg: interrupted; nothing was left half done")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="deferredseg",
    cls=Commands,
    help="Find where an AI segmentation should not be trusted, send it to named readers, export what they correct. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(project.app, name="project")
app.add_typer(reader.app, name="reader")
app.add_typer(model.app, name="model")
app.command("run")(run.run)
app.command("worklist")(worklist.worklist)
app.command("release")(worklist.release)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("evaluate")(train.evaluate)
app.command("simulate-readers")(simulate.simulate_readers)
app.command("phantom")(simulate.phantom)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"deferredseg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Run before each command."""


def main() -> None:
    """Run the command line; what the user got wrong is one line, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot spell is no reason to stop
    try:
        app()
    except InputError as error:
        err.print(f"deferredseg: {error}")
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"deferredseg: {where}{error.strerror or error}; check the path and the disk")
        sys.exit(1)
    except Exception as error:
        if os.environ.get("DEFERREDSEG_DEBUG"):
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        err.print(f"deferredseg: unexpected: {what} (set DEFERREDSEG_DEBUG=1 to see where)")
        sys.exit(3)
