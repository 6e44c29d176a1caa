"""File names that native libraries can take: a name that is not UTF-8 ends the whole process there."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def is_plain(path: Path | str) -> bool:
    """Whether a name can be written in UTF-8. Names from old shares or archives (Latin-1) cannot."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def plain_file(path: Path, beside: Sequence[Path] = ()) -> Iterator[Path]:
    """Give a file to native code under a name that it can take: its own, or that of a link in a temporary folder.

    Parameters
    ----------
    path : Path
        A file that is there.
    beside : sequence of Path
        Relative to its folder: what it refers to by name.

    Raises
    ------
    InputError
        Neither a link nor a copy can be made, or what it refers to has such a name.
    """
    if not all(is_plain(name) for name in beside):
        raise InputError(f"{path}: refers to a file whose name is not UTF-8; rename it")
    if is_plain(path):
        yield path
        return
    with _temporary(path) as folder:
        there = folder / f"file{''.join(s for s in path.suffixes[-2:] if is_plain(s))}"
        try:
            for source, link in ((path, there), *((path.parent / name, folder / name) for name in beside)):
                link.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(source, link)
        except OSError as e:
            raise InputError(f"{path}: its name is not UTF-8 and it cannot be linked or copied; rename it") from e
        yield there


@contextmanager
def plain_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to native code that writes into it under a name that it can take, as `plain_file` does.

    Raises
    ------
    InputError
        A link to it cannot be made.
    """
    if is_plain(folder):
        yield folder
        return
    with _temporary(folder) as place:
        there = place / "folder"
        try:
            there.symlink_to(folder.absolute(), target_is_directory=True)
        except (OSError, NotImplementedError) as e:
            raise InputError(f"{folder}: its name is not UTF-8; write to another folder, or rename it") from e
        yield there


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="deferredseg-") as folder:
        if not is_plain(folder):
            raise InputError(f"{path}: its name is not UTF-8, nor is that of the temporary folder; rename one of them")
        yield Path(folder)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.absolute())
    except (OSError, NotImplementedError):  # Windows asks for a privilege
        shutil.copyfile(source, target)
