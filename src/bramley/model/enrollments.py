"""Devices and user channels that send us check-ins, what they may present, and how they come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from bramley.model.commands import PendingCommand
from bramley.model.lineages import VersionID, VersionState

EnrollmentKey = NewType("EnrollmentKey", str)
"""Our own name of an enrollment, given when its profile is fetched, before any device has told its UDID."""

EnrollmentID = NewType("EnrollmentID", str)
"""What the device calls itself: `UDID`, `EnrollmentID` (User Enrollment), or `parent:user` for a user channel."""


class EnrollmentState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    CHECKED_OUT = "checked-out"


class Purpose(StrEnum):
    """Why an identity is issued. It decides whether an Authenticate starts afresh or carries on (rule 7)."""

    ENROLL = "enroll"
    RENEW = "renew"


class IdentityRoute(StrEnum):
    """How a device comes by its identity: the `route` of a device identity's lineage."""

    SCEP = "scep"
    """The device makes the key, and our CA certifies it."""
    PKCS12 = "pkcs12"
    """The server makes the key, and sends it along in the profile."""
    OUTSIDE_SCEP = "outside-scep"
    """The device makes the key, and an outside CA certifies it when we ask."""
    OUTSIDE = "outside"
    """An outside CA certifies it without us."""
    IMPORTED = "imported"
    """It was made under another MDM server."""


def weakness(route: str) -> str:
    """What makes an identity that came by this route weaker than it could be, in words; empty where nothing does."""
    return "weaker: the key travelled" if route == IdentityRoute.PKCS12 else ""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A device, or a user channel of one (`parent` set).

    `push_token` and `push_magic` come from TokenUpdate, `topic` from Authenticate. `unlock_token` and `bootstrap_token` are
    sealed. `token_updated_at` is the latest TokenUpdate; `push_stopped_at` is when APNs called the token dead: nothing is
    pushed until a later TokenUpdate. `invariants` names what is peculiar in the enrollment profile that it installed, and may not
    change in a replacement (its URLs, its identifiers): empty for the usual one.
    """

    key: EnrollmentKey
    state: EnrollmentState
    created_at: datetime
    changed_at: datetime
    id: EnrollmentID | None = None
    parent: EnrollmentKey | None = None
    link_id: str | None = None
    udid: str | None = None
    enrollment_id: str | None = None
    user_id: str | None = None
    user_short_name: str | None = None
    user_long_name: str | None = None
    serial_number: str | None = None
    device_name: str | None = None
    model: str | None = None
    product_name: str | None = None
    os_version: str | None = None
    build_version: str | None = None
    topic: str | None = None
    push_token: bytes | None = field(default=None, repr=False)
    push_magic: str | None = field(default=None, repr=False)
    token_updated_at: datetime | None = None
    push_stopped_at: datetime | None = None
    unlock_token: bytes | None = None
    bootstrap_token: bytes | None = None
    enrolled_at: datetime | None = None
    last_seen_at: datetime | None = None
    last_push_at: datetime | None = None
    invariants: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """Which certificate an enrollment may present, from our issuance record, never from the first that claims a UDID."""

    certificate_sha256: str
    enrollment_key: EnrollmentKey
    purpose: Purpose
    version_id: VersionID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Presented:
    """All that storage knows of a presented identity, its device and the addressed channel, in one read: the hot path.

    `channel_key` is None where the message names a user that has no channel yet. `next_command` is the first of the
    channel's queue that is not deferred; `deferred` says whether any command waits after a NotNow.
    """

    certificate_sha256: str
    version_id: VersionID
    version_state: VersionState
    not_before: datetime
    not_after: datetime
    purpose: Purpose
    enrollment_key: EnrollmentKey
    enrollment_id: EnrollmentID | None
    enrollment_state: EnrollmentState
    channel_key: EnrollmentKey | None
    channel_state: EnrollmentState | None
    next_command: PendingCommand | None
    deferred: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    """A one-time SCEP challenge: only its SHA-256 is kept, and it is spent in the transaction that issues a certificate.

    `spent_on` is the SHA-256 of the SCEP message it was spent on, and `version_id` what was issued for it: the same message
    sent again (the answer was lost) is answered again with the same certificate.
    """

    id: str
    secret_sha256: str
    enrollment_key: EnrollmentKey
    purpose: Purpose
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    spent_on: str | None = None
    version_id: VersionID | None = None


@dataclass(frozen=True, slots=True)
class EnrollmentLink:
    """An invitation: whoever fetches it gets an enrollment profile, up to `uses_allowed` identities.

    `udid`, where set, is the one device that may use it, and the only way to take the place of an active enrollment.
    `topic`, where set, is the push topic that its devices enroll under; None leaves the choice to the moment of enrollment.
    """

    id: str
    token_sha256: str
    label: str
    created_at: datetime
    expires_at: datetime
    uses_allowed: int
    uses: int = 0
    udid: str | None = None
    topic: str | None = None
