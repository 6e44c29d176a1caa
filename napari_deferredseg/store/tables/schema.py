"""Tables of the database, as the newest migration leaves them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
    true,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect

VERSION_TABLE = "deferredseg_version"

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware times in, UTC out, also from a database that keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn a time into UTC. ValueError when it has no time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give a time its time zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class TrueOrFalse(Boolean):
    """A boolean that takes nothing else for one: SQLite keeps any number, and 2 would count as true unseen."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], bool]:
        """Give back the value; ValueError where the row was changed to something else."""

        def strict(value: Any) -> bool:
            if value not in (0, 1):
                raise ValueError(f"{value!r} is neither true nor false")
            return bool(value)

        return strict


readers = Table(
    "readers",
    metadata,
    Column("login", String(40), primary_key=True),
    Column("login_key", String(40), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("capacity", Double, nullable=False),
    Column("specialities", JSON, nullable=False),
    Column("role", String(16), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("active", TrueOrFalse, nullable=False, server_default=true()),
    # Days, as ISO 8601 spells them.
    Column("absent_from", String(10), nullable=True),
    Column("absent_to", String(10), nullable=True),
)

cases = Table(
    "cases",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("geometry", JSON, nullable=False),
    Column("voxel_hash", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("modality", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("case_key", ForeignKey("cases.key"), nullable=False, index=True),
    Column("model_id", Text, nullable=False),
    Column("label_table", JSON, nullable=False),
    Column("labels_hash", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    # Hashes of the other two array files; empty where they were made before such hashes were kept.
    Column("alternative_hash", Text, nullable=False, server_default=""),
    Column("defer_hash", Text, nullable=False, server_default=""),
)

regions = Table(
    "regions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("case_key", ForeignKey("cases.key"), nullable=False, index=True),
    Column("prediction_id", ForeignKey("predictions.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("box", JSON, nullable=False),
    Column("mask", LargeBinary, nullable=False),
    Column("volume", Double, nullable=False),
    Column("center", JSON, nullable=False),
    Column("gain", Double, nullable=False),
    Column("minutes", Double, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("note", Text, nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    Column("region_id", ForeignKey("regions.id"), primary_key=True),
    Column("reader", ForeignKey("readers.login"), nullable=True),
    Column("group_name", Text, nullable=True),
    Column("state", String(16), nullable=False),
    Column("holder", ForeignKey("readers.login"), nullable=True),
    Column("lease_until", UtcDateTime, nullable=True),
    Column("reason", Text, nullable=False),
    Column("assigned_by", Text, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    CheckConstraint("(reader IS NULL) <> (group_name IS NULL)", name="reader_or_group"),
    Index("ix_assignments_reader_state", "reader", "state"),
    Index("ix_assignments_group_state", "group_name", "state"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("region_id", ForeignKey("regions.id"), nullable=False, index=True),
    Column("supersedes", ForeignKey("corrections.id"), nullable=True, unique=True),
    Column("digest", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("chain", String(64), nullable=False),
)

correction_authors = Table(
    "correction_authors",
    metadata,
    Column("correction_id", ForeignKey("corrections.id"), primary_key=True),
    Column("reader", ForeignKey("readers.login"), nullable=False, index=True),
)

correction_payloads = Table(
    "correction_payloads",
    metadata,
    Column("correction_id", ForeignKey("corrections.id"), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("voxel_hash", Text, nullable=False),
    Column("started", UtcDateTime, nullable=False),
    Column("submitted", UtcDateTime, nullable=False),
    Column("active_seconds", Double, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("box", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("after", LargeBinary, nullable=False),
    Column("support", LargeBinary, nullable=False),
)

# How long the chains are and how they end, moved by triggers: 1 the corrections' own, 2 that of the events.
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("length", Integer, nullable=False),
    Column("chain", String(64), nullable=False),
    Column("key_id", String(64), nullable=True),
)

# The record of all that happened, each entry chained to the one before it. `subject` is the hash of the row that an
# entry tells of, `people` the salted hash of its row in `event_people`, `seal` what the project's key makes of `chain`.
events = Table(
    "events",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("what", String(16), nullable=False),
    Column("region_id", ForeignKey("regions.id"), nullable=True, index=True),
    Column("correction_id", ForeignKey("corrections.id"), nullable=True, index=True),
    Column("facts", JSON(none_as_null=True), nullable=True),
    Column("subject", String(64), nullable=True),
    Column("people", String(64), nullable=True),
    Column("chain", String(64), nullable=False, server_default=""),
    Column("seal", String(64), nullable=True),
)

# Who and why, apart from the event itself: an erased correction takes its author's name out of here too.
event_people = Table(
    "event_people",
    metadata,
    Column("event", ForeignKey("events.sequence"), primary_key=True),
    Column("who", Text, nullable=False, index=True),
    Column("target", Text, nullable=True),
    Column("note", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False, server_default=text("x''")),
)
