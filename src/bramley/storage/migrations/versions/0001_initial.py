"""The first schema."""

from __future__ import annotations

from typing import TypedDict

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Partial(TypedDict):
    sqlite_where: sa.TextClause
    postgresql_where: sa.TextClause


def only_where(condition: str) -> Partial:
    """The condition of a partial index, said to each database in its own argument."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _certificates()
    _enrollments()
    _commands()
    _jobs()
    _records()


def _certificates() -> None:
    op.create_table(
        "lineages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("lifetime", sa.BigInteger),
        sa.Column("renew_at", sa.Float, nullable=False),
        sa.Column("jitter", sa.Float, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("kind", "name", name="lineages_kind_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("lineage_id", sa.Text, sa.ForeignKey("lineages.id", name="versions_lineage"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("turn", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.id", name="versions_key")),
        sa.Column("issuer_version", sa.Text, sa.ForeignKey("versions.id", name="versions_issuer")),
        sa.Column("subject", sa.Text),
        sa.Column("issuer", sa.Text),
        sa.Column("serial", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("spki_sha256", sa.Text),
        sa.Column("not_before", sa.BigInteger),
        sa.Column("not_after", sa.BigInteger),
        sa.Column("certificate", sa.LargeBinary),
        sa.UniqueConstraint("lineage_id", "number", name="versions_lineage_number"),
        sa.UniqueConstraint("sha256", name="versions_sha256"),
        sa.CheckConstraint(
            "state IN ('planned', 'requested', 'awaiting', 'issued', 'distributed', 'active', "
            "'suspended', 'superseded', 'retired', 'revoked', 'failed')",
            name="versions_state_known",
        ),
        sa.CheckConstraint("turn IN ('apple', 'human', 'device', 'ca')", name="versions_turn_known"),
    )
    op.create_index("versions_changed", "versions", ["state", "changed_at"])
    op.create_index("versions_ending", "versions", ["not_after"], **only_where("state = 'active'"))
    op.create_index("versions_serial", "versions", ["serial"])


def _enrollments() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("token_sha256", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("uses_allowed", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("udid", sa.Text),
        sa.UniqueConstraint("token_sha256", name="links_token_sha256"),
        sa.CheckConstraint("uses >= 0 AND uses <= uses_allowed", name="links_uses_within_allowed"),
    )
    op.create_table(
        "enrollments",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text),
        sa.Column("parent", sa.Text, sa.ForeignKey("enrollments.key", name="enrollments_parent")),
        sa.Column("link_id", sa.Text, sa.ForeignKey("links.id", name="enrollments_link")),
        sa.Column("udid", sa.Text),
        sa.Column("enrollment_id", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("user_short_name", sa.Text),
        sa.Column("user_long_name", sa.Text),
        sa.Column("serial_number", sa.Text),
        sa.Column("device_name", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("product_name", sa.Text),
        sa.Column("os_version", sa.Text),
        sa.Column("build_version", sa.Text),
        sa.Column("topic", sa.Text),
        sa.Column("push_token", sa.LargeBinary),
        sa.Column("push_magic", sa.Text),
        sa.Column("token_updated_at", sa.BigInteger),
        sa.Column("push_stopped_at", sa.BigInteger),
        sa.Column("unlock_token", sa.LargeBinary),
        sa.Column("bootstrap_token", sa.LargeBinary),
        sa.Column("enrolled_at", sa.BigInteger),
        sa.Column("last_seen_at", sa.BigInteger),
        sa.Column("last_push_at", sa.BigInteger),
        sa.CheckConstraint("state IN ('pending', 'active', 'quarantined', 'checked-out')", name="enrollments_state_known"),
    )
    op.create_index(
        "enrollments_channel",
        "enrollments",
        ["parent", "user_id"],
        unique=True,
        **only_where("parent IS NOT NULL AND state <> 'checked-out'"),
    )
    op.create_index("enrollments_id", "enrollments", ["id"])
    op.create_index(
        "enrollments_living_id", "enrollments", ["id"], unique=True, **only_where("id IS NOT NULL AND state <> 'checked-out'")
    )
    op.create_index("enrollments_parent_key", "enrollments", ["parent"])
    op.create_index("enrollments_state", "enrollments", ["state", "key"])
    op.create_table(
        "bindings",
        sa.Column("certificate_sha256", sa.Text, primary_key=True),
        sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="bindings_enrollment"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text, sa.ForeignKey("versions.id", name="bindings_version"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("version_id", name="bindings_version_once"),
        sa.CheckConstraint("purpose IN ('enroll', 'renew')", name="bindings_purpose_known"),
    )
    op.create_index("bindings_enrollment_created", "bindings", ["enrollment_key", "created_at"])
    op.create_table(
        "challenges",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("secret_sha256", sa.Text, nullable=False),
        sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="challenges_enrollment"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("spent_at", sa.BigInteger),
        sa.Column("spent_on", sa.Text),
        sa.Column("version_id", sa.Text),
        sa.UniqueConstraint("secret_sha256", name="challenges_secret_sha256"),
        sa.CheckConstraint("purpose IN ('enroll', 'renew')", name="challenges_purpose_known"),
    )
    op.create_index("challenges_expires", "challenges", ["expires_at"])
    op.create_index("challenges_unspent", "challenges", ["enrollment_key"], **only_where("spent_at IS NULL"))


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="commands_enrollment"), nullable=False),
        sa.Column("request_type", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("not_now_count", sa.Integer, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("job_on_answer", sa.Text),
        sa.UniqueConstraint("uuid", name="commands_uuid"),
        sa.CheckConstraint(
            "state IN ('queued', 'not-now', 'acknowledged', 'error', 'command-format-error', 'cancelled')",
            name="commands_state_known",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("commands_deferred", "commands", ["enrollment_key"], **only_where("state = 'not-now'"))
    op.create_index("commands_history", "commands", ["enrollment_key", "seq"])
    op.create_index("commands_queued", "commands", ["enrollment_key", "seq"], **only_where("state = 'queued'"))


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("run_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("args", sa.Text, nullable=False),
        sa.Column("dedup_key", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.CheckConstraint("state IN ('ready', 'running', 'done', 'failed')", name="jobs_state_known"),
        sa.CheckConstraint(
            "state <> 'running' OR (owner IS NOT NULL AND lease_until IS NOT NULL)", name="jobs_running_is_leased"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_ended", "jobs", ["lease_until"], **only_where("state IN ('done', 'failed')"))
    op.create_index("jobs_kind", "jobs", ["kind", "id"])
    op.create_index("jobs_leased", "jobs", ["lease_until"], **only_where("state = 'running'"))
    op.create_index("jobs_ready", "jobs", ["run_at", "id"], **only_where("state = 'ready'"))
    op.create_index("jobs_ready_dedup_key", "jobs", ["dedup_key"], unique=True, **only_where("state = 'ready'"))


def _records() -> None:
    op.create_table(
        "events",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("enrollment_key", sa.Text),
        sa.Column("version_id", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_enrollment", "events", ["enrollment_key", "id"])
    op.create_index("events_kind", "events", ["kind", "id"])
    op.create_index("events_version", "events", ["version_id", "id"])
    op.create_table(
        "admins",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("token_sha256", name="admins_token_sha256"),
    )
    op.create_table(
        "notes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
