"""What a reader, a lead and an admin may do in a project: one table, and the refusal of everything else.

On a database that is a file this guards against mistakes, not against malice: whoever can write the file can write
anything. `docs/roles.md` shows the table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.core.records import Reader, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.usecases.project import Project


class Action(StrEnum):
    """Something that writes, as messages and docs call it."""

    READ = "to claim, skip, decline and submit regions of one's own"
    DEFER = "to send a region to an expert"
    RELEASE_OWN = "to give back a region that one reads"
    OWN_ABSENCE = "to say when one is absent oneself"
    IMPORT_KEY = "to take in a key that one was handed"
    RUN = "to run a model and have its regions routed"
    SWEEP = "to clear away what runs have left"
    RELEASE = "to release a region that somebody else reads"
    ABSENCE = "to say when somebody else is absent"
    EXPORT = "to export labels"
    ADD_MODEL = "to add a model to the project"
    READERS = "to add, edit, deactivate and activate readers"
    EXPORT_KEY = "to export the project's key"


LEAST: dict[Action, Role] = {
    Action.READ: Role.READER,
    Action.DEFER: Role.READER,
    Action.RELEASE_OWN: Role.READER,
    Action.OWN_ABSENCE: Role.READER,
    Action.IMPORT_KEY: Role.READER,
    Action.RUN: Role.LEAD,
    Action.SWEEP: Role.LEAD,
    Action.RELEASE: Role.LEAD,
    Action.ABSENCE: Role.LEAD,
    Action.EXPORT: Role.LEAD,
    Action.ADD_MODEL: Role.LEAD,
    Action.READERS: Role.ADMIN,
    Action.EXPORT_KEY: Role.ADMIN,
}
"""The least role that each action needs; the roles above it may do the same."""

IN_EVERY_PROJECT = frozenset({Action.RELEASE})
"""What needs its role in a project without an admin, too: nobody's reading ends by somebody's mistake."""

RANKS = (Role.READER, Role.LEAD, Role.ADMIN)


def may(role: Role | None, action: Action, *, has_admin: bool = True) -> bool:
    """Whether somebody with a role, None for somebody unknown, may do something in a project with or without admin."""
    if not has_admin and action not in IN_EVERY_PROJECT:
        return True
    return role is not None and RANKS.index(role) >= RANKS.index(LEAST[action])


def require(project: Project, action: Action, by: str | None) -> Reader | None:
    """Return who acts, by login, None where nobody is named and nobody needs to be.

    Raises
    ------
    InputError
        There is no such login.
    NotAllowed
        They may not do this, or were deactivated; or nobody is named in a project that has an admin.
    """
    readers = project.store.readers()
    actor = _named(readers, by)
    if actor is not None and not actor.active:
        raise NotAllowed(f"{_called(actor)} was deactivated in this project; this is {_who_may(readers, action)}")
    if may(None if actor is None else actor.role, action, has_admin=has_admin(readers)):
        return actor
    if actor is None:
        able = _allowed(readers, action)
        names = ", ".join(x.name for x in able)
        raise NotAllowed(
            f"choose your name first: {action} is for {_roles(action)} ({names or 'nobody yet'})",
            command=f"--as {'|'.join(x.login for x in able) or 'LOGIN'}",
        )
    raise NotAllowed(f"{_called(actor)} is a {actor.role} of this project, and {action} is {_who_may(readers, action)}")


def has_admin(readers: Sequence[Reader]) -> bool:
    """Whether roles hold in a project with these readers."""
    return any(x.active and x.role is Role.ADMIN for x in readers)


def open_to_all(project: Project) -> str:
    """Sentence that a project has no admin; empty where it has."""
    if has_admin(project.store.readers()):
        return ""
    return "This project has no admin, so everybody may do everything; a reader with the role admin changes that."


def _named(readers: Sequence[Reader], by: str | None) -> Reader | None:
    if not by:
        return None
    found = next((x for x in readers if x.login.casefold() == by.casefold()), None)
    if found is None:
        raise InputError(f"there is no reader {by!r}; known logins: {', '.join(x.login for x in readers) or 'none'}")
    return found


def _called(reader: Reader) -> str:
    return reader.name if reader.name == reader.login else f"{reader.name} (login {reader.login})"


def _who_may(readers: Sequence[Reader], action: Action) -> str:
    """Least role for an action and who has it, such as "for a lead or an admin: Lea Brandt (login lea)"."""
    return f"for {_roles(action)}: {', '.join(map(_called, _allowed(readers, action))) or 'nobody yet'}"


def _roles(action: Action) -> str:
    return " or ".join(f"{'an' if role is Role.ADMIN else 'a'} {role}" for role in _ranks(action))


def _ranks(action: Action) -> tuple[Role, ...]:
    return RANKS[RANKS.index(LEAST[action]) :]


def _allowed(readers: Sequence[Reader], action: Action) -> list[Reader]:
    return [x for x in readers if x.active and x.role in _ranks(action)]
