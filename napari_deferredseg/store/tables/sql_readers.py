"""Readers; every function runs inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.prepared import Prepared
from napari_deferredseg.store.tables.sql_events import Entry, append

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection

    from napari_deferredseg.core.records import Reader

# Built once, since a reader waits for it.
_SPELLED = Prepared(select(schema.readers.c.login).where(schema.readers.c.login_key == bindparam("key")))
_BY_LOGIN = Prepared(select(schema.readers).where(schema.readers.c.login_key == bindparam("key")))


def add_reader(connection: Connection, reader: Reader) -> None:
    """Add a reader; as `Store.add_reader`."""
    taken = _by_login(connection, reader.login)
    if taken is not None:
        raise InputError(f"the login {reader.login!r} is taken by {taken.name}: choose another (--login)")
    values = rows.reader_values(reader)
    connection.execute(insert(schema.readers).values(values))
    append(connection, [reader_entry(values)])


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
    """Return a login as the readers table spells it. InputError names the known logins."""
    found: str | None = _SPELLED.scalar(connection, {"key": login.casefold()})
    return found or require_login(connection, login).login


def require_group(connection: Connection, group: str) -> None:
    """Raise InputError when nobody is in a group: its regions would wait for ever."""
    known = {g for reader in all_readers(connection) for g in reader.groups}
    if group not in known:
        raise InputError(f"nobody is in a group {group!r}; known groups: {', '.join(sorted(known)) or 'none'}")


def reader_entry(values: Mapping[str, Any]) -> Entry:
    """Entry that tells of a new row of `readers`, by salted hashes alone."""
    salt = chain.new_salt()
    login = chain.content({"login": values["login"]}, salt)
    return Entry("reader", facts={"login": login}, subject=chain.content(values, salt), who="", salt=salt)


def _by_login(connection: Connection, login: str) -> Reader | None:
    row = _BY_LOGIN.one(connection, {"key": login.casefold()})
    return None if row is None else rows.to_reader(row)
