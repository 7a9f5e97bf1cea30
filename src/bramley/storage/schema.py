"""The tables, once, for every database. `migrations` leads to exactly this; a test compares the two.

Columns are named like the fields of the model's dataclasses, and hold them as `columns` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import sqlalchemy as sa

from bramley.model.approvals import ApprovalState
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentState, Purpose
from bramley.model.events import EventKind
from bramley.model.jobs import JobState
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, Turn, VersionState
from bramley.model.networks import NetworkIssuer, NetworkState, NetworkUse
from bramley.model.plans import PlanKind, PlanStage, PlanState
from bramley.model.profiles import Handling, InstallState, Scope, TargetKind
from bramley.model.push import WaveState
from bramley.storage.columns import Enumerated, JSONText, Span, UTCTime

metadata = sa.MetaData()

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that the database gives and never gives again; only INTEGER may be one in SQLite."""


def among(column: str, members: Iterable[StrEnum], *, name: str) -> sa.CheckConstraint:
    """Refuses, in the database, any value that is none of the members."""
    values = ", ".join(f"'{member.value}'" for member in members)
    return sa.CheckConstraint(f"{column} IN ({values})", name=name)


def literal(member: StrEnum) -> sa.ColumnElement[StrEnum]:
    """An enum's value as SQL text: a partial index serves a query only where its condition stands there literally."""
    return sa.literal_column(f"'{member.value}'", Enumerated(type(member)))


lineages = sa.Table(
    "lineages",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", Enumerated(Kind), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("lifetime", Span),
    sa.Column("renew_at", sa.Float, nullable=False),
    sa.Column("jitter", sa.Float, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("route", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("kind", "name", name="lineages_kind_name"),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("lineage_id", sa.Text, sa.ForeignKey("lineages.id", name="versions_lineage"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", Enumerated(VersionState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("turn", Enumerated(Turn)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, sa.ForeignKey("keys.id", name="versions_key")),
    sa.Column("issuer_version", sa.Text, sa.ForeignKey("versions.id", name="versions_issuer")),
    sa.Column("subject", sa.Text),
    sa.Column("issuer", sa.Text),
    sa.Column("serial", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("spki_sha256", sa.Text),
    sa.Column("not_before", UTCTime),
    sa.Column("not_after", UTCTime),
    sa.Column("certificate", sa.LargeBinary),
    sa.Column("request", sa.LargeBinary),
    sa.Column("revoked_for", Enumerated(RevocationReason)),
    sa.UniqueConstraint("lineage_id", "number", name="versions_lineage_number"),
    sa.UniqueConstraint("sha256", name="versions_sha256"),
    among("state", VersionState, name="versions_state_known"),
    among("turn", Turn, name="versions_turn_known"),
)
sa.Index("versions_serial", versions.c.serial)
sa.Index(
    "versions_ending",
    versions.c.not_after,
    sqlite_where=sa.text("state = 'active'"),
    postgresql_where=sa.text("state = 'active'"),
)
sa.Index("versions_changed", versions.c.state, versions.c.changed_at)
sa.Index("versions_issued", versions.c.issuer_version, versions.c.state, versions.c.not_after)
KEYED = sa.text("key_id IS NOT NULL")
sa.Index("versions_key", versions.c.key_id, sqlite_where=KEYED, postgresql_where=KEYED)

links = sa.Table(
    "links",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("token_sha256", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("expires_at", UTCTime, nullable=False),
    sa.Column("uses_allowed", sa.Integer, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("udid", sa.Text),
    sa.Column("topic", sa.Text),
    sa.UniqueConstraint("token_sha256", name="links_token_sha256"),
    sa.CheckConstraint("uses >= 0 AND uses <= uses_allowed", name="links_uses_within_allowed"),
)

enrollments = sa.Table(
    "enrollments",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("state", Enumerated(EnrollmentState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
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
    sa.Column("token_updated_at", UTCTime),
    sa.Column("push_stopped_at", UTCTime),
    sa.Column("unlock_token", sa.LargeBinary),
    sa.Column("bootstrap_token", sa.LargeBinary),
    sa.Column("enrolled_at", UTCTime),
    sa.Column("last_seen_at", UTCTime),
    sa.Column("last_push_at", UTCTime),
    sa.Column("invariants", sa.Text, nullable=False, server_default=""),
    among("state", EnrollmentState, name="enrollments_state_known"),
)
LIVING = sa.text("id IS NOT NULL AND state <> 'checked-out'")
LIVING_CHANNEL = sa.text("parent IS NOT NULL AND state <> 'checked-out'")
sa.Index("enrollments_living_id", enrollments.c.id, unique=True, sqlite_where=LIVING, postgresql_where=LIVING)
sa.Index("enrollments_id", enrollments.c.id)
sa.Index(
    "enrollments_channel",
    enrollments.c.parent,
    enrollments.c.user_id,
    unique=True,
    sqlite_where=LIVING_CHANNEL,
    postgresql_where=LIVING_CHANNEL,
)
sa.Index("enrollments_parent_key", enrollments.c.parent)
sa.Index("enrollments_state", enrollments.c.state, enrollments.c.key)

bindings = sa.Table(
    "bindings",
    metadata,
    sa.Column("certificate_sha256", sa.Text, primary_key=True),
    sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="bindings_enrollment"), nullable=False),
    sa.Column("purpose", Enumerated(Purpose), nullable=False),
    sa.Column("version_id", sa.Text, sa.ForeignKey("versions.id", name="bindings_version"), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.UniqueConstraint("version_id", name="bindings_version_once"),
    among("purpose", Purpose, name="bindings_purpose_known"),
)
sa.Index("bindings_enrollment_created", bindings.c.enrollment_key, bindings.c.created_at)

challenges = sa.Table(
    "challenges",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("secret_sha256", sa.Text, nullable=False),
    sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="challenges_enrollment"), nullable=False),
    sa.Column("purpose", Enumerated(Purpose), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("expires_at", UTCTime, nullable=False),
    sa.Column("spent_at", UTCTime),
    sa.Column("spent_on", sa.Text),
    # no foreign key: a challenge is spent before the version that it is spent on is stored
    sa.Column("version_id", sa.Text),
    sa.UniqueConstraint("secret_sha256", name="challenges_secret_sha256"),
    among("purpose", Purpose, name="challenges_purpose_known"),
)
UNSPENT = sa.text("spent_at IS NULL")
sa.Index("challenges_unspent", challenges.c.enrollment_key, sqlite_where=UNSPENT, postgresql_where=UNSPENT)
sa.Index("challenges_expires", challenges.c.expires_at)

commands = sa.Table(
    "commands",
    metadata,
    sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.Text, nullable=False),
    sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="commands_enrollment"), nullable=False),
    sa.Column("request_type", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("state", Enumerated(CommandState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("sent_at", UTCTime),
    sa.Column("answered_at", UTCTime),
    sa.Column("not_now_count", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("job_on_answer", sa.Text),
    sa.UniqueConstraint("uuid", name="commands_uuid"),
    among("state", CommandState, name="commands_state_known"),
    sqlite_autoincrement=True,
)
QUEUED = sa.text("state = 'queued'")
DEFERRED = sa.text("state = 'not-now'")
sa.Index("commands_queued", commands.c.enrollment_key, commands.c.seq, sqlite_where=QUEUED, postgresql_where=QUEUED)
sa.Index("commands_deferred", commands.c.enrollment_key, sqlite_where=DEFERRED, postgresql_where=DEFERRED)
sa.Index("commands_history", commands.c.enrollment_key, commands.c.seq)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("run_at", UTCTime, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("args", JSONText, nullable=False),
    sa.Column("dedup_key", sa.Text),
    sa.Column("state", Enumerated(JobState), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", UTCTime),
    among("state", JobState, name="jobs_state_known"),
    sa.CheckConstraint("state <> 'running' OR (owner IS NOT NULL AND lease_until IS NOT NULL)", name="jobs_running_is_leased"),
    sqlite_autoincrement=True,
)
READY = sa.text("state = 'ready'")
RUNNING = sa.text("state = 'running'")
ENDED = sa.text("state IN ('done', 'failed')")
sa.Index("jobs_ready", jobs.c.run_at, jobs.c.id, sqlite_where=READY, postgresql_where=READY)
sa.Index("jobs_ready_dedup_key", jobs.c.dedup_key, unique=True, sqlite_where=READY, postgresql_where=READY)
sa.Index("jobs_leased", jobs.c.lease_until, sqlite_where=RUNNING, postgresql_where=RUNNING)
sa.Index("jobs_ended", jobs.c.lease_until, sqlite_where=ENDED, postgresql_where=ENDED)
sa.Index("jobs_kind", jobs.c.kind, jobs.c.id)

crls = sa.Table(
    "crls",
    metadata,
    sa.Column("issuer", sa.Text, sa.ForeignKey("versions.id", name="crls_issuer"), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("this_update", UTCTime, nullable=False),
    sa.Column("next_update", UTCTime, nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("signer_sha256", sa.Text, nullable=False),
    sa.Column("spki_sha256", sa.Text, nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="approvals_enrollment"), nullable=False),
    sa.Column("purpose", Enumerated(Purpose), nullable=False),
    sa.Column("state", Enumerated(ApprovalState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("version_id", sa.Text),
    sa.UniqueConstraint("id", name="approvals_id"),
    among("purpose", Purpose, name="approvals_purpose_known"),
    among("state", ApprovalState, name="approvals_state_known"),
    sqlite_autoincrement=True,
)
sa.Index("approvals_transaction", approvals.c.transaction_id, approvals.c.signer_sha256, approvals.c.seq)
sa.Index("approvals_state", approvals.c.state, approvals.c.seq)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", Enumerated(PlanKind), nullable=False),
    sa.Column("lineage_id", sa.Text, sa.ForeignKey("lineages.id", name="plans_lineage"), nullable=False),
    sa.Column("old", sa.Text, sa.ForeignKey("versions.id", name="plans_old"), nullable=False),
    sa.Column("new", sa.Text, sa.ForeignKey("versions.id", name="plans_new"), nullable=False),
    sa.Column("stage", Enumerated(PlanStage), nullable=False),
    sa.Column("state", Enumerated(PlanState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("detail", JSONText, nullable=False),
    # not the kind: a new one needs no migration
    among("stage", PlanStage, name="plans_stage_known"),
    among("state", PlanState, name="plans_state_known"),
)
UNDER_WAY = sa.text("state = 'running'")
sa.Index("plans_running", plans.c.lineage_id, unique=True, sqlite_where=UNDER_WAY, postgresql_where=UNDER_WAY)

network_templates = sa.Table(
    "network_templates",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("use", Enumerated(NetworkUse), nullable=False),
    sa.Column("issuer", Enumerated(NetworkIssuer), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    among("use", NetworkUse, name="network_templates_use_known"),
    among("issuer", NetworkIssuer, name="network_templates_issuer_known"),
)

network_assignments = sa.Table(
    "network_assignments",
    metadata,
    sa.Column(
        "enrollment_key",
        sa.Text,
        sa.ForeignKey("enrollments.key", name="network_assignments_enrollment"),
        primary_key=True,
    ),
    # no foreign key: what has ended stays on record when its template is gone
    sa.Column("template", sa.Text, primary_key=True),
    sa.Column("state", Enumerated(NetworkState), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("command_uuid", sa.Text),
    sa.Column("sent_at", UTCTime),
    sa.Column("look_at", UTCTime),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    among("state", NetworkState, name="network_assignments_state_known"),
)
sa.Index("network_assignments_template", network_assignments.c.template, network_assignments.c.enrollment_key)
TO_LOOK_AT = sa.text("look_at IS NOT NULL")
sa.Index("network_assignments_look_at", network_assignments.c.look_at, sqlite_where=TO_LOOK_AT, postgresql_where=TO_LOOK_AT)

network_challenges = sa.Table(
    "network_challenges",
    metadata,
    sa.Column("secret_sha256", sa.Text, primary_key=True),
    sa.Column("enrollment_key", sa.Text, sa.ForeignKey("enrollments.key", name="network_challenges_enrollment"), nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("expires_at", UTCTime, nullable=False),
    sa.Column("spent_at", UTCTime),
    sa.Column("spent_on", sa.Text),
    # no foreign key: it is spent before the version that it is spent on is stored
    sa.Column("version_id", sa.Text),
)
sa.Index(
    "network_challenges_unspent",
    network_challenges.c.enrollment_key,
    network_challenges.c.template,
    sqlite_where=UNSPENT,
    postgresql_where=UNSPENT,
)
sa.Index("network_challenges_expires", network_challenges.c.expires_at)

waves = sa.Table(
    "waves",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("per_second", sa.Float, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("state", Enumerated(WaveState), nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    among("state", WaveState, name="waves_state_known"),
)

wave_targets = sa.Table(
    "wave_targets",
    metadata,
    sa.Column("wave_id", sa.Text, sa.ForeignKey("waves.id", name="wave_targets_wave"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    # no foreign key: checked for each target, it would be the dearest part of a wave to ten thousand
    sa.Column("enrollment_key", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
)
UNTRIED = sa.text("outcome IS NULL")
sa.Index(
    "wave_targets_untried",
    wave_targets.c.wave_id,
    wave_targets.c.position,
    sqlite_where=UNTRIED,
    postgresql_where=UNTRIED,
)

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("identifier", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("handling", Enumerated(Handling), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.Column("scope", Enumerated(Scope), nullable=False, server_default=Scope.SYSTEM.value),
    sa.UniqueConstraint("identifier", name="profiles_identifier"),
    among("handling", Handling, name="profiles_handling_known"),
)

profile_assignments = sa.Table(
    "profile_assignments",
    metadata,
    sa.Column("profile_id", sa.Text, sa.ForeignKey("profiles.id", name="profile_assignments_profile"), primary_key=True),
    sa.Column("kind", Enumerated(TargetKind), primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    among("kind", TargetKind, name="profile_assignments_kind_known"),
)
sa.Index("profile_assignments_target", profile_assignments.c.kind, profile_assignments.c.target)

profile_installations = sa.Table(
    "profile_installations",
    metadata,
    sa.Column(
        "enrollment_key",
        sa.Text,
        sa.ForeignKey("enrollments.key", name="profile_installations_enrollment"),
        primary_key=True,
    ),
    sa.Column("profile_id", sa.Text, sa.ForeignKey("profiles.id", name="profile_installations_profile"), primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", Enumerated(InstallState), nullable=False),
    sa.Column("changed_at", UTCTime, nullable=False),
    sa.Column("command_uuid", sa.Text),
    sa.Column("recipient", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    among("state", InstallState, name="profile_installations_state_known"),
)
sa.Index("profile_installations_profile", profile_installations.c.profile_id, profile_installations.c.enrollment_key)

recovery_keys = sa.Table(
    "recovery_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("version_id", sa.Text, sa.ForeignKey("versions.id", name="recovery_keys_version"), nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.Column("received_at", UTCTime, nullable=False),
    sa.Column("replaced_at", UTCTime),
)
IN_FORCE = sa.text("replaced_at IS NULL")
sa.Index("recovery_keys_device", recovery_keys.c.device, recovery_keys.c.id)
sa.Index("recovery_keys_current", recovery_keys.c.device, unique=True, sqlite_where=IN_FORCE, postgresql_where=IN_FORCE)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("tag", sa.Text, primary_key=True),
    # what the device calls itself, so that a tag outlives a wipe
    sa.Column("device", sa.Text, primary_key=True),
)
sa.Index("tags_device", tags.c.device)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("at", UTCTime, nullable=False),
    sa.Column("kind", Enumerated(EventKind), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    # no foreign keys: what happened stays on record whatever becomes of its subject
    sa.Column("enrollment_key", sa.Text),
    sa.Column("version_id", sa.Text),
    sa.Column("detail", JSONText, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("events_kind", events.c.kind, events.c.id)
sa.Index("events_enrollment", events.c.enrollment_key, events.c.id)
sa.Index("events_version", events.c.version_id, events.c.id)

admins = sa.Table(
    "admins",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("token_sha256", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.UniqueConstraint("token_sha256", name="admins_token_sha256"),
)

notes = sa.Table(
    "notes",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
