"""What people call regions and each other; messages name nothing by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.store.tables import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PLACE = select(schema.regions.c.number, schema.regions.c.case_key).where(schema.regions.c.id == bindparam("region"))
_PERSON = select(schema.readers.c.name).where(schema.readers.c.login == bindparam("login"))


def place(connection: Connection, region_id: str) -> str:
    """Name of a region, such as "region 3 of case-1a2b3c4d". InputError when there is no such region."""
    row = connection.execute(_PLACE, {"region": region_id}).one_or_none()
    if row is None:
        raise no_region()
    return f"region {row.number} of {row.case_key}"


def person(connection: Connection, login: str | None) -> str:
    """Display name of a reader."""
    return connection.scalar(_PERSON, {"login": login}) or "somebody else"


def no_region() -> InputError:
    """Return what to raise when a region is not in the database."""
    return InputError("the project has no region of this id any more: refresh the worklist")
