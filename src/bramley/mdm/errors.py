"""Why a device is not served. What is said here is for operators; the device hears only a status."""

from __future__ import annotations

from enum import StrEnum

from bramley.errors import BramleyError


class MDMError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadMessage(MDMError):
    """Bytes that are not a property list of ours, or a message without what its type obliges it to carry."""


class BadValue(MDMError):
    """We were asked to write something that a property list cannot hold."""


class Refusal(StrEnum):
    """Which rule a device's request breaks."""

    NO_SIGNATURE = "no-signature"
    BAD_SIGNATURE = "bad-signature"
    SEVERAL_SIGNERS = "several-signers"
    BAD_CERTIFICATE_HEADER = "bad-certificate-header"
    UNKNOWN_ISSUER = "unknown-issuer"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_USAGE = "wrong-usage"
    UNKNOWN_IDENTITY = "unknown-identity"
    NOT_IN_FORCE = "not-in-force"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    NOT_THIS_DEVICE = "not-this-device"
    UNKNOWN_CHANNEL = "unknown-channel"
    NOT_ENROLLED = "not-enrolled"
    CHECKED_OUT = "checked-out"
    TOPIC_MISMATCH = "topic-mismatch"
    DEVICE_TAKEN = "device-taken"
    LINK_EXPIRED = "link-expired"
    LINK_USED_UP = "link-used-up"


class Refused(MDMError):
    """A well-formed request that its sender may not make; `reason` says which rule it breaks."""

    def __init__(self, reason: Refusal, message: str, *, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.reason = reason


class NotOffered(MDMError):
    """A message type, `kind`, that this server knows and does not serve."""

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message or f"{kind} is not offered by this server.")
        self.kind = kind


class Quarantined(MDMError):
    """The enrollment is quarantined: it may be locked and erased, and gets nothing else."""
