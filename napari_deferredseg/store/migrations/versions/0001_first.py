"""Readers, cases, predictions, regions, assignments, corrections and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("corrections", "events")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables and the triggers that keep two of them append-only."""
    _people_and_cases()
    _regions()
    _corrections()
    _events()
    for table in APPEND_ONLY:
        for statement in _refusals(op.get_bind().dialect.name, table):
            op.execute(statement)


def _people_and_cases() -> None:
    op.create_table(
        "readers",
        sa.Column("login", sa.String(40), primary_key=True),
        sa.Column("login_key", sa.String(40), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("capacity", sa.Double, nullable=False),
        sa.Column("specialities", sa.JSON, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("geometry", sa.JSON, nullable=False),
        sa.Column("voxel_hash", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("modality", sa.Text, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("case_key", sa.Text, sa.ForeignKey("cases.key"), nullable=False, index=True),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("label_table", sa.JSON, nullable=False),
        sa.Column("labels_hash", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )


def _regions() -> None:
    op.create_table(
        "regions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("case_key", sa.Text, sa.ForeignKey("cases.key"), nullable=False, index=True),
        sa.Column("prediction_id", sa.String(64), sa.ForeignKey("predictions.id"), nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("box", sa.JSON, nullable=False),
        sa.Column("mask", sa.LargeBinary, nullable=False),
        sa.Column("volume", sa.Double, nullable=False),
        sa.Column("center", sa.JSON, nullable=False),
        sa.Column("gain", sa.Double, nullable=False),
        sa.Column("minutes", sa.Double, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "assignments",
        sa.Column("region_id", sa.String(64), sa.ForeignKey("regions.id"), primary_key=True),
        sa.Column("reader", sa.String(40), sa.ForeignKey("readers.login")),
        sa.Column("group_name", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("holder", sa.String(40), sa.ForeignKey("readers.login")),
        sa.Column("lease_until", TIME),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("assigned_by", sa.Text, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.CheckConstraint("(reader IS NULL) <> (group_name IS NULL)", name="reader_or_group"),
    )
    op.create_index("ix_assignments_reader_state", "assignments", ["reader", "state"])
    op.create_index("ix_assignments_group_state", "assignments", ["group_name", "state"])


def _corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("region_id", sa.String(64), sa.ForeignKey("regions.id"), nullable=False, index=True),
        sa.Column("supersedes", sa.String(64), sa.ForeignKey("corrections.id"), unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.create_table(
        "correction_authors",
        sa.Column("correction_id", sa.String(64), sa.ForeignKey("corrections.id"), primary_key=True),
        sa.Column("reader", sa.String(40), sa.ForeignKey("readers.login"), nullable=False, index=True),
    )
    op.create_table(
        "correction_payloads",
        sa.Column("correction_id", sa.String(64), sa.ForeignKey("corrections.id"), primary_key=True),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("voxel_hash", sa.Text, nullable=False),
        sa.Column("started", TIME, nullable=False),
        sa.Column("submitted", TIME, nullable=False),
        sa.Column("active_seconds", sa.Double, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("box", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("before", sa.LargeBinary, nullable=False),
        sa.Column("after", sa.LargeBinary, nullable=False),
        sa.Column("support", sa.LargeBinary, nullable=False),
    )
    head = op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "length": 0, "chain": "0" * 64}])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("region_id", sa.String(64), sa.ForeignKey("regions.id"), index=True),
        sa.Column("correction_id", sa.String(64), sa.ForeignKey("corrections.id"), index=True),
    )
    op.create_table(
        "event_people",
        sa.Column("event", sa.Integer, sa.ForeignKey("events.sequence"), primary_key=True),
        sa.Column("who", sa.Text, nullable=False, index=True),
        sa.Column("target", sa.Text),
        sa.Column("note", sa.Text, nullable=False),
    )


def _refusals(dialect: str, table: str) -> list[str]:
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} are append-only'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
    ]
