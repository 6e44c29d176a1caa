"""GDCM in a process of its own: damaged pixels can end it, and must not end the reader's window with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_deferredseg.io.plain_names import is_plain

if TYPE_CHECKING:
    from types import TracebackType

    from pydicom.dataset import Dataset

    from napari_deferredseg.core.volume import Array

# A fresh interpreter that imports SimpleITK alone: multiprocessing would run the user's own script again.
CHILD = """\
import json, sys
sys.path[:] = json.loads(sys.argv.pop())
import numpy, SimpleITK
SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
print("ready", flush=True)
def decode(source, target):
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(source)
    try:
        numbers = SimpleITK.GetArrayFromImage(reader.Execute())
    except MemoryError:
        return "no memory"
    except RuntimeError as error:
        said = str(error).lower()
        return "no memory" if "allocate memory" in said or "bad_alloc" in said else "failed"
    try:
        numpy.save(target, numbers)
    except OSError:
        return "not written"
    return "decoded"
for line in sys.stdin:
    print(decode(*json.loads(line)), flush=True)
"""
START_SECONDS, IMAGE_SECONDS = 120.0, 120.0
"""How long the process may take until it is ready, and for one image."""
ENDING_SECONDS = 5.0
LEFT_SECONDS = 86400.0
"""After which nobody is at work in a folder: the process that made it was ended before it could remove it."""
PREFIX, SOURCE, TARGET = "deferredseg-", "image.dcm", "image.npy"
NO_MEMORY = "there is no memory to decode its pixels; free some, or use a smaller image"


class CannotDecode(Exception):
    """GDCM cannot decode these pixels; the text says why, as the end of a sentence about the file."""


class Decoder:
    """Decodes compressed files one by one. The process starts with the first of them, and ends with the block.

    It sees the compressed data alone, in a temporary file: never the user's file, nor its name.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if self._folder is not None:
            self._folder.cleanup()

    def decode(self, image: Dataset) -> Array:
        """Numbers as stored, of all frames of an image that holds nothing but its form and its pixels.

        Raises
        ------
        CannotDecode
            GDCM refuses them, or they end its process; or memory, the temporary folder or the process itself fail,
            which the file has no part in.
        """
        try:
            folder = self._place()
            source, target = folder / SOURCE, folder / TARGET
            image.save_as(source, enforce_file_format=True)
        except OSError as error:
            raise _not_written(error) from error
        name = image.file_meta.TransferSyntaxUID.name
        match self._ask(source, target):
            case "decoded":
                return _loaded(target)
            case "failed":
                raise CannotDecode(f"its pixels cannot be decoded ({name}); copy it again, or decompress it")
            case "no memory":
                raise CannotDecode(NO_MEMORY)
            case "not written":
                raise _not_written(None)
            case "late":
                raise CannotDecode(
                    f"its pixels take too long to decode ({name}): damaged? copy it again, or decompress it"
                )
            case _:
                raise CannotDecode(f"its pixels end the program that decodes them ({name}): damaged, copy it again")

    def _place(self) -> Path:
        if self._folder is None:
            _sweep(Path(gettempdir()))
            self._folder = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        if not is_plain(self._folder.name):  # within GDCM such a name ends the whole process
            raise CannotDecode("cannot be decompressed, the name of the temporary folder is not UTF-8")
        return Path(self._folder.name)

    def _ask(self, source: Path, target: Path) -> str:
        if self._process is None:
            self._process = _started()
            if _answer(self._process, None, START_SECONDS) != "ready":
                self._end()
                raise _not_started("it ended, or was silent, before it was ready")
        answer = _answer(self._process, json.dumps([str(source), str(target)]), IMAGE_SECONDS)
        if answer in ("", "late"):
            killed = not answer and _was_killed(self._process)
            self._end()
            return "no memory" if killed else answer
        return answer

    def _end(self) -> None:
        """End the process and wait for it: until then a file that it has open cannot be removed on Windows."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError):
                process.communicate()


def _started() -> subprocess.Popen[str]:
    if not sys.executable:
        raise _not_started("this program does not say where its Python is, as one with Python built in may not")
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, json.dumps([str(path) for path in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, ValueError) as error:
        raise _not_started(str(getattr(error, "strerror", None) or error)) from error


def _answer(process: subprocess.Popen[str], question: str | None, seconds: float) -> str:
    """What the process says; "" when it ends instead, "late" when it had to be ended."""
    questions, answers = process.stdin, process.stdout
    if questions is None or answers is None:
        raise AssertionError("both were asked for")
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        if question is not None:
            questions.write(question + "\n")
            questions.flush()
        found = answers.readline().strip()
    except OSError:
        found = ""
    finally:
        timer.cancel()
    return "late" if late.is_set() else found


def _was_killed(process: subprocess.Popen[str]) -> bool:
    """Whether the system ended a process that has gone, which it does where memory runs out."""
    with suppress(subprocess.TimeoutExpired):
        return hasattr(signal, "SIGKILL") and process.wait(ENDING_SECONDS) == -signal.SIGKILL
    return False


def _loaded(target: Path) -> Array:
    try:
        found: Array = np.load(target, allow_pickle=False)
    except MemoryError as error:
        raise CannotDecode(NO_MEMORY) from error
    except (OSError, ValueError, EOFError) as error:
        raise CannotDecode(f"what was decoded cannot be read from the temporary folder {gettempdir()}") from error
    return found


def _not_started(why: str) -> CannotDecode:
    return CannotDecode(
        f"is compressed, and the program that decodes it does not start ({why}); "
        "start this one from its own Python environment, or decompress the file"
    )


def _not_written(error: OSError | None) -> CannotDecode:
    try:
        place = gettempdir()
    except OSError:
        place = ""
    why = f" ({error.strerror})" if error is not None and error.strerror else ""
    return CannotDecode(
        f"is compressed, and the temporary folder {place} that it is decoded in cannot be written{why}; "
        "free some space there, or name another folder in TMPDIR (TEMP on Windows)"
    )


def _sweep(temporary: Path) -> None:
    """Remove what decoders left that were ended from outside: it holds pixels of somebody."""
    for folder in temporary.glob(f"{PREFIX}*"):
        with suppress(OSError):
            files = list(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else None
            if files is None or any(file.name not in (SOURCE, TARGET) for file in files):
                continue
            if time.time() - max(x.stat().st_mtime for x in (folder, *files)) > LEFT_SECONDS:
                for file in files:
                    file.unlink()
                folder.rmdir()
