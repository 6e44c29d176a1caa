"""The one exception a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what, where and what to do. Command line and widgets print it as it is;
    every other exception is a defect of ours. What cannot be written in UTF-8, such as names from old shares, is shown
    as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(legible(" ".join(message.split())))


class NotAllowed(InputError):
    """Whoever acts may not do this in the project; the line says who they are, what is needed and who has it."""


def legible(text: str) -> str:
    """Text that can be shown and kept: file names that are not UTF-8 carry letters that can be neither."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
