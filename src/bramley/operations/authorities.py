"""The authorities: one root, and under it one CA for identities, one for HTTPS, one for signers, each with its own key.

While the identity CA is rolled over there are several of it: one issues, and the identities of each are believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Policy, Version, VersionID, VersionState
from bramley.operations import outside_chains, records, vault
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

BELIEVED = frozenset({VersionState.DISTRIBUTED, VersionState.ACTIVE, VersionState.SUPERSEDED})
"""States of an identity CA whose identities are believed: from before it issues until it is withdrawn."""

_LONGEST_NAME = 64
"""Octets of a common name (RFC 5280 appendix A.1)."""

_AHEAD = frozenset({VersionState.ISSUED, VersionState.DISTRIBUTED})


@dataclass(frozen=True, slots=True)
class Held:
    """An authority with the version it is recorded as."""

    authority: Authority
    version: VersionID


@dataclass(frozen=True, slots=True)
class Root:
    """The root that is above the others. `key` is None where it is kept offline: then nothing new can be put under it here."""

    certificate: x509.Certificate
    version: VersionID
    key: keys.PrivateKey | None = field(repr=False)

    def authority(self, lent: keys.PrivateKey | None = None) -> Authority:
        """Able to sign, with its key or the one `lent`. NotReady without either, BadCertificate where that is another's."""
        key = lent or self.key
        if key is None:
            raise NotReady(
                "The private key of the root is not here: it was taken offline.",
                advice="Give its file (--root-key), or bring it back by `bramley identity ca root bring-back FILE`.",
            )
        return Authority(self.certificate, key)


@dataclass(frozen=True, slots=True)
class Authorities:
    """The four authorities, keys open; that of the root may be offline.

    `identity` issues identities; `trusted_identities` are all identity CAs whose identities are believed, the issuing one first,
    then newest first. `next_identity` is the one that is prepared to issue after it, if any.
    """

    root: Root
    identity: Held
    https: Held
    signer: Held
    trusted_identities: tuple[Held, ...]
    next_identity: x509.Certificate | None = None

    @property
    def identity_certificates(self) -> tuple[x509.Certificate, ...]:
        """The certificates of the identity CAs whose identities are believed, the issuing one first."""
        return tuple(held.authority.certificate for held in self.trusted_identities)


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
    identity = held[Kind.IDENTITY_CA]
    at_the_top = Root(root.authority.certificate, root.version, root.authority.key)
    return Authorities(at_the_top, identity, held[Kind.HTTPS_CA], held[Kind.SIGNER_CA], (identity,))


def load(tx: Tx, sealer: Sealer) -> Authorities:
    """The active authorities with their keys. NotReady where one is missing, SealError where its key cannot be opened."""
    identity, https, signer = (_held(tx, sealer, _in_force(tx, kind)) for kind, *_ in _UNDER_ROOT)
    others = [version for version in identity_versions(tx) if version.id != identity.version]
    believed = (identity, *(_held(tx, sealer, version) for version in others if version.state in BELIEVED))
    ahead = [version.certificate for version in others if version.state in _AHEAD and version.certificate]
    return Authorities(load_root(tx, sealer), identity, https, signer, believed, certificates.load(ahead[0]) if ahead else None)


def load_root(tx: Tx, sealer: Sealer) -> Root:
    """The root, with its key where that is here."""
    version = _in_force(tx, Kind.ROOT_CA)
    if version.certificate is None:
        raise NotReady(f"The root {version.id} lacks its certificate.", advice="Restore a backup.")
    key = None if version.key_id is None else vault.take(tx, sealer, version.key_id)
    return Root(certificates.load(version.certificate), version.id, key)


def identity_versions(tx: Tx) -> list[Version]:
    """Every version of the identity CA, newest first."""
    lineage = tx.lineages.find(Kind.IDENTITY_CA, NAME)
    return [] if lineage is None else list(reversed(tx.lineages.versions(lineage.id)))


def identity_in_force(tx: Tx) -> tuple[Lineage, Version]:
    """The lineage of the identity CA, and the version that issues. NotReady where there is none."""
    lineage, active = tx.lineages.find(Kind.IDENTITY_CA, NAME), records.active(tx, Kind.IDENTITY_CA, NAME)
    if lineage is None or active is None:
        raise NotReady("This installation has no identity CA in force.", advice="Restore a backup.")
    return lineage, active


def next_name(tx: Tx, organization: str) -> x509.Name:
    """The name of the next identity CA with a key of its own: no two keys share one.

    Names are by what the issuer of an identity, and that of a CRL, is found. Two CAs of one name are told apart by key
    identifiers alone, which not every client looks at (RFC 5280 4.2.1.1).
    """
    generation = len({version.spki_sha256 for version in identity_versions(tx)}) + 1
    title = f"Device Identity CA G{generation}"
    full = f"{organization} {title}"
    return names.make(full if len(full.encode()) <= _LONGEST_NAME else title, organization=organization)


def _record(tx: Tx, sealer: Sealer, kind: Kind, authority: Authority, issuer: VersionID | None, now: datetime) -> Held:
    key_id = vault.keep(tx, sealer, authority.key, kind, now=now, actor="server")
    lineage = records.lineage(tx, kind, NAME, Policy(), now=now)
    version = records.record(
        tx, lineage, authority.certificate, state=VersionState.ACTIVE, now=now, actor="server", key_id=key_id, issuer=issuer
    )
    return Held(authority, version.id)


def _in_force(tx: Tx, kind: Kind) -> Version:
    version = records.active(tx, kind, NAME)
    if version is None:
        raise NotReady(f"This installation has no {kind}.", advice="Restore a backup; nothing can be issued without it.")
    return version


def _held(tx: Tx, sealer: Sealer, version: Version) -> Held:
    if version.certificate is None or version.key_id is None:
        raise NotReady(f"The authority {version.id} lacks its certificate or its key.", advice="Restore a backup.")
    key = vault.take(tx, sealer, version.key_id)
    return Held(Authority(certificates.load(version.certificate), key, outside_chains.above(tx, version)), version.id)
