"""The log: what ran and what failed, without a path of data and without a value that was read from a file.

Loggers are those of the standard library, one a module, below the package's own. Nothing is written until a door of the
program (the command line, a panel) calls `start_log`; records of other packages never arrive.

A process writes a file of its own: on Windows nobody can rename, and so rotate, a file that another process has open.
"""

from __future__ import annotations

import errno
import logging
import os
import sysconfig
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_deferredseg.core.errors import Damaged, DeferredSegError, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "napari_deferredseg"
LARGEST, BACKUPS = 1_000_000, 2
"""Bytes of one file, and how many older ones of the same process stay."""
LINE, SHORT_LINE = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s", "deferredseg: %(message)s"
DEEPEST, FRAMES = 8, 40
"""Exceptions of one chain of causes that are told, and the innermost places of each."""


def _comparable(path: str | Path) -> str:
    return os.path.normcase(os.path.realpath(path))


OURS = _comparable(Path(__file__).parents[1])
ROOTS = (OURS, *(_comparable(sysconfig.get_path(place)) for place in ("purelib", "platlib", "stdlib")))
"""Folders of code whose files may be named, by what follows."""


class Scrubbed(str):
    """Text that holds no value of anybody's data; made by `scrubbed` alone."""

    __slots__ = ()


PLAIN = (bool, int, float, complex, type(None), Scrubbed)
"""What a record may show of its arguments as it is."""


class LogFile(RotatingFileHandler):
    """The file of this process. A full disk or a folder that is gone holds nobody up.

    Attributes
    ----------
    lost : bool
        Whether the last record did not arrive.
    """

    def __init__(self, folder: Path) -> None:
        name = f"deferredseg-{datetime.now(UTC):%Y%m%d}-{os.getpid()}.log"
        super().__init__(folder / name, maxBytes=LARGEST, backupCount=BACKUPS, encoding="utf-8", delay=True)
        self.lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.lost = False
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the record out."""
        self.lost = True


class Scrubber(logging.Formatter):
    """Formats a record from its constant message; of its arguments it shows numbers and names of classes alone."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        safe = logging.makeLogRecord(record.__dict__ | {"args": _plain_args(record.args), "exc_text": None})
        safe.stack_info = None
        return super().format(safe)

    def formatException(self, ei: Any) -> str:
        """Return classes and places of a chain of exceptions, without what they say."""
        return scrubbed(ei[1]) if ei[1] is not None else ""


def start_log(folder: Path) -> Path | None:
    """Write what this process logs to a file in a folder, from now on. Harmless when it does already.

    Returns
    -------
    Path or None
        The file, which is there from the first record on; None where the folder cannot be made.
    """
    logger = logging.getLogger(PACKAGE)
    for known in _files(logger):
        if Path(known.baseFilename).parent == folder.absolute():
            return Path(known.baseFilename)
        _remove(logger, known)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    handler = LogFile(folder.absolute())
    handler.setLevel(logging.INFO)
    handler.setFormatter(Scrubber(LINE))
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, logger.level or logging.INFO))
    return Path(handler.baseFilename)


class Shown(logging.Handler):
    """Shows warnings while it is entered: `write` gets each as a line. `tell_all` shows everything instead.

    Failures are left out of the warnings: whoever meets one tells the reader in a line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._write = write
        self.setFormatter(Scrubber(SHORT_LINE))
        self._quiet = True

    def tell_all(self) -> None:
        """Show the whole log from now on, with its tracebacks."""
        self._quiet = False
        self.setLevel(logging.DEBUG)
        self.setFormatter(Scrubber(LINE))
        logging.getLogger(PACKAGE).setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        if not (self._quiet and record.exc_info):
            self._write(self.format(record))

    def __enter__(self) -> Self:
        logging.getLogger(PACKAGE).addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _remove(logging.getLogger(PACKAGE), self)


def log_file() -> Path | None:
    """File that this process logs to; None before `start_log`."""
    return next((Path(handler.baseFilename) for handler in _files(logging.getLogger(PACKAGE))), None)


def log_failure(log: logging.Logger, error: BaseException, doing: str) -> Path | None:
    """Log an exception that somebody is told of in a line. `doing` is a constant: what failed, such as "a run".

    What the user can mend is information, everything else an error; both with their tracebacks.

    Returns
    -------
    Path or None
        The file that has it; None where nothing is logged to a file, or it could not be written.
    """
    told = isinstance(error, DeferredSegError | KeyboardInterrupt) and not isinstance(error, Damaged | WorkerDied)
    level = logging.INFO if told else logging.ERROR
    log.log(level, "%s failed", Scrubbed(doing), exc_info=error)
    known = [handler for handler in _files(logging.getLogger(PACKAGE)) if not handler.lost]
    return next((path for path in (Path(handler.baseFilename) for handler in known) if path.is_file()), None)


def scrubbed(error: BaseException) -> Scrubbed:
    """Classes of an exception and its causes with the places in the code that they passed, the cause first.

    Messages are left out: they name files, people and values. Of other people's code not even the place is told.
    """
    told: list[str] = []
    link: BaseException | None = error
    for _ in range(DEEPEST):
        if link is None:
            break
        places = map(_place, traceback.extract_tb(link.__traceback__, limit=-FRAMES))
        notes = (note for note in getattr(link, "__notes__", ()) if isinstance(note, Scrubbed))
        told.insert(0, "\n".join([*places, name_of(link), *notes]))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return Scrubbed("\nwhich led to\n".join(told))


def name_of(error: BaseException) -> str:
    """Class of an exception, with the system's word for what failed where there is one."""
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return type(error).__qualname__ + (f" ({code})" if code else "")


def _place(frame: traceback.FrameSummary) -> str:
    if frame.filename.startswith("<frozen "):
        return f"  {frame.filename}"
    found = _comparable(frame.filename)
    for root in ROOTS:
        if found.startswith(root + os.sep):
            inner = Path(found[len(root) + 1 :]).as_posix()
            return f"  {f'{PACKAGE}/{inner}' if root == OURS else inner}:{frame.lineno} in {frame.name}"
    return "  code from elsewhere"


def _plain_args(args: Any) -> Any:
    if isinstance(args, dict):
        return {key: _plain(value) for key, value in args.items()}
    return tuple(map(_plain, args)) if args else args


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, BaseException):
        return name_of(value)
    return value.__qualname__ if isinstance(value, type) else f"[{type(value).__qualname__}]"


def _files(logger: logging.Logger) -> list[LogFile]:
    return [handler for handler in logger.handlers if isinstance(handler, LogFile)]


def _remove(logger: logging.Logger, handler: logging.Handler) -> None:
    logger.removeHandler(handler)
    handler.close()
