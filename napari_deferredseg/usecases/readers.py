"""The readers of a project: taking them in, changing them, their absences, their leaving; and who it is that acts."""

from __future__ import annotations

import getpass
import hashlib
import re
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import LONGEST, shortened
from napari_deferredseg.core.records import LOGIN, Reader, Role
from napari_deferredseg.usecases.permissions import Action, require
from napari_deferredseg.usecases.running.route import minutes_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from napari_deferredseg.usecases.project import Project

SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
)
"""Letters that Unicode does not take apart."""
USUAL_CAPACITY = 60.0
UNNAMED = "user"
"""How a login begins of somebody whose name on this computer has no letter that a login could have."""


class Profile(NamedTuple):
    """What a reader's record says of them, as somebody typed it. `capacity` None: 60 min, for an admin 0."""

    name: str
    login: str = ""
    capacity: float | None = None
    specialities: tuple[str, ...] = ()
    role: Role = Role.READER
    groups: tuple[str, ...] = ()


class FirstAdmin(NamedTuple):
    """Who makes a project. `name_here` is their name on this computer where the login is another word, else ""."""

    reader: Reader
    name_here: str = ""

    def __str__(self) -> str:
        """Who is admin, in a sentence or two."""
        turned = f" (for {self.name_here!r}, which is no login)" if self.name_here else ""
        return f"{self.reader.login}{turned} is its admin; no regions are routed to an admin without a capacity"


def add(project: Project, profile: Profile, by: str | None = None) -> Reader:
    """Take somebody in. Whoever made the project and adds themselves stays its admin, and reads from now on.

    Raises
    ------
    InputError
        The login is taken, or something is no name, no login or no capacity.
    NotAllowed
        `by` may not do this.
    """
    actor = require(project, Action.READERS, by)
    _check_lengths((profile.name, *profile.specialities, *profile.groups))
    if not profile.name.strip():
        raise InputError("the name of the reader is empty: give one")
    usual = 0.0 if profile.role is Role.ADMIN else USUAL_CAPACITY
    capacity = usual if profile.capacity is None else profile.capacity
    with _said():
        reader = Reader(
            login=profile.login or login_from(profile.name),
            name=profile.name,
            capacity=capacity,
            specialities=profile.specialities,
            role=profile.role,
            groups=profile.groups,
        )
    if actor is not None and reader.login.casefold() == actor.login.casefold() and _only_manages(actor) and capacity:
        facts = reader.model_dump(include={"name", "capacity", "specialities", "groups"})
        return project.store.change_reader(actor.login, "edit", facts, actor.login)
    project.store.add_reader(reader, actor.login if actor else "")
    return reader


def edit(project: Project, login: str, changes: dict[str, object], by: str | None = None) -> Reader:
    """Change what the record says of somebody: name, capacity, specialities, role, groups.

    Raises
    ------
    InputError
        There is no such reader, a field cannot be changed or is no such thing, or nobody would be admin any more.
    NotAllowed
        `by` may not do this.
    """
    actor = require(project, Action.READERS, by)
    strange = sorted(set(changes) - {"name", "capacity", "specialities", "role", "groups"})
    if strange:
        raise InputError(f"{strange[0]} of a reader cannot be edited")
    found = project.store.reader(login)
    texts = [changes.get("name", ""), *_texts(changes.get("specialities")), *_texts(changes.get("groups"))]
    _check_lengths([str(text) for text in texts])
    with _said():
        return project.store.change_reader(found.login, "edit", changes, actor.login if actor else "")


def set_absence(project: Project, login: str, first: date | None, last: date | None, by: str | None = None) -> Reader:
    """Say from which to which day somebody is absent, in place of what was said before; None and None: not at all.

    No regions are routed to them on these days; what they have stays theirs.

    Raises
    ------
    InputError
        There is no such reader, one day is missing, or the last is before the first.
    NotAllowed
        `by` may not do this; everybody may for themselves.
    """
    found = project.store.reader(login)
    own = by is not None and by.casefold() == found.login.casefold()
    actor = require(project, Action.OWN_ABSENCE if own else Action.ABSENCE, by)
    with _said():
        days = {"absent_from": first, "absent_to": last}
        return project.store.change_reader(found.login, "absence", days, actor.login if actor else "")


def deactivate(project: Project, login: str, by: str | None = None) -> tuple[Reader, float]:
    """End somebody's part in the project; returns the minutes of reading that wait for them and nobody else.

    Nothing new goes to them, and what they are reading at this moment is released. What they submitted stays.

    Raises
    ------
    InputError
        There is no such reader, or they are the only admin.
    NotAllowed
        `by` may not do this.
    """
    actor = require(project, Action.READERS, by)
    found = project.store.reader(login)
    gone = project.store.change_reader(found.login, "deactivate", {"active": False}, actor.login if actor else "")
    return gone, minutes_waiting(project).get(gone.login, 0.0)


def activate(project: Project, login: str, by: str | None = None) -> Reader:
    """Take somebody in again who was deactivated; errors as `edit`."""
    actor = require(project, Action.READERS, by)
    found = project.store.reader(login)
    return project.store.change_reader(found.login, "activate", {"active": True}, actor.login if actor else "")


def standing_of(reader: Reader) -> str:
    """Why nothing goes to a reader, or will not for some days: deactivated, or their absence; mostly empty."""
    if not reader.active:
        return "deactivated"
    return f"{reader.absent_from} to {reader.absent_to}" if reader.absent_from else ""


def who_acts(project: Project, login: str | None = None) -> str | None:
    """Login of who acts: the given one, or this computer's user where that is a login of the project, else None.

    Raises
    ------
    InputError
        The project has no such reader.
    """
    if login is not None:
        return project.store.reader(login).login
    here = name_here()
    known = {x.login.casefold(): x.login for x in project.store.readers()}
    return next((known[x] for x in (here.casefold(), _login_here(here).casefold()) if x in known), None)


def first_admin() -> FirstAdmin:
    """Whoever uses this computer, as the admin of a project that they make. No regions are routed to them."""
    here = name_here()
    login = _login_here(here)
    name = shortened(" ".join(here.split()), LONGEST - 3)
    shown = name if name and name.isprintable() else login
    reader = Reader(login=login, name=shown, capacity=0, role=Role.ADMIN)
    return FirstAdmin(reader, "" if login == here else here or "a user without a name")


def name_here() -> str:
    """Name of this computer's user; empty where the system gives none."""
    try:
        return getpass.getuser().encode("utf-8", "replace").decode("utf-8")
    except (OSError, KeyError, ImportError):  # as Python's versions and systems differ
        return ""


def login_from(name: str) -> str:
    """Make a login of a display name: lower case, plain letters, dots for gaps.

    Raises
    ------
    InputError
        Nothing is left of it.
    """
    spelled = name.lower().translate(SPELLED)
    plain = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    login = re.sub(r"[^a-z0-9_-]+", ".", plain).strip("._-")[:40]
    if not login:
        raise InputError(f"no login can be made from {name!r}: give a login", command="--login LOGIN")
    return login


def _login_here(here: str) -> str:
    """Login for a name on this computer: the name itself where it is one, always the same otherwise."""
    if LOGIN.fullmatch(here):
        return here
    try:
        return login_from(here)
    except InputError:
        return f"{UNNAMED}-{hashlib.sha256(here.encode()).hexdigest()[:6]}" if here else UNNAMED


def _only_manages(reader: Reader) -> bool:
    return reader.role is Role.ADMIN and reader.capacity == 0


def _texts(value: object) -> Sequence[object]:
    return value if isinstance(value, (tuple, list)) else ()


def _check_lengths(texts: Sequence[str]) -> None:
    for text in texts:
        if len(text) > LONGEST:
            raise InputError(f"{shortened(text)!r} has {len(text)} characters: {LONGEST} are the most for a name")


@contextmanager
def _said() -> Iterator[None]:
    """Make a line of what a record does not take."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(x) for x in first["loc"][:1])
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(said if first["type"] == "value_error" else f"{field}: {said}") from None
