"""Values of single tags, each damage told by the name of its tag."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from pydicom.tag import Tag

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.headers import DAMAGED

if TYPE_CHECKING:
    from pathlib import Path


_tag = cache(Tag)


def value(path: Path, tags: Any, name: str) -> Any:
    """Value of a tag, None where it is missing or empty.

    Raises
    ------
    InputError
        It cannot be parsed.
    """
    tag = _tag(name)
    try:
        found = tags[tag].value if tag in tags else None
    except DAMAGED as e:
        raise InputError(f"{path}: its tag {name} is damaged; copy it again, or correct the tag") from e
    return None if found is None or found == "" else found


def text(path: Path, tags: Any, name: str) -> str:
    """Text of a tag, "" where it is missing."""
    found = value(path, tags, name)
    return "" if found is None else str(found).strip(" \0")


def words(path: Path, tags: Any, name: str) -> tuple[str, ...]:
    """All values of a tag as text."""
    found = value(path, tags, name)
    if found is None:
        return ()
    return (found,) if isinstance(found, str) else tuple(str(v) for v in found)


def numbers(path: Path, tags: Any, name: str) -> tuple[float, ...]:
    """All values of a tag as numbers, () where it is missing.

    Raises
    ------
    InputError
        One is no number.
    """
    found = value(path, tags, name)
    if found is None:
        return ()
    try:
        several = hasattr(found, "__iter__") and not isinstance(found, str | bytes)
        values = tuple(float(v) for v in found) if several else (float(found),)
    except (ValueError, TypeError, OverflowError):
        values = (math.nan,)
    if not all(math.isfinite(v) for v in values):
        raise InputError(f"{path}: its tag {name} holds {str(found)[:40]!r}, no number; correct the tag")
    return values


def one_number(path: Path, tags: Any, name: str) -> float | None:
    """Value of a tag that has one.

    Raises
    ------
    InputError
        It has several, or one that is no number.
    """
    found = numbers(path, tags, name)
    if len(found) > 1:
        raise InputError(f"{path}: its tag {name} holds {len(found)} values, not one; correct the tag")
    return found[0] if found else None


def whole(path: Path, tags: Any, name: str) -> int | None:
    """Value of a tag that has one whole number; InputError as `one_number`, or where it has a fraction."""
    found = one_number(path, tags, name)
    if found is not None and found != int(found):
        raise InputError(f"{path}: its tag {name} holds {found:g}, no whole number; correct the tag")
    return None if found is None else int(found)
