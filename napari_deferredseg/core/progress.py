"""How long work tells what it is doing, and what it may keep for the next time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

Progress = Callable[[float, str], None]
"""Called with the share done, 0 to 1, and what is being done, in a few words. It may raise to cancel."""

Tell = Callable[[str], None]
"""Called with a sentence that somebody should read, such as what was decided in reading a file."""

Warm = MutableMapping[Hashable, Any]
"""What a job leaves in its process for the jobs after it, such as a model that took long to load."""


def silent(share: float, doing: str) -> None:
    """Report nothing."""


def unsaid(sentence: str) -> None:
    """Tell nobody."""
