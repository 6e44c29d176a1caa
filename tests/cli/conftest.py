from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from napari_deferredseg.cli.app import main

SCRIPT = Path(sys.executable).with_name("deferredseg.exe" if os.name == "nt" else "deferredseg")
SIDE_FILES = ("-wal", "-shm")


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture(scope="session")
def shell() -> Type:
    """Run `deferredseg` as a process of its own, with pipes for its output."""

    def run(*words: object, cwd: Path | None = None) -> Said:
        done = subprocess.run(
            [SCRIPT, *(str(word) for word in words)],
            capture_output=True,
            cwd=cwd,
            check=False,
            encoding="utf-8",
            timeout=120,
            env=environment(),
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def environment(**more: str) -> dict[str, str]:
    """Environment of a process that speaks UTF-8 and knows no project."""
    mine = {k: v for k, v in os.environ.items() if k not in ("DEFERREDSEG_PROJECT", "FORCE_COLOR", "COLUMNS")}
    return mine | {"PYTHONUTF8": "1"} | more


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Run `deferredseg` in this process, as the console script does."""
    monkeypatch.delenv("DEFERREDSEG_PROJECT", raising=False)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["deferredseg", *(str(word) for word in words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Hash of every file and name of every folder below a folder, SQLite's side files left out."""

    def taken(root: Path) -> dict[str, str]:
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(root.rglob("*"))
            if not path.name.endswith(SIDE_FILES)
        }

    return taken


@pytest.fixture(scope="session")
def forge() -> ModuleType:
    """The module of forgeries beside the tests of the store."""
    spec = importlib.util.spec_from_file_location("forge", Path(__file__).parents[1] / "store" / "forge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
