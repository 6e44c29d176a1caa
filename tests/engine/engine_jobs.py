"""Jobs for the tests of the engine."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from os import system  # noqa: F401  must not be found as a job of ours
from pathlib import Path

import numpy as np

from napari_deferredseg.core import errors
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import one_line


class OddError(Exception):
    """Cannot be rebuilt from its arguments, as not every library's can."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


def pid(warm, progress) -> int:
    return os.getpid()


def echo(warm, progress, *values):
    return values


def shifted(warm, progress, array: np.ndarray) -> np.ndarray:
    array += 1
    return array


def count(warm, progress) -> int:
    warm["calls"] = warm.get("calls", 0) + 1
    return warm["calls"]


def steps(warm, progress, number: int, seconds: float = 0.0) -> str:
    for step in range(number):
        progress(step / number, f"step {step}")
        if seconds:
            time.sleep(seconds)
    progress(1.0, "done")
    return "all"


def tidy(warm, progress, traces: Path) -> None:
    """Work until stopped, in a way that takes every Exception for its own."""
    try:
        while True:
            try:
                progress(0.5, "working")
                time.sleep(0.01)
            except Exception:
                (traces / "swallowed").touch()
    finally:
        (traces / "tidied").touch()


def deaf(warm, progress, seconds: float = 60.0) -> None:
    progress(0.0, "not listening any more")
    time.sleep(seconds)


def fails(warm, progress, kind: str):
    match kind:
        case "input":
            raise InputError("scan.nii.gz has two images:\n give one")
        case "defect":
            return {}["nothing"]  # type: ignore[index]
        case "odd":
            raise OddError("lost", "sea")
        case "exit":
            sys.exit(3)
        case "numpy memory":
            return np.ones(1 << 60, np.uint8)
        case "torch memory":
            import torch

            return torch.ones(1 << 50)
        case "cuda memory":
            import torch

            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "unsendable":
            return lambda: None
        case "segfault":
            ctypes.string_at(0)
        case "gone":
            os._exit(7)


def refuses(warm, progress, member: str, line: str) -> None:
    raise getattr(errors, member)(line)


def meets_a_defect(warm, progress, value: str) -> str:
    return one_line(f"{value}\a")


def talks(warm, progress) -> None:
    print("python says hello")
    os.write(1, b"c says hello\n")
    sys.__stdout__.write("the old one says hello\n")
    sys.__stdout__.flush()


def surroundings(warm, progress) -> dict[str, object]:
    import psutil
    import torch

    return {
        "stdin": sys.stdin.read(),
        "threads": torch.get_num_threads(),
        "nice": psutil.Process().nice(),
    }


def parent_of(warm, progress, seconds: float) -> None:
    """Start a child that sleeps, tell its pid, sleep too."""
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
    progress(0.0, str(child.pid))
    time.sleep(seconds)
