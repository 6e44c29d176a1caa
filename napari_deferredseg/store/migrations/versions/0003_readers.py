"""Readers can be away, and can stop."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is there is active and not away."""
    op.add_column("readers", sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("readers", sa.Column("absent_from", sa.String(10)))
    op.add_column("readers", sa.Column("absent_to", sa.String(10)))
