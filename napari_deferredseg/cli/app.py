"""`deferredseg`: the same use cases from a command line.

Exit codes: 0 done, 2 the command itself is wrong, 3 a defect of ours, else that of the kind of error (`core.errors`).
"""

from __future__ import annotations

import io
import logging
import os
import platform
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_deferredseg.cli import demo, export, model, project, reader, run, settings, simulate, train, worklist
from napari_deferredseg.cli.console import err
from napari_deferredseg.core.errors import (
    DEFECT,
    MEMBERS,
    NO_MEMORY,
    WRONG_COMMAND,
    Cancelled,
    DeferredSegError,
    InputError,
    WorkerDied,
)
from napari_deferredseg.core.log import Scrubbed, Shown, log_failure
from napari_deferredseg.core.version import __version__
from napari_deferredseg.usecases.log import open_log

log = logging.getLogger(__name__)


def exit_codes() -> dict[int, str]:
    """What each exit code says."""
    ours = {0: "done", WRONG_COMMAND: "the command itself is wrong", DEFECT: "a defect of ours, see the log"}
    return dict(sorted((ours | {member.exit_code: member.kind for member in MEMBERS}).items()))


class Commands(TyperGroup):
    """The commands, of which each can be interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl+C ends it with a line instead of silently."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled("interrupted; nothing was left half done") from None


app = typer.Typer(
    name="deferredseg",
    cls=Commands,
    help="Find where an AI segmentation should not be trusted, send it to named readers, export what they correct. "
    "Research software, not a medical device.",
    epilog="Exit codes: " + "; ".join(f"{code} {kind}" for code, kind in exit_codes().items()) + ".",
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
app.command("settings")(settings.show_settings)
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
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log on standard error too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Run before each command."""
    if verbose and (shown := context.find_object(Shown)):
        shown.tell_all()
    about = f"{context.invoked_subcommand}: deferredseg {__version__}, Python {platform.python_version()}"
    log.info("%s, %s", Scrubbed(about), Scrubbed(sys.platform))


def main() -> None:
    """Run the command line; what the user got wrong is one line, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot spell is no reason to stop
    open_log()
    with Shown(err.print) as shown:
        try:
            app(obj=shown)
        except Exception as error:
            file = log_failure(log, error, "the command")
            code, line = exit_of(error)
            err.print(f"deferredseg: {line}{_where(file) if code == DEFECT else ''}")
            sys.exit(code)


def _where(file: Path | None) -> str:
    if file is None:
        return "; it could not be logged, deferredseg --verbose shows where it happened"
    return f"; where it happened is in {file}"


def exit_of(error: Exception) -> tuple[int, str]:
    """Exit code of an exception, and the line for the user."""
    if isinstance(error, DeferredSegError):
        return error.exit_code, f"{error}: {error.command}" if error.command else str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return InputError.exit_code, f"{where}{error.strerror or error}; check the path and the disk"
    if isinstance(error, MemoryError):
        return WorkerDied.exit_code, NO_MEMORY
    if os.environ.get("DEFERREDSEG_DEBUG"):
        traceback.print_exception(error)
    return DEFECT, "unexpected: " + f"{type(error).__name__}: {error}".splitlines()[0]
