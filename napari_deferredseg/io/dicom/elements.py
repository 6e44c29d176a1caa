"""Values of single tags, each damage told by the name of its tag."""

from __future__ import annotations

import math
from functools import cache
from itertools import takewhile
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
    """Text of a tag that has one value, "" where it is missing.

    Raises
    ------
    InputError
        It has several, or holds what is no text. The line does not show it: damage may mix a patient's name in.
    """
    found = value(path, tags, name)
    shown = "" if found is None else str(found).strip(" \0")
    if _several(found) or not shown.isprintable():
        raise InputError(f"{path}: its tag {name} is damaged; copy it again, or correct the tag")
    return shown


def caption(path: Path, tags: Any, name: str) -> str:
    """Free text of a tag for people to read, up to what cannot be printed."""
    found = value(path, tags, name)
    shown = "" if found is None else "/".join(map(str, found)) if _several(found) else str(found)
    return "".join(takewhile(str.isprintable, shown))[:64].strip()


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
        values = tuple(float(v) for v in found) if _several(found) else (float(found),)
    except (ValueError, TypeError, OverflowError):
        values = (math.nan,)
    if not all(math.isfinite(v) for v in values):
        raise InputError(f"{path}: its tag {name} holds what is no number; copy it again, or correct the tag")
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


def _several(found: Any) -> bool:
    return hasattr(found, "__iter__") and not isinstance(found, str | bytes)
