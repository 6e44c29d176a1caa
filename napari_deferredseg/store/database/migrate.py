"""Which version of the tables a database has, and bringing it to the newest."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from napari_deferredseg.store.tables.schema import VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Standing(StrEnum):
    """How a database's tables relate to this program's."""

    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    FOREIGN = "foreign"


def standing(connection: Connection) -> Standing:
    """Compare a database with the newest migration; one without our version table is foreign."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return Standing.FOREIGN
    version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    script = ScriptDirectory.from_config(_config())
    if version == script.get_current_head():
        return Standing.CURRENT
    known = {revision.revision for revision in script.walk_revisions()}
    return Standing.OLDER if version is None or version in known else Standing.NEWER


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version, inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "napari_deferredseg.store:migrations")
    return config
