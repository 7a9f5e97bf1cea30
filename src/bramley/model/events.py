"""What happened: append-only, who, when, what, no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bramley.model.enrollments import EnrollmentKey
from bramley.model.lineages import VersionID


class EventKind(StrEnum):
    """`source:subject:action`; a new one gets a line in docs/reference/events.md, which a test compares."""

    SERVER_STARTED = "server:process:started"
    SERVER_INITIALIZED = "server:data:initialized"
    ADMIN_TOKEN_CREATED = "admin:token:created"  # noqa: S105 - an event, not a secret
    ADMIN_REFUSED = "admin:token:refused"
    KEY_CREATED = "key:private:created"
    CERTIFICATE_REQUESTED = "certificate:version:requested"
    CERTIFICATE_FAILED = "certificate:version:failed"
    CERTIFICATE_ISSUED = "certificate:version:issued"
    CERTIFICATE_IMPORTED = "certificate:version:imported"
    CERTIFICATE_ACTIVATED = "certificate:version:activated"
    CERTIFICATE_SUPERSEDED = "certificate:version:superseded"
    CERTIFICATE_RETIRED = "certificate:version:retired"
    CERTIFICATE_SUSPENDED = "certificate:version:suspended"
    CERTIFICATE_REINSTATED = "certificate:version:reinstated"
    CERTIFICATE_REVOKED = "certificate:version:revoked"
    CRL_PUBLISHED = "authority:crl:published"
    RENEWAL_STARTED = "certificate:renewal:started"
    OUTSIDE_CA_TRUSTED = "authority:outside:trusted"
    OUTSIDE_CA_DISTRUSTED = "authority:outside:distrusted"
    ROOT_KEY_OFFLINE = "authority:root-key:offline"
    ROOT_KEY_BACK = "authority:root-key:back"
    CA_ROLLOVER_DUE = "authority:rollover:due"
    PLAN_STARTED = "plan:replacement:started"
    PLAN_STEP_TAKEN = "plan:step:taken"
    PLAN_CANCELLED = "plan:replacement:cancelled"
    LINK_CREATED = "enrollment:link:created"
    PROFILE_FETCHED = "enrollment:profile:fetched"
    ENROLLMENT_AUTHENTICATED = "enrollment:device:authenticated"
    ENROLLMENT_ACTIVATED = "enrollment:device:activated"
    ENROLLMENT_REPLACED = "enrollment:device:replaced"
    ENROLLMENT_IMPORTED = "enrollment:device:imported"
    ENROLLMENT_CHECKED_OUT = "enrollment:device:checked-out"
    DEVICE_QUARANTINED = "enrollment:device:quarantined"
    DEVICE_RELEASED = "enrollment:device:released"
    BOOTSTRAP_TOKEN_SET = "enrollment:bootstrap-token:set"  # noqa: S105 - an event, not a secret
    BOOTSTRAP_TOKEN_DELETED = "enrollment:bootstrap-token:deleted"  # noqa: S105 - an event, not a secret
    BOOTSTRAP_TOKEN_READ = "enrollment:bootstrap-token:read"  # noqa: S105 - an event, not a secret
    DEVICE_REFUSED = "device:request:refused"
    DEVICE_EXPIRED_ACCEPTED = "device:expired-identity:accepted"
    DEVICE_CERTIFICATES_RECONCILED = "device:certificates:reconciled"
    SCEP_REFUSED = "scep:request:refused"
    SCEP_ADMITTED = "scep:request:admitted"
    SCEP_HELD = "scep:request:held"
    SCEP_APPROVED = "scep:request:approved"
    SCEP_DENIED = "scep:request:denied"
    PROFILE_KEPT = "profile:content:kept"
    PROFILE_REMOVED = "profile:content:removed"
    PROFILE_ASSIGNED = "profile:assignment:added"
    PROFILE_UNASSIGNED = "profile:assignment:ended"
    PROFILE_SIGNER_CHOSEN = "profile:signer:chosen"
    DEVICE_TAGGED = "enrollment:tags:changed"
    RECOVERY_KEY_KEPT = "filevault:recovery-key:kept"
    RECOVERY_KEY_READ = "filevault:recovery-key:read"
    RECOVERY_KEY_ROTATED = "filevault:recovery-key:rotated"
    NETWORK_TEMPLATE_KEPT = "network:template:kept"
    NETWORK_TEMPLATE_REMOVED = "network:template:removed"
    NETWORK_ASSIGNED = "network:assignment:added"
    NETWORK_UNASSIGNED = "network:assignment:ended"
    NETWORK_IDENTITY_SENT = "network:identity:sent"
    COMMAND_QUEUED = "command:queue:added"
    COMMAND_ANSWERED = "command:answer:stored"
    COMMAND_PIN_READ = "command:pin:read"
    PUSH_TOKEN_DEAD = "push:token:dead"  # noqa: S105 - an event, not a secret
    PUSH_TOPIC_PAUSED = "push:topic:paused"
    PUSH_TOPIC_RESUMED = "push:topic:resumed"
    PUSH_TOPIC_MISMATCH = "push:topic:mismatch"
    PUSH_ACCOUNT_NOTED = "push:account:noted"
    PUSH_REQUEST_SIGNED = "push:request:signed"
    PUSH_WAVE_STARTED = "push:wave:started"
    PUSH_WAVE_STOPPED = "push:wave:stopped"
    PUSH_WAVE_ENDED = "push:wave:ended"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `actor` is `admin:NAME`, `device:ID`, `job:KIND`, `cli` or `server`; `detail` is JSON-able."""

    at: datetime
    kind: EventKind
    actor: str
    enrollment_key: EnrollmentKey | None = None
    version_id: VersionID | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    id: int | None = None
