"""Events become the chained record of all that happens; hashes of all array files; the project's key."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. What is in the tables is taken into the record afterwards, by `adopt`."""
    op.add_column("events", sa.Column("facts", sa.JSON))
    op.add_column("events", sa.Column("subject", sa.String(64)))
    op.add_column("events", sa.Column("people", sa.String(64)))
    op.add_column("events", sa.Column("chain", sa.String(64), nullable=False, server_default=""))
    op.add_column("events", sa.Column("seal", sa.String(64)))
    op.add_column("event_people", sa.Column("salt", sa.LargeBinary, nullable=False, server_default=sa.text("x''")))
    for name in ("alternative_hash", "defer_hash"):
        op.add_column("predictions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("chain_head", sa.Column("key_id", sa.String(64)))
    head = sa.table("chain_head", sa.column("id"), sa.column("length"), sa.column("chain"))
    op.execute(head.insert().values(id=2, length=0, chain="0" * 64))
