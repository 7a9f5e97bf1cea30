"""What is told to others of revoked certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bramley.model.lineages import RevocationReason, VersionID


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is revoked or, with `reason` None, suspended. `serial` is lower-case hex; `since` is when."""

    serial: str
    since: datetime
    reason: RevocationReason | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many certificates a CA has issued, and how many of them are how.

    `active` ones are in force and have not ended, `expiring` ones are active and end soon.
    """

    issued: int
    active: int
    expiring: int
    suspended: int
    revoked: int


@dataclass(frozen=True, slots=True)
class PublishedCRL:
    """The latest CRL of an issuer (RFC 5280 section 5), DER; `issuer` is the version of its CA. Numbers only grow."""

    issuer: VersionID
    number: int
    this_update: datetime
    next_update: datetime
    der: bytes
