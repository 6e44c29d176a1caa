"""Names that people read: what may be one, and how one is shown that was kept before there was a rule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 100
"""Characters of a label's name at most."""

# Letters and a symbol that fonts draw as nothing, though Unicode counts them as printable.
UNSEEN = "\u115f\u1160\u2800\u3164\uffa0"


def one_line(value: str) -> str:
    """Name on one line, with single blanks.

    Raises
    ------
    ValueError
        Blank, or with characters that cannot be seen: control characters, marks that turn the direction of writing.
    """
    plain = " ".join(value.split())
    if not plain.strip(UNSEEN + " ") or not plain.isprintable():
        raise ValueError(f"{shortened(value)!r} is no name: use characters that can be seen")
    return plain


def folder_in(setting: str) -> Path | None:
    """Folder that an environment variable names, with `~` for the home folder; None where it is not set."""
    given = os.environ.get(setting, "").strip()
    try:
        return Path(given).expanduser() if given else None
    except RuntimeError:  # a user without a home
        return Path(given)


def label_name(value: str) -> str:
    """Name of a label as it comes from a file: as `one_line`, at most `LONGEST` characters, no line breaks or tabs.

    Raises
    ------
    ValueError
        It is none.
    """
    plain = value.strip()
    if any(c < " " or c == "\x7f" for c in plain):
        raise ValueError(f"{shortened(value)!r} is no name: it holds a line break, a tab or another control character")
    plain = one_line(plain)
    if len(plain) > LONGEST:
        raise ValueError(f"{shortened(plain)!r} is no name: it has {len(plain)} characters, {LONGEST} are the most")
    return plain


def visible(text: str) -> str:
    """Text in which every character can be seen: all others but line breaks become their Unicode escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = 40) -> str:
    """Beginning of a text, for a message."""
    return text if len(text) <= most else f"{text[:most]}..."


Name = Annotated[str, AfterValidator(one_line)]
"""Something to be read by people: one line, not empty, single blanks."""

LabelName = Annotated[str, AfterValidator(label_name)]
"""Name of a label, as `label_name`."""
