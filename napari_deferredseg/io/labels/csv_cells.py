"""Texts in CSV files that a spreadsheet would run as a formula: neutralised when written, the same again when read."""

from __future__ import annotations

import re

# Those of some languages' keyboards, twice as wide, start a formula there too.
_RUN = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def to_cell(text: str) -> str:
    """Text as a cell of a CSV: with an apostrophe before it where a spreadsheet would run it.

    What is such a text behind apostrophes of its own gets one more, so that `from_cell` gives every text back.
    """
    return f"'{text}" if _RUN.match(text) else text


def from_cell(cell: str) -> str:
    """Text of a cell that `to_cell` wrote; a cell that somebody else wrote loses an apostrophe before a formula."""
    return cell[1:] if cell.startswith("'") and _RUN.match(cell) else cell
