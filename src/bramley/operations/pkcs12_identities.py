"""Device identities whose key the server makes: sent along in the enrollment profile as PKCS#12, once, and kept nowhere.

Weaker than SCEP, where the key never leaves the device. A key that nobody has used yet may be in anybody's hands, so what was
issued this way and not used is let go as early as can be.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from bramley.mdm.errors import Refusal, Refused
from bramley.model.commands import Command
from bramley.model.enrollments import EnrollmentKey, IdentityRoute, Purpose
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionID, VersionState
from bramley.operations import issuing, records
from bramley.operations.errors import NotFound
from bramley.operations.installation import Installation
from bramley.operations.live import Snapshot
from bramley.pki import certificates, keys, pkcs12
from bramley.storage.protocols import CertificateRow, Tx

ITERATIONS: Final = 2048
"""What Apple's systems are used to. More would only cost time in the transaction: nobody guesses 192 random bits."""

_PASSWORD_BYTES: Final = 24
_PAGE: Final = 1000
_UNUSED: Final = (VersionState.ISSUED, VersionState.DISTRIBUTED)


@dataclass(frozen=True, slots=True)
class Parcel:
    """An identity on its way to its device: the archive, and the password that opens it."""

    serial: str
    archive: bytes = field(repr=False)
    password: str = field(repr=False)


async def new_key() -> keys.PrivateKey:
    """A fresh key for one device. It takes its time, so it is made on a thread, before any transaction."""
    return await asyncio.to_thread(keys.generate, keys.KeyAlgorithm.RSA_2048)


def issue(
    tx: Tx,
    installation: Installation,
    snapshot: Snapshot,
    key: keys.PrivateKey,
    enrollment_key: EnrollmentKey,
    purpose: Purpose,
    now: datetime,
) -> Parcel:
    """Certificate made, recorded and bound, and packed together with its key under a new password. NotFound: no enrollment.

    The link of a first enrollment is used with the first use of the identity, see `use_link`.
    """
    enrollment = tx.enrollments.get(enrollment_key)
    if enrollment is None:
        raise NotFound(f"There is no enrollment {enrollment_key} to issue an identity for.")
    version = issuing.certify(
        tx,
        installation,
        snapshot,
        key.public_key(),
        enrollment,
        purpose,
        now=now,
        actor=f"device:{enrollment.id or ''}",
        route=IdentityRoute.PKCS12,
    )
    assert version.certificate is not None, "a version that was issued has a certificate"
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    bundle = pkcs12.Bundle(key, certificates.load(version.certificate))
    archive = pkcs12.write(bundle, password, style=pkcs12.Style.APPLE, name="Device identity", iterations=ITERATIONS)
    return Parcel(version.serial or "", archive, password)


def use_link(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Counts one use of the link behind a first enrollment, with the first use of its identity.

    Not with its issue, as for SCEP: a download that was lost, or made by a program that previews links, would use it up, and
    leave the key that it got as the only good one. So of several downloads by one link the first that is used counts.

    Refused where the link has expired or none of its uses is left.
    """
    enrollment = tx.enrollments.get(key)
    link = tx.links.get(enrollment.link_id) if enrollment is not None and enrollment.link_id else None
    if link is None:
        return
    if now > link.expires_at:
        raise Refused(Refusal.LINK_EXPIRED, f"The enrollment link of this identity expired at {link.expires_at:%F %T} UTC.")
    if not tx.links.use(link.id):
        raise Refused(
            Refusal.LINK_USED_UP,
            "The enrollment link of this identity is used up: another profile that was fetched by it was used first.",
            advice="Make another link. If nobody fetched it twice, somebody else has the link: see what enrolled by it.",
        )


def unused(tx: Tx, key: EnrollmentKey) -> list[Version]:
    """The identities that were issued this way, and not seen in use yet. Whoever had the one in use could fetch them."""
    versions = (tx.lineages.version(binding.version_id) for binding in tx.enrollments.bindings(key))
    return [
        version
        for version in versions
        if version is not None and version.state in _UNUSED and records.route_of(tx, version) == IdentityRoute.PKCS12
    ]


def take_back(tx: Tx, command: Command, *, now: datetime, actor: str) -> None:
    """Retires the identity that a pending renewal would bring, unless the device has been given it: then it may hold no other."""
    if command.sent_at is not None:
        return
    for version in unused(tx, command.enrollment_key):
        if version.created_at == command.created_at:
            _retire(tx, version, command.enrollment_key, "never delivered", now, actor)


async def retire_unused(installation: Installation, *, actor: str) -> int:
    """Retires identities that were fetched to enroll longer than `scep.challenge_hours` ago and never used; how many."""
    now = installation.clock.now()
    before = now - timedelta(hours=installation.settings.scep.challenge_hours)

    def act(tx: Tx) -> int:
        late = [row for row in _issued(tx) if row.lineage.route == IdentityRoute.PKCS12 and row.version.created_at < before]
        doomed = [row for row in late if _to_enroll(tx, row.version)]
        for row in doomed:
            _retire(tx, row.version, row.enrollment_key, "never used", now, actor)
        return len(doomed)

    return await installation.store.run(act)


def _issued(tx: Tx) -> Sequence[CertificateRow]:
    """Every device identity that was not used yet."""
    found: list[CertificateRow] = []
    after: VersionID | None = None
    while page := tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY, states=_UNUSED, limit=_PAGE, after=after):
        found += page
        after = page[-1].version.id
    return found


def _to_enroll(tx: Tx, version: Version) -> bool:
    binding = tx.enrollments.binding(version.sha256 or "")
    return binding is not None and binding.purpose is Purpose.ENROLL


def _retire(tx: Tx, version: Version, key: EnrollmentKey | None, reason: str, now: datetime, actor: str) -> None:
    records.move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason=reason, enrollment=key)
