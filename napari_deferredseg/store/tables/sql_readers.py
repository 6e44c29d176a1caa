"""Readers; every function runs inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from napari_deferredseg.core.errors import InputError, NotAllowed
from napari_deferredseg.core.records import Reader, Role
from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.prepared import Prepared
from napari_deferredseg.store.tables.sql_events import Entry, append

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection

# Built once, since a reader waits for it.
_SPELLED = Prepared(
    select(schema.readers.c.login, schema.readers.c.active).where(schema.readers.c.login_key == bindparam("key"))
)
_BY_LOGIN = Prepared(select(schema.readers).where(schema.readers.c.login_key == bindparam("key")))


# What readers of before could not be is left out where it is not so: their hashes stay what they were.
_AS_EVER = {"active": True, "absent_from": None, "absent_to": None}


def add_reader(connection: Connection, reader: Reader, by: str = "") -> None:
    """Add a reader; as `Store.add_reader`."""
    taken = _by_login(connection, reader.login)
    if taken is not None:
        raise InputError(
            f"the login {reader.login!r} is taken by {taken.name}: choose another, or change that one",
            command="--login LOGIN",
        )
    values = rows.reader_values(reader)
    connection.execute(insert(schema.readers).values(values))
    append(connection, [reader_entry(values, by=by)])


def change_reader(connection: Connection, login: str, what: str, changes: Mapping[str, Any], by: str) -> Reader:
    """Change some fields of a reader; as `Store.change_reader`."""
    old = require_login(connection, login)
    new = Reader.model_validate(old.model_dump() | dict(changes) | {"login": old.login})
    if new == old:
        return old
    _keep_an_admin(connection, old, new)
    values = rows.reader_values(new)
    readers = schema.readers
    changed = [name for name in Reader.model_fields if getattr(new, name) != getattr(old, name)]
    append(connection, [reader_entry(values, what, by, {"changed": changed})])  # first: the trigger looks for it
    connection.execute(update(readers).where(readers.c.login == old.login).values(values))
    return new


def all_readers(connection: Connection) -> list[Reader]:
    """List readers by login."""
    found = connection.execute(select(schema.readers).order_by(schema.readers.c.login_key)).mappings()
    return [rows.to_reader(row) for row in found]


def find_reader(connection: Connection, name: str) -> Reader:
    """Find by login, then by display name; as `Store.reader`."""
    wanted = name.strip()
    found = _by_login(connection, wanted)
    if found is not None:
        return found
    everybody = all_readers(connection)
    same = [r for r in everybody if r.name.strip().casefold() == wanted.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        raise InputError(f"{len(same)} readers are called {name!r}: give a login: {', '.join(r.login for r in same)}")
    known = ", ".join(r.login for r in everybody) or "none"
    raise InputError(f"there is no reader {name!r}; known logins: {known}")


def require_login(connection: Connection, login: str) -> Reader:
    """Find by login alone. InputError names the known logins."""
    found = _by_login(connection, login)
    if found is None:
        known = ", ".join(r.login for r in all_readers(connection)) or "none"
        raise InputError(f"there is no reader with the login {login!r}; known logins: {known}")
    return found


def spelled(connection: Connection, login: str) -> str:
    """Return the login of who does something as the readers table spells it; errors as `acting`."""
    found = _SPELLED.one(connection, {"key": login.casefold()})
    if found is None or not found["active"]:
        return acting(connection, login).login
    return str(found["login"])


def acting(connection: Connection, login: str) -> Reader:
    """Find who does something, by login alone. InputError as `require_login`; NotAllowed where they have stopped."""
    found = require_login(connection, login)
    if not found.active:
        raise NotAllowed(
            f"{found.name} (login {found.login}) was deactivated in this project and does nothing there any more; "
            "an admin can take them in again",
            command=f"deferredseg reader activate {found.login}",
        )
    return found


def require_group(connection: Connection, group: str) -> None:
    """Raise InputError when nobody is in a group: its regions would wait for ever."""
    known = {g for reader in all_readers(connection) if reader.active for g in reader.groups}
    if group not in known:
        raise InputError(f"nobody is in a group {group!r}; known groups: {', '.join(sorted(known)) or 'none'}")


def reader_entry(
    values: Mapping[str, Any], what: str = "reader", by: str = "", facts: Mapping[str, Any] | None = None
) -> Entry:
    """Entry that tells of a new or changed row of `readers`, by salted hashes alone, and who did it."""
    salt = chain.new_salt()
    facts_of_it = {"login": chain.content({"login": values["login"]}, salt), **(facts or {})}
    return Entry(what, facts=facts_of_it, subject=chain.content(plain_reader(values), salt), who=by, salt=salt)


def plain_reader(values: Mapping[str, Any]) -> dict[str, Any]:
    """Row of a reader as its hash covers it."""
    return {name: value for name, value in values.items() if name not in _AS_EVER or value != _AS_EVER[name]}


def _keep_an_admin(connection: Connection, old: Reader, new: Reader) -> None:
    """Raise InputError where nobody would be admin any more, which would open the project to everybody."""
    if not is_admin(old) or is_admin(new):
        return
    if not any(is_admin(x) for x in all_readers(connection) if x.login != old.login):
        raise InputError(
            f"{old.name} is the only admin of this project: make another admin first", command="--role admin"
        )


def is_admin(reader: Reader) -> bool:
    """Whether somebody manages readers now."""
    return reader.active and reader.role is Role.ADMIN


def _by_login(connection: Connection, login: str) -> Reader | None:
    row = _BY_LOGIN.one(connection, {"key": login.casefold()})
    return None if row is None else rows.to_reader(row)
