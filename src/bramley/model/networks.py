"""Network identities: certificates for Wi-Fi, VPN and S/MIME, what they are made after, and which devices shall have them.

A device that nothing can be encrypted to, its identity being elliptic, fetches one more in the same way: its profile recipient.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionID

RECIPIENT: Final = "profile-recipient"
"""The template that is always there: of certificates that profiles are encrypted to, and that are good for nothing else."""

FROM_TEMPLATES: Final = frozenset({Kind.NETWORK_IDENTITY, Kind.PROFILE_RECIPIENT})
"""Kinds of certificates that are made after templates."""


class NetworkUse(StrEnum):
    """What a network identity is for."""

    WIFI = "wifi"
    VPN = "vpn"
    SMIME = "smime"
    OTHER = "other"


class NetworkIssuer(StrEnum):
    """Who certifies it: the `route` of its lineage."""

    BRAMLEY = "bramley"
    OUTSIDE = "outside"
    """An outside SCEP CA, which the device asks by itself."""


class NetworkState(StrEnum):
    """How an assignment stands on its device, as far as this server knows."""

    SENT = "sent"
    """An InstallProfile waits for the device, or for its answer."""
    INSTALLED = "installed"
    FAILED = "failed"
    REMOVING = "removing"
    """A RemoveProfile waits for the device, or for its answer."""
    ENDED = "ended"
    """It has no more to do with the device; kept, since the certificates that came of it may still be there."""


@dataclass(frozen=True, slots=True)
class NetworkTemplate:
    """What network identities of one name are made after. `content` is the uploaded TOML, sealed: it may hold secrets."""

    name: str
    use: NetworkUse
    issuer: NetworkIssuer
    content: bytes
    created_at: datetime
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class NetworkAssignment:
    """One enrollment shall have the identity of one template.

    It belongs to the enrollment, not to the device: one that begins anew after `created_at` has none. `look_at` is the moment
    from which the server has something to do about it by itself; None where it has not. `attempts` counts the answers in a row
    that brought no identity, and `problem` holds the device's words for the last one.
    """

    enrollment_key: EnrollmentKey
    template: str
    state: NetworkState
    created_at: datetime
    created_by: str
    changed_at: datetime
    command_uuid: CommandUUID | None = None
    sent_at: datetime | None = None
    look_at: datetime | None = None
    attempts: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NetworkChallenge:
    """A one-time SCEP challenge that is good for one network identity, and for no other certificate.

    Only its SHA-256 is kept. `spent_on` is the SHA-256 of the SCEP message it was spent on, and `version_id` what came of it.
    """

    secret_sha256: str
    enrollment_key: EnrollmentKey
    template: str
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    spent_on: str | None = None
    version_id: VersionID | None = None


def kind_of(template: str) -> Kind:
    """The kind of the certificates that are made after a template."""
    return Kind.PROFILE_RECIPIENT if template == RECIPIENT else Kind.NETWORK_IDENTITY


def lineage_name(key: EnrollmentKey, template: str) -> str:
    """The name of the lineage of certificates that an enrollment has after a template."""
    return f"{key}:{template}"


def owner_of(name: str) -> EnrollmentKey:
    """The enrollment in the name of a lineage of such certificates."""
    return EnrollmentKey(name.partition(":")[0])
