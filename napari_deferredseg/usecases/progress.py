"""How long work tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done, 0 to 1, and what is being done, in a few words. It may raise to cancel."""


def silent(share: float, doing: str) -> None:
    """Report nothing."""
