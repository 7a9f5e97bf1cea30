"""Configuration profiles that this server keeps, who is to have them, and how each stands on a device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey

ProfileID = NewType("ProfileID", str)


class Handling(StrEnum):
    """What is done to a profile before a device gets it."""

    AS_IS = "as-is"
    """Nothing: somebody else has signed or encrypted it."""
    SIGN = "sign"
    ENCRYPT = "encrypt"
    """Encrypted to the one device, then signed."""

    @property
    def words(self) -> str:
        """For people, after "goes out"."""
        return {"as-is": "as it is", "sign": "signed", "encrypt": "encrypted and signed"}[self.value]


class Scope(StrEnum):
    """Whom a profile on a Mac is for: PayloadScope (Apple, "TopLevel")."""

    SYSTEM = "System"
    USER = "User"

    @property
    def words(self) -> str:
        """For people, after "for"."""
        return {"System": "the system", "User": "each user"}[self.value]


class TargetKind(StrEnum):
    DEVICE = "device"
    TAG = "tag"


class InstallState(StrEnum):
    """How a profile stands on a device, as far as this server knows."""

    SENT = "sent"
    """A command waits for the device, or for its answer."""
    INSTALLED = "installed"
    FAILED = "failed"
    REMOVING = "removing"
    MISSING = "missing"
    """It was installed, and the device no longer lists it."""


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile as it is kept. One `identifier` (PayloadIdentifier) is one profile, here as on a device.

    `content` is the uploaded or built profile, sealed, since profiles carry passwords and keys; `sha256` is over it in clear.
    `revision` grows with each replacement, from 1. Variables in it are filled in for each device, unless it goes out as it is.
    `scope` is System where the profile says nothing of it.
    """

    id: ProfileID
    identifier: str
    name: str
    revision: int
    handling: Handling
    content: bytes
    sha256: str
    created_at: datetime
    changed_at: datetime
    changed_by: str
    scope: Scope = Scope.SYSTEM


@dataclass(frozen=True, slots=True)
class Assignment:
    """A device, by what it calls itself so that it counts after a wipe too, or all devices with a tag, shall have a profile."""

    profile_id: ProfileID
    kind: TargetKind
    target: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Installation:
    """How one profile stands on one enrollment: a device, or a user channel of one.

    `revision` is what was sent last; `recipient` the SHA-256 of the certificate that it was encrypted to, if it was. `attempts`
    counts failures in a row, and `problem` holds the device's own words for the last one.
    """

    enrollment_key: EnrollmentKey
    profile_id: ProfileID
    revision: int
    state: InstallState
    changed_at: datetime
    command_uuid: CommandUUID | None = None
    recipient: str | None = None
    attempts: int = 0
    problem: str = ""
