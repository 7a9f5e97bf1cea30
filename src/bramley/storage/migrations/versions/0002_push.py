"""Who renews a certificate and how, what was requested, topics of links, and waves of pushes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lineages", sa.Column("owner", sa.Text, nullable=False, server_default=""))
    op.add_column("lineages", sa.Column("route", sa.Text, nullable=False, server_default=""))
    op.add_column("versions", sa.Column("request", sa.LargeBinary))
    op.add_column("links", sa.Column("topic", sa.Text))
    op.create_table(
        "waves",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("per_second", sa.Float, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('running', 'stopped', 'done')", name="waves_state_known"),
    )
    op.create_table(
        "wave_targets",
        sa.Column("wave_id", sa.Text, sa.ForeignKey("waves.id", name="wave_targets_wave"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("enrollment_key", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
    )
    untried = sa.text("outcome IS NULL")
    op.create_index(
        "wave_targets_untried", "wave_targets", ["wave_id", "position"], sqlite_where=untried, postgresql_where=untried
    )
