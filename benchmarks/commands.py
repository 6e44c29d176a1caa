"""Commands as a user would type them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def command(*words: str | Path) -> None:
    """Run `deferredseg`; what it prints goes to standard error, beside the benchmark's own tables."""
    subprocess.run([sys.executable, "-m", "napari_deferredseg.cli", *map(str, words)], check=True, stdout=sys.stderr)
