"""Who answers SCEP: the identity CA itself, or a registration authority (RA) with a certificate of its own.

An RA is what there has to be where the CA's key cannot open messages, being elliptic, and what there may be so that the CA's
key does nothing but issue (docs/decisions/0005-single-ca-scep.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.lifecycle import schedule
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import issuers, records, vault
from bramley.operations.authorities import NAME, Authorities
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.keystore import Sealer
from bramley.pki.scep.requests import Responder
from bramley.settings import Settings
from bramley.storage.protocols import Tx

_STILL_OPENED: Final = frozenset({VersionState.ACTIVE, VersionState.SUPERSEDED})


def wanted(settings: Settings, held: Authorities) -> bool:
    """Whether an RA answers: by the setting, and always in front of an outside CA, or one without an RSA key (RFC 8894 3.1)."""
    ca_answers = isinstance(held.identity.authority.key, rsa.RSAPrivateKey) and not settings.scep.is_proxied
    return settings.scep.mode == "ra" or not ca_answers


def ensure(tx: Tx, installation: Installation, held: Authorities, *, now: datetime, actor: str = "server") -> Version | None:
    """Issues the RA's certificate, for a new key, where one is wanted and is missing, due, or of another CA than issues now."""
    if not wanted(installation.settings, held):
        return None
    lineage = records.lineage(tx, Kind.SCEP_RA, NAME, Policy(lifetime=profiles.SCEP_RA.lifetime), now=now)
    current = records.active(tx, Kind.SCEP_RA, NAME)
    ca = held.identity
    if current is not None and current.issuer_version == ca.version and not schedule.due(current, lineage.policy, now):
        return None
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    organization = installation.settings.organization
    certificate = issue(
        ca.authority,
        profiles.SCEP_RA,
        key.public_key(),
        subject=names.make(f"{organization} SCEP RA", organization=organization),
        now=now,
        status=issuers.status_urls(tx, installation.url, ca.version),
    )
    key_id = vault.keep(tx, installation.sealer, key, Kind.SCEP_RA, now=now, actor=actor)
    version = records.record(
        tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor=actor, key_id=key_id, issuer=ca.version
    )
    records.touch(tx)
    return records.promote(tx, version, now=now, actor=actor)


def responders(tx: Tx, sealer: Sealer, settings: Settings, held: Authorities) -> tuple[Responder, ...]:
    """Who opens and answers SCEP messages: the one that clients are told of first, then those they may have been told of before.

    With the setting `scep.mode` = ra, no CA is among them. Empty where an RA is wanted and there is none yet.
    """
    registration = tuple(_registration(tx, sealer))
    answered_by_ra = wanted(settings, held)
    if settings.scep.mode == "ra" or (answered_by_ra and not registration):
        return registration
    trusted = (each.authority for each in held.trusted_identities)
    single = tuple(Responder(ca.certificate, ca.key) for ca in trusted if isinstance(ca.key, rsa.RSAPrivateKey))
    return registration + single if answered_by_ra else single + registration


def _registration(tx: Tx, sealer: Sealer) -> Iterator[Responder]:
    """The RA's certificates with their keys: the one in force first, then older ones, newest first."""
    lineage = tx.lineages.find(Kind.SCEP_RA, NAME)
    versions = [] if lineage is None else [v for v in tx.lineages.versions(lineage.id) if v.state in _STILL_OPENED]
    for version in sorted(versions, key=lambda v: (v.state is VersionState.ACTIVE, v.number), reverse=True):
        if version.certificate is not None and version.key_id is not None:
            key = vault.take(tx, sealer, version.key_id)
            if isinstance(key, rsa.RSAPrivateKey):
                yield Responder(certificates.load(version.certificate), key)
