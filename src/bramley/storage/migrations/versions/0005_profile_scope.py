"""Whom a profile on a Mac is for: the system, or each of its users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("profiles", sa.Column("scope", sa.Text, nullable=False, server_default="System"))
