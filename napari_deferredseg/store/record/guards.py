"""Triggers by which SQLite itself refuses to change what is append-only, and keeps the heads of the chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from napari_deferredseg.store.chain import START

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Keys of each table. A row in the way of a new one is a fault: `INSERT OR REPLACE` would delete it and tell no trigger.
KEYS = {
    "readers": ("login", "login_key"),
    "cases": ("sequence", "key"),
    "predictions": ("sequence", "id"),
    "regions": ("id",),
    "assignments": ("region_id",),
    "corrections": ("sequence", "id", "supersedes"),
    "correction_authors": ("correction_id",),
    "correction_payloads": ("correction_id",),
    "events": ("sequence",),
    "event_people": ("event",),
}
# Columns that stay where others may change.
FIXED = {
    "cases": ("sequence", "key", "geometry", "voxel_hash", "modality", "created"),
    "assignments": ("region_id", "rowid"),
}
_ITS_REGION = "(SELECT region_id FROM corrections WHERE id = events.correction_id)"
_ERASED = (
    f"SELECT 1 FROM events WHERE what = 'erase' AND correction_id = OLD.correction_id AND region_id = {_ITS_REGION}"
)
ERASABLE = {
    "correction_authors": _ERASED,
    "correction_payloads": _ERASED,
    "event_people": "SELECT 1 FROM events, json_each(events.facts, '$.forgets') AS f WHERE events.what = 'erase' "
    f"AND events.region_id = {_ITS_REGION} AND f.value = OLD.event AND events.sequence > OLD.event "
    "AND events.region_id = (SELECT region_id FROM events WHERE sequence = OLD.event)",
}
# A program from before the record, which had the database open while it was brought up to date, leaves these empty.
CHAINED = {"events": "NEW.chain = ''", "event_people": "length(NEW.salt) = 0"}
RESTART = "the project was brought up to date meanwhile: start the newest version of the program"
HEADS = {"corrections": 1, "events": 2}


def expected() -> dict[str, str]:
    """Statements that make the triggers, by name."""
    made: dict[str, str] = {}
    for table, keys in KEYS.items():
        same = " OR ".join(f"{key} = NEW.{key}" for key in (*keys, "rowid"))
        changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED.get(table, ()))
        made[f"{table}_no_replace"] = _refusal(
            table, "replace", "INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {same})"
        )
        made[f"{table}_no_update"] = _refusal(table, "update", "UPDATE", changed)
        erased = f"NOT EXISTS ({ERASABLE[table]})" if table in ERASABLE else ""
        made[f"{table}_no_delete"] = _refusal(table, "delete", "DELETE", erased)
    for table, empty in CHAINED.items():
        made[f"{table}_chained"] = (
            f"CREATE TRIGGER {table}_chained BEFORE INSERT ON {table} WHEN {empty} "
            f"BEGIN SELECT RAISE(ABORT, '{RESTART}'); END"
        )
    return made | {f"{table}_head": _follower(table, head) for table, head in HEADS.items()}


def present(connection: Connection) -> dict[str, str]:
    """Return the triggers that the database has, by name."""
    found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return {row.name: row.sql for row in found}


def missing(connection: Connection) -> list[str]:
    """Names of the triggers that are not there, or not as they should be."""
    there = present(connection)
    return sorted(name for name, statement in expected().items() if there.get(name) != statement)


def remove(connection: Connection) -> None:
    """Take our triggers away, for a migration."""
    for name in expected():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")


def put_back(connection: Connection) -> None:
    """Make every trigger anew; a migration may have lost some without a word."""
    remove(connection)
    for statement in expected().values():
        connection.exec_driver_sql(statement)


def _refusal(table: str, name: str, verb: str, when: str) -> str:
    condition = f"WHEN {when} " if when else ""
    return (
        f"CREATE TRIGGER {table}_no_{name} BEFORE {verb} ON {table} {condition}"
        f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
    )


def _follower(table: str, head: int) -> str:
    # A head that does not fit the entry before stays as it is: it is the evidence that an end was cut off.
    before = f"SELECT chain FROM {table} WHERE sequence = NEW.sequence - 1"
    return (
        f"CREATE TRIGGER {table}_head AFTER INSERT ON {table} "
        f"BEGIN UPDATE chain_head SET length = NEW.sequence, chain = NEW.chain "
        f"WHERE id = {head} AND chain = coalesce(({before}), '{START}'); END"
    )
