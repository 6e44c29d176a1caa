"""How the command line starts: quickly, without torch and without a window; what its help says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from napari_deferredseg.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = {"torch", "qtpy", "PySide6", "PyQt6", "napari", "magicgui", "vispy", "superqt"}
SPY = """
import atexit, json, sys
@atexit.register
def tell():
    print(json.dumps(sorted({m.split(".")[0] for m in sys.modules})), file=open(sys.argv.pop(), "w"))
target = sys.argv.pop(1)
if target == "package":
    import napari_deferredseg
else:
    sys.argv, last = [sys.argv[0], *sys.argv[1:-1]], sys.argv[-1]
    from napari_deferredseg.cli.app import main
    try:
        main()
    finally:
        sys.argv.append(last)
"""


def loaded(tmp_path: Path, *words: object) -> set[str]:
    """Top-level modules that a process has loaded at its end."""
    answer = tmp_path / "modules.json"
    command = [sys.executable, "-c", SPY, *(str(word) for word in words), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(answer.read_text()))


@pytest.mark.parametrize(
    "words", [["package"], ["cli", "--help"], ["cli", "run", "--help"], ["cli", "model", "add", "--help"]], ids=" ".join
)
def test_help_and_package_load_nothing_heavy(tmp_path, words):
    modules = loaded(tmp_path, *words)
    assert "napari_deferredseg" in modules
    assert not modules & (SCREEN | {"SimpleITK", "sqlalchemy", "scipy", "pandas"})


def test_the_loop_needs_neither_torch_nor_a_window(tmp_path, unread):
    folder = tmp_path / "p"
    masks = ("--labels", unread.first, "--labels", unread.second)
    for words in (
        ("project", "init", folder),
        ("reader", "add", "Ada", "-p", folder),
        ("reader", "list", "-p", folder),
        ("run", unread.volume, "-p", folder, *masks),
        ("worklist", "--reader", "ada", "-p", folder, "--json"),
        ("export", "-p", folder, "-o", tmp_path / "out"),
        ("project", "verify", folder),
    ):
        assert not loaded(tmp_path, "cli", *words) & SCREEN, words
    assert list((tmp_path / "out").glob("*.nii.gz"))


HELP = {
    (): ("run", "worklist", "export", "demo", "project", "reader", "--version"),
    ("project",): ("init", "verify", "key"),
    ("project", "init"): ("--name", "the folder's by default"),
    ("project", "verify"): ("--against",),
    ("project", "key", "export"): ("--project",),
    ("project", "key", "import"): ("--project",),
    ("reader",): ("add", "edit", "absence", "deactivate", "activate", "list"),
    ("reader", "add"): ("60 by default", "[default: reader]", "--speciality", "--group", "--login"),
    ("reader", "list"): ("--project", "DEFERREDSEG_PROJECT"),
    ("model",): ("list", "add", "show"),
    ("model", "list"): ("DEFERREDSEG_PROJECT",),
    ("model", "add"): ("--project", "FOLDER"),
    ("model", "show"): ("--project", "NAME"),
    ("run",): (
        *(
            "[default: external]",
            "[default: (10%, or what the settings say)]",
            "predicted-foreground by default",
            "--orientation-checked",
        ),
        *("--device", "auto by default", "--channel", "--map", "CHANNEL=WHO", "--purpose"),
    ),
    ("settings",): ("defaults",),
    ("worklist",): ("--json", "--reader"),
    ("export",): ("[default: nifti]", "All by default"),
    ("demo",): ("[default: 0]", "[default: viewer]", "a temporary one by default"),
}


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_shows_options_and_defaults(type_in, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "200")
    for flag in ("--help", "-h"):
        said = type_in(*words, flag)
        assert (said.code, said.err) == (0, "")
        text = " ".join(said.out.replace("│", " ").split())
        for part in HELP[words]:
            assert part in text


def test_version(type_in):
    assert type_in("--version") == (0, f"deferredseg {__version__}\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen")
def test_the_demo_without_a_screen_says_so(type_in, monkeypatch, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    done = type_in("demo", "-p", tmp_path / "new")
    assert done.code != 0
    assert "no screen" in done.err
    assert not (tmp_path / "new").exists()


def test_the_project_may_come_from_the_environment(type_in, scene, monkeypatch):
    monkeypatch.setenv("DEFERREDSEG_PROJECT", str(scene.folder))
    assert "ada" in type_in("reader", "list").out


@pytest.mark.skipif(os.name == "nt", reason="a terminal of our own needs pty")
def test_the_progress_bar_is_for_a_terminal_alone(unread, shell):
    import pty

    words = ("run", unread.volume, "-p", unread.folder, "--labels", unread.first, "--labels", unread.second)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "napari_deferredseg.cli", *(str(word) for word in words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        out = process.stdout.read()
    os.close(ours)
    assert b"100%" in shown
    assert shown.endswith(b"\x1b[2K"), "the bar is still there"
    assert b"\x1b[" not in out
    assert out.startswith(b"case-")
    assert shell(*words).err == ""


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux says so when the other side has gone
        return b""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process on Windows")
def test_an_interrupted_run_leaves_nothing_and_says_so(unread, snapshot):
    before = snapshot(unread.folder)
    lock = sqlite3.connect(unread.folder / "project.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")  # the run gets as far as the database, and waits
    words = ("run", unread.volume, "-p", unread.folder, "--labels", unread.first, "--labels", unread.second)
    command = [sys.executable, "-m", "napari_deferredseg.cli", *(str(word) for word in words)]
    here = signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts in the background ignores it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, here)
        deadline = time.monotonic() + 60
        while not list(unread.folder.glob("predictions/[0-9a-f]*")):
            assert time.monotonic() < deadline, "the run did not get to its predictions"
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        lock.execute("ROLLBACK")
        lock.close()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "deferredseg: interrupted; nothing was left half done\n"
    after = snapshot(unread.folder)
    assert after.pop("predictions") == ""
    assert after == before


def test_a_name_that_the_terminal_cannot_spell(unread):
    command = [sys.executable, "-m", "napari_deferredseg.cli", "reader", "add", "Łukasz 李", "-p", str(unread.folder)]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=env, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert done.stderr.startswith(b"note: This project has no admin")
    with unread.open() as project:
        assert project.store.reader("lukasz").name == "Łukasz 李"
