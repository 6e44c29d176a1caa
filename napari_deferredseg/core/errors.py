"""The exceptions a user is meant to read: one family, whose members say what kind of thing went wrong.

Every other exception is a defect of ours.
"""

from __future__ import annotations

from typing import ClassVar


class DeferredSegError(Exception):
    """Base of all exceptions that are written for the user; raise a member, catch this where any will do.

    The message is one line that says what, where and what to do. Command line and widgets print it as it is. What
    cannot be written in UTF-8, such as names from old shares, is shown as escapes.

    Attributes
    ----------
    exit_code : int
        What the command line exits with.
    command : str
        What a person at a terminal can type, or "": the command line puts it behind the message, no panel does.
    kind : str
        What the members of a class have in common, in a few words for help and docs.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "refused"

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(legible(" ".join(message.split())))
        self.command = command


class InputError(DeferredSegError, ValueError):
    """Something the user gave cannot be used: a file, a value, a name, or a place that cannot be written."""

    exit_code = 1
    kind = "something given cannot be used"


class Busy(DeferredSegError):
    """Somebody else holds it now, or was there first: a region, a draft, the database."""

    exit_code = 4
    kind = "somebody else holds it"


class Damaged(DeferredSegError):
    """What this program wrote is not what it was: a project, its database or arrays, the image of a case."""

    exit_code = 5
    kind = "a project or file is not what it was"


class WorkerDied(DeferredSegError):
    """The process that runs models is gone, or had too little memory."""

    exit_code = 6
    kind = "the worker process died or ran out of memory"


class NotAllowed(DeferredSegError):
    """Whoever asks may not do this: their role, the project's state, the rights on its folder, or trust forbid it."""

    exit_code = 7
    kind = "not allowed"


class MissingExtra(DeferredSegError):
    """A part of the product that is installed on demand is not there."""

    exit_code = 8
    kind = "an optional part is not installed"


class Cancelled(DeferredSegError):
    """Somebody wanted no more of it. Nothing is wrong."""

    exit_code = 130
    kind = "interrupted"


MEMBERS = (InputError, Busy, Damaged, WorkerDied, NotAllowed, MissingExtra, Cancelled)
"""The family without its base, by exit code."""
NO_MEMORY = "there is not enough memory for this: close other programs, or use a smaller image"
"""What is told where memory runs out and nobody knows more."""
WRONG_COMMAND, DEFECT = 2, 3
"""Exit codes beside the family's: the command itself is wrong, and an exception that is a defect of ours."""


def legible(text: str) -> str:
    """Text that can be shown and kept: file names that are not UTF-8 carry letters that can be neither."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
