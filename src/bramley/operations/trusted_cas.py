"""Outside CAs whose identities are believed: those of an organization's own CA, or of a former MDM.

That one is trusted makes nobody a device: a certificate of it that is bound to no enrollment stays unknown. Trust is what an
identity must have besides its binding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from bramley.lifecycle import states
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionID, VersionState
from bramley.operations import authorities, records
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys, names
from bramley.storage.protocols import Tx

ROUTE: Final = "identity"
"""The route of the lineage of a trust anchor that is here for identities."""


@dataclass(frozen=True, slots=True)
class TrustedCA:
    """An outside CA, as it is on record."""

    version: VersionID
    certificate: x509.Certificate


async def trust(installation: Installation, certificate: x509.Certificate, *, actor: str) -> Version:
    """Believes the identities of an outside CA from now on; running servers within a second.

    Invalid for what is no CA, is not valid now, has a weak key, or has the name or the key of a CA of ours.
    """
    now = installation.clock.now()
    _require_ca(certificate, now)

    def act(tx: Tx) -> Version:
        _require_not_ours(tx, installation, certificate)
        sha256 = certificates.sha256(certificate)
        known = tx.lineages.by_sha256(sha256)
        if known is not None and known.state is VersionState.ACTIVE:
            records.reroute(tx, known.lineage_id, ROUTE)
        else:
            if known is not None:
                raise Invalid(f"This certificate is here already: {known.id}, {known.state}.")
            name = f"{names.text(certificate.subject)} {sha256[:8]}"
            lineage = records.lineage(tx, Kind.TRUST_ANCHOR, name, Policy(), now=now, route=ROUTE)
            event = EventKind.CERTIFICATE_IMPORTED
            known = records.record(tx, lineage, certificate, state=VersionState.ACTIVE, now=now, actor=actor, event=event)
        tx.events.append(Event(now, EventKind.OUTSIDE_CA_TRUSTED, actor, version_id=known.id, detail={"subject": known.subject}))
        records.touch(tx)
        return known

    return await installation.store.run(act)


async def distrust(installation: Installation, name: str, *, actor: str) -> tuple[Version, int]:
    """Believes an outside CA no more, from the next request on; which, and how many enrolled devices that shuts out.

    `name` is its version's id, its SHA-256, or its serial number. NotFound for one that is not trusted.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> tuple[Version, int]:
        version = _find(tx, name)
        shut_out = relying(tx, version.id)
        records.reroute(tx, version.lineage_id, "")
        detail = {"subject": version.subject, "devices": shut_out}
        tx.events.append(Event(now, EventKind.OUTSIDE_CA_DISTRUSTED, actor, version_id=version.id, detail=detail))
        records.touch(tx)
        return version, shut_out

    return await installation.store.run(act)


def read(tx: Tx) -> Sequence[TrustedCA]:
    """Those that are trusted, by name."""
    return [TrustedCA(version.id, certificates.load(version.certificate)) for version in _versions(tx) if version.certificate]


def relying(tx: Tx, ca: VersionID) -> int:
    """How many enrolled devices have a live identity of this CA."""
    count, after = 0, None
    while page := tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY, states=tuple(states.LIVE), limit=1000, after=after):
        for row in page:
            if row.version.issuer_version == ca and row.enrollment_key is not None:
                enrollment = tx.enrollments.get(row.enrollment_key)
                count += enrollment is not None and enrollment.state is not EnrollmentState.CHECKED_OUT
        after = page[-1].version.id
    return count


def _versions(tx: Tx) -> list[Version]:
    anchors = [lineage for lineage in tx.lineages.of_kind(Kind.TRUST_ANCHOR) if lineage.route == ROUTE]
    return [version for each in anchors for version in tx.lineages.versions(each.id) if version.state is VersionState.ACTIVE]


def _find(tx: Tx, name: str) -> Version:
    found = [each for each in _versions(tx) if name.lower() in (each.id, each.sha256, each.serial)]
    if len(found) > 1:
        raise Conflict(f"{name} names {len(found)} of them.", advice="Give the SHA-256 of the one that is meant.")
    if not found:
        raise NotFound(
            f"There is no trusted outside CA {name!r}.", advice="`bramley identity ca trust` without a file lists them."
        )
    return found[0]


def _require_ca(certificate: x509.Certificate, now: datetime) -> None:
    shown = names.text(certificate.subject)
    constraints = certificates.extension(certificate, x509.BasicConstraints)
    usage = certificates.extension(certificate, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise Invalid(f"{shown} is no CA: it may not issue certificates.", advice="Give the certificate of the issuing CA.")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise Invalid(f"{shown} is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}, not now.")
    keys.require_strong(certificates.public_key(certificate))


def _require_not_ours(tx: Tx, installation: Installation, certificate: x509.Certificate) -> None:
    held = authorities.load(tx, installation.sealer)
    own = [
        held.root.certificate,
        *held.identity_certificates,
        held.https.authority.certificate,
        held.signer.authority.certificate,
    ]
    spki = keys.spki(certificates.public_key(certificate))
    if any(each.subject == certificate.subject or keys.spki(certificates.public_key(each)) == spki for each in own):
        raise Invalid("It has the name or the key of a CA of this installation: one would be taken for the other.")
