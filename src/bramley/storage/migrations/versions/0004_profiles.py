"""Profiles, who shall have them, how they stand on devices; tags of devices; FileVault recovery keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("handling", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.UniqueConstraint("identifier", name="profiles_identifier"),
        sa.CheckConstraint("handling IN ('as-is', 'sign', 'encrypt')", name="profiles_handling_known"),
    )
    op.create_table(
        "profile_assignments",
        sa.Column("profile_id", sa.Text, sa.ForeignKey("profiles.id", name="profile_assignments_profile"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('device', 'tag')", name="profile_assignments_kind_known"),
    )
    op.create_index("profile_assignments_target", "profile_assignments", ["kind", "target"])
    op.create_table(
        "profile_installations",
        sa.Column(
            "enrollment_key",
            sa.Text,
            sa.ForeignKey("enrollments.key", name="profile_installations_enrollment"),
            primary_key=True,
        ),
        sa.Column("profile_id", sa.Text, sa.ForeignKey("profiles.id", name="profile_installations_profile"), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("command_uuid", sa.Text),
        sa.Column("recipient", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.CheckConstraint(
            "state IN ('sent', 'installed', 'failed', 'removing', 'missing')", name="profile_installations_state_known"
        ),
    )
    op.create_index("profile_installations_profile", "profile_installations", ["profile_id", "enrollment_key"])
    op.create_table(
        "recovery_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text, sa.ForeignKey("versions.id", name="recovery_keys_version"), nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("replaced_at", sa.BigInteger),
    )
    op.create_index("recovery_keys_device", "recovery_keys", ["device", "id"])
    in_force = sa.text("replaced_at IS NULL")
    op.create_index(
        "recovery_keys_current",
        "recovery_keys",
        ["device"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.create_table(
        "tags",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
    )
    op.create_index("tags_device", "tags", ["device"])
