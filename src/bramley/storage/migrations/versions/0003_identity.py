"""Why certificates were revoked, CRLs, SCEP requests that wait for a person, and plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("versions", sa.Column("revoked_for", sa.Text))
    op.add_column("enrollments", sa.Column("invariants", sa.Text, nullable=False, server_default=""))
    op.create_index("versions_issued", "versions", ["issuer_version", "state", "not_after"])
    keyed = sa.text("key_id IS NOT NULL")
    op.create_index("versions_key", "versions", ["key_id"], sqlite_where=keyed, postgresql_where=keyed)
    op.create_table(
        "crls",
        sa.Column("issuer", sa.Text, sa.ForeignKey("versions.id", name="crls_issuer"), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("next_update", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("signer_sha256", sa.Text, nullable=False),
        sa.Column("spki_sha256", sa.Text, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="approvals_enrollment"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text),
        sa.UniqueConstraint("id", name="approvals_id"),
        sa.CheckConstraint("purpose IN ('enroll', 'renew')", name="approvals_purpose_known"),
        sa.CheckConstraint("state IN ('waiting', 'approved', 'denied')", name="approvals_state_known"),
        sqlite_autoincrement=True,
    )
    op.create_index("approvals_transaction", "approvals", ["transaction_id", "signer_sha256", "seq"])
    op.create_index("approvals_state", "approvals", ["state", "seq"])
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("lineage_id", sa.Text, sa.ForeignKey("lineages.id", name="plans_lineage"), nullable=False),
        sa.Column("old", sa.Text, sa.ForeignKey("versions.id", name="plans_old"), nullable=False),
        sa.Column("new", sa.Text, sa.ForeignKey("versions.id", name="plans_new"), nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.CheckConstraint("stage IN ('prepared', 'trusted', 'used', 'withdrawn')", name="plans_stage_known"),
        sa.CheckConstraint("state IN ('running', 'done', 'cancelled')", name="plans_state_known"),
    )
    running = sa.text("state = 'running'")
    op.create_index("plans_running", "plans", ["lineage_id"], unique=True, sqlite_where=running, postgresql_where=running)
    _network_identities()


def _network_identities() -> None:
    op.create_table(
        "network_templates",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("use", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.CheckConstraint("use IN ('wifi', 'vpn', 'smime', 'other')", name="network_templates_use_known"),
        sa.CheckConstraint("issuer IN ('bramley', 'outside')", name="network_templates_issuer_known"),
    )
    op.create_table(
        "network_assignments",
        sa.Column(
            "enrollment_key",
            sa.Text,
            sa.ForeignKey("enrollments.key", name="network_assignments_enrollment"),
            primary_key=True,
        ),
        sa.Column("template", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("command_uuid", sa.Text),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("look_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.CheckConstraint(
            "state IN ('sent', 'installed', 'failed', 'removing', 'ended')", name="network_assignments_state_known"
        ),
    )
    op.create_index("network_assignments_template", "network_assignments", ["template", "enrollment_key"])
    look_at = sa.text("look_at IS NOT NULL")
    op.create_index(
        "network_assignments_look_at", "network_assignments", ["look_at"], sqlite_where=look_at, postgresql_where=look_at
    )
    op.create_table(
        "network_challenges",
        sa.Column("secret_sha256", sa.Text, primary_key=True),
        sa.Column(
            "enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="network_challenges_enrollment"), nullable=False
        ),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("spent_at", sa.BigInteger),
        sa.Column("spent_on", sa.Text),
        sa.Column("version_id", sa.Text),
    )
    unspent = sa.text("spent_at IS NULL")
    op.create_index(
        "network_challenges_unspent",
        "network_challenges",
        ["enrollment_key", "template"],
        sqlite_where=unspent,
        postgresql_where=unspent,
    )
    op.create_index("network_challenges_expires", "network_challenges", ["expires_at"])
