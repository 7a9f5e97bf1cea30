"""What profiles are encrypted to on a device: its identity, or else an RSA certificate that it fetches for that alone."""

from __future__ import annotations

from datetime import datetime

from bramley.model.enrollments import EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.model.networks import RECIPIENT
from bramley.operations import records
from bramley.operations.live import Live
from bramley.operations.network import sending, standing
from bramley.pki import certificates
from bramley.profiles.encrypt import is_recipient
from bramley.storage.protocols import Tx

_WAITS = "it waits for the RSA certificate that the device is to fetch, since nothing can be encrypted to its identity"


def recipient_of(tx: Tx, key: EnrollmentKey, now: datetime) -> Version | None:
    """The certificate to encrypt to: of the identity that the device presents, where that can be; else the one fetched for it.

    None where there is no identity in force, and where the other one is not there yet or has expired.
    """
    identity = records.active(tx, Kind.DEVICE_IDENTITY, key)
    if identity is None or _fits(identity):
        return identity
    fetched = standing.in_force(tx, key, RECIPIENT)
    return fetched[0] if fetched is not None and not fetched[0].expired(now) else None


def awaited(tx: Tx, key: EnrollmentKey) -> str:
    """What a device waits for that has no recipient though it has an identity, in words; empty where it has none."""
    if records.active(tx, Kind.DEVICE_IDENTITY, key) is None:
        return ""
    assignment = tx.networks.get(key, RECIPIENT)
    problem = assignment.problem if assignment is not None and assignment.state not in sending.OVER else ""
    return f"{_WAITS}; the last try: {problem}" if problem else _WAITS


async def have_fetched(live: Live, key: EnrollmentKey, *, actor: str) -> None:
    """Has a device fetch the certificate, where it has not been told to already. Conflict where it is not active by now."""
    await sending.assign(live, RECIPIENT, [key], actor=actor)


def _fits(identity: Version) -> bool:
    return identity.certificate is not None and is_recipient(certificates.load(identity.certificate))
