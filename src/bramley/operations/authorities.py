"""The authorities: one root, and under it one CA for identities, one for HTTPS, one for signers, each with its own key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionID, VersionState
from bramley.operations import records, vault
from bramley.operations.errors import NotReady
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

_UNDER_ROOT = (
    (Kind.IDENTITY_CA, profiles.IDENTITY_CA, "Device Identity CA"),
    (Kind.HTTPS_CA, profiles.HTTPS_CA, "HTTPS CA"),
    (Kind.SIGNER_CA, profiles.SIGNER_CA, "Signer CA"),
)
# RSA for all four: SCEP's single-CA mode needs an RSA key in the identity CA, and old Apple systems read RSA chains best.
_ALGORITHM = keys.KeyAlgorithm.RSA_2048
_ROOT_ALGORITHM = keys.KeyAlgorithm.RSA_3072
NAME = "default"


@dataclass(frozen=True, slots=True)
class Held:
    """An authority with the version it is recorded as."""

    authority: Authority
    version: VersionID


@dataclass(frozen=True, slots=True)
class Authorities:
    """The four authorities, keys open."""

    root: Held
    identity: Held
    https: Held
    signer: Held


def create(tx: Tx, sealer: Sealer, *, organization: str, now: datetime) -> Authorities:
    """Makes the four authorities of a new installation."""
    key = keys.generate(_ROOT_ALGORITHM)
    certificate = self_signed(profiles.ROOT_CA, key, names.make(f"{organization} Root CA", organization=organization), now=now)
    root = _record(tx, sealer, Kind.ROOT_CA, Authority(certificate, key), None, now)
    held = {Kind.ROOT_CA: root}
    for kind, profile, title in _UNDER_ROOT:
        key = keys.generate(_ALGORITHM)
        subject = names.make(f"{organization} {title}", organization=organization)
        certificate = issue(root.authority, profile, key.public_key(), subject=subject, now=now)
        authority = Authority(certificate, key, (root.authority.certificate,))
        held[kind] = _record(tx, sealer, kind, authority, root.version, now)
    records.touch(tx)
    return Authorities(root, held[Kind.IDENTITY_CA], held[Kind.HTTPS_CA], held[Kind.SIGNER_CA])


def load(tx: Tx, sealer: Sealer) -> Authorities:
    """The active authorities with their keys. NotReady where one is missing, SealError where its key cannot be opened."""
    root = _load(tx, sealer, Kind.ROOT_CA, ())
    above = (root.authority.certificate,)
    return Authorities(root, *(_load(tx, sealer, kind, above) for kind, _profile, _title in _UNDER_ROOT))


def _record(tx: Tx, sealer: Sealer, kind: Kind, authority: Authority, issuer: VersionID | None, now: datetime) -> Held:
    key_id = vault.keep(tx, sealer, authority.key, kind, now=now, actor="server")
    lineage = records.lineage(tx, kind, NAME, Policy(), now=now)
    version = records.record(
        tx, lineage, authority.certificate, state=VersionState.ACTIVE, now=now, actor="server", key_id=key_id, issuer=issuer
    )
    return Held(authority, version.id)


def _load(tx: Tx, sealer: Sealer, kind: Kind, above: tuple[x509.Certificate, ...]) -> Held:
    version = records.active(tx, kind, NAME)
    if version is None or version.certificate is None or version.key_id is None:
        raise NotReady(f"This installation has no {kind}.", advice="Restore a backup; nothing can be issued without it.")
    key = vault.take(tx, sealer, version.key_id)
    return Held(Authority(certificates.load(version.certificate), key, above), version.id)
