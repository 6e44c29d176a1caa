"""GDCM in a process of its own: damaged pixels can end it, and must not end the reader's window with it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
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
for line in sys.stdin:
    source, target = json.loads(line)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(source)
    try:
        numpy.save(target, SimpleITK.GetArrayFromImage(reader.Execute()))
        answer = "decoded"
    except (RuntimeError, MemoryError):
        answer = "failed"
    print(answer, flush=True)
"""


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
            GDCM refuses them, or they end its process.
        """
        folder = self._place()
        source, target = folder / "image.dcm", folder / "image.npy"
        image.save_as(source, enforce_file_format=True)
        name = image.file_meta.TransferSyntaxUID.name
        match self._ask(source, target):
            case "decoded":
                found: Array = np.load(target, allow_pickle=False)
                return found
            case "failed":
                raise CannotDecode(f"its pixels cannot be decoded ({name}); copy it again, or decompress it")
            case _:
                self._end()
                raise CannotDecode(f"its pixels end the program that decodes them ({name}): damaged, copy it again")

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="deferredseg-", ignore_cleanup_errors=True)
        if not is_plain(self._folder.name):  # within GDCM such a name ends the whole process
            raise CannotDecode("cannot be decompressed, the name of the temporary folder is not UTF-8")
        return Path(self._folder.name)

    def _ask(self, source: Path, target: Path) -> str:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD, json.dumps([str(path) for path in sys.path])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            raise AssertionError("both were asked for")
        try:
            questions.write(json.dumps([str(source), str(target)]) + "\n")
            questions.flush()
            return answers.readline().strip()
        except OSError:
            return ""

    def _end(self) -> None:
        """End the process and wait for it: until then a file that it has open cannot be removed on Windows."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError):
                process.communicate()
