"""The one exception a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what, where and what to do. Command line and widgets print it as it is;
    every other exception is a defect of ours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
