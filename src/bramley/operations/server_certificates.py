"""The server's own certificates: HTTPS and the profile signer, issued by our authorities, replaced before they end."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from bramley.lifecycle import schedule
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import records, vault
from bramley.operations.authorities import NAME, Authorities, Held
from bramley.operations.errors import NotReady
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key and the CAs above it up to, but without, the root."""

    certificate: x509.Certificate
    key: keys.PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]


def ensure(
    tx: Tx, sealer: Sealer, held: Authorities, *, host: str, organization: str, now: datetime, actor: str = "server"
) -> Sequence[Version]:
    """Issues the HTTPS and the profile-signing certificate where one is missing, due, or not for the host; what was issued."""
    made = []
    https = records.active(tx, Kind.HTTPS, NAME)
    if https is None or _due(tx, https, now) or not _names(https, host):
        subject, sans = names.make(host), _alternative_names(host)
        made.append(_issue(tx, sealer, held.https, Kind.HTTPS, profiles.HTTPS_SERVER, subject, sans, now, actor))
    signer = records.active(tx, Kind.PROFILE_SIGNER, NAME)
    if signer is None or _due(tx, signer, now):
        subject = names.make(f"{organization} Profile Signer", organization=organization)
        made.append(_issue(tx, sealer, held.signer, Kind.PROFILE_SIGNER, profiles.PROFILE_SIGNER, subject, (), now, actor))
    if made:
        records.touch(tx)
    return made


def load(tx: Tx, sealer: Sealer, kind: Kind, issuer: Held) -> Pair:
    """The active certificate of one of the two kinds, with its key. NotReady where there is none."""
    version = records.active(tx, kind, NAME)
    if version is None or version.certificate is None or version.key_id is None:
        raise NotReady(f"This installation has no {kind} certificate.", advice="`bramley serve` issues one at its start.")
    certificate = certificates.load(version.certificate)
    return Pair(certificate, vault.take(tx, sealer, version.key_id), (issuer.authority.certificate,))


def _issue(
    tx: Tx,
    sealer: Sealer,
    issuer: Held,
    kind: Kind,
    profile: profiles.CertificateProfile,
    subject: x509.Name,
    sans: Sequence[x509.GeneralName],
    now: datetime,
    actor: str,
) -> Version:
    # P-256 for HTTPS: a handshake costs a fifth of an RSA one. Profiles are signed with RSA, which every Apple OS verifies.
    key = keys.generate(keys.KeyAlgorithm.P_256 if kind is Kind.HTTPS else keys.KeyAlgorithm.RSA_2048)
    certificate = issue(issuer.authority, profile, key.public_key(), subject=subject, sans=sans, now=now)
    lineage = records.lineage(tx, kind, NAME, Policy(lifetime=profile.lifetime), now=now)
    key_id = vault.keep(tx, sealer, key, kind, now=now, actor=actor)
    version = records.record(
        tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor=actor, key_id=key_id, issuer=issuer.version
    )
    return records.promote(tx, version, now=now, actor=actor)


def _due(tx: Tx, version: Version, now: datetime) -> bool:
    lineage = tx.lineages.get(version.lineage_id)
    return lineage is None or schedule.due(version, lineage.policy, now)


def _alternative_names(host: str) -> tuple[x509.GeneralName, ...]:
    try:
        first: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        first = x509.DNSName(host)
    local = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    return (first, *(name for name in local if name != first))


def _names(version: Version, host: str) -> bool:
    if version.certificate is None:
        return False
    found = certificates.extension(certificates.load(version.certificate), x509.SubjectAlternativeName)
    return found is not None and _alternative_names(host)[0] in found
