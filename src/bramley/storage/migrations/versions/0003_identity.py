"""Why certificates were revoked, CRLs, SCEP requests that wait for a person, and plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("revoked_for", sa.Text))
    op.add_column("enrollments", sa.Column("invariants", sa.Text, nullable=False, server_default=""))
    revoked = sa.text("state IN ('revoked', 'suspended')")
    op.create_index("versions_revoked", "versions", ["issuer_version"], sqlite_where=revoked, postgresql_where=revoked)
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
        sa.Column("id", sa.Text, primary_key=True),
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
        sa.CheckConstraint("purpose IN ('enroll', 'renew')", name="approvals_purpose_known"),
        sa.CheckConstraint("state IN ('waiting', 'approved', 'denied')", name="approvals_state_known"),
    )
    op.create_index("approvals_transaction", "approvals", ["transaction_id", "signer_sha256"])
    op.create_index("approvals_state", "approvals", ["state", "id"])
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
