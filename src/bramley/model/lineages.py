"""One certificate over time: a lineage, and the versions it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from bramley.model.kinds import Kind

LineageID = NewType("LineageID", str)
VersionID = NewType("VersionID", str)
KeyID = NewType("KeyID", str)


class VersionState(StrEnum):
    """Where a version stands. `expired` is missing on purpose: it is computed from the time, never stored."""

    PLANNED = "planned"
    REQUESTED = "requested"
    AWAITING = "awaiting"
    ISSUED = "issued"
    DISTRIBUTED = "distributed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    REVOKED = "revoked"
    FAILED = "failed"


class Turn(StrEnum):
    """Whose move it is while a version is awaited."""

    APPLE = "apple"
    HUMAN = "human"
    DEVICE = "device"
    CA = "ca"


class RevocationReason(StrEnum):
    """Why a certificate was revoked, by the names of RFC 5280 section 5.3.1.

    `certificateHold` is missing: that is what a suspended version is, for as long as it is.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a lineage is kept alive.

    `renew_at` is the share of a version's life after which its successor is due; `jitter` spreads that moment by up to
    this share of the life either way, so that a fleet enrolled in one morning does not renew in one morning. `lifetime`
    is what the next version will be asked for, None where somebody else decides.
    """

    lifetime: timedelta | None = None
    renew_at: float = 2 / 3
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Lineage:
    """A certificate with a use and an owner, whichever version happens to be in force.

    `owner` is the account without which it cannot be renewed: for a push certificate the Apple Account that made it.
    `route` is how its versions come to be, where there are several ways (`model.push.Route`, `model.enrollments.IdentityRoute`).
    Both are empty where unknown.
    """

    id: LineageID
    kind: Kind
    name: str
    policy: Policy
    created_at: datetime
    owner: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One issued, or planned, certificate of a lineage.

    `certificate` is DER, and it and everything read from it is None until there is one. `serial` is lower-case hex
    without leading zeros; `sha256` is over the certificate, `spki_sha256` over its SubjectPublicKeyInfo. `key_id` names
    the sealed private key where this server holds it. `issuer_version` is set where its issuer is on record. `request` is the
    DER certification request (RFC 2986) that somebody else is asked to answer. `revoked_for` is set with the state `revoked`;
    `reason` holds a person's words for it.
    """

    id: VersionID
    lineage_id: LineageID
    number: int
    state: VersionState
    created_at: datetime
    changed_at: datetime
    turn: Turn | None = None
    reason: str = ""
    key_id: KeyID | None = None
    issuer_version: VersionID | None = None
    subject: str | None = None
    issuer: str | None = None
    serial: str | None = None
    sha256: str | None = None
    spki_sha256: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    certificate: bytes | None = None
    request: bytes | None = None
    revoked_for: RevocationReason | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its end has passed; a version without a certificate has no end."""
        return self.not_after is not None and now > self.not_after


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A private key as it rests: PKCS#8 sealed under the key-encryption key with (table, id, purpose) as associated data."""

    id: KeyID
    purpose: str
    algorithm: str
    sealed: bytes
    created_at: datetime
