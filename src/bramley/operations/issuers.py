"""Our CAs as others see them: each is one name with one key, whichever certificates it has had.

What the world asks of a CA, its CRL and OCSP, goes by name and key (RFC 5280 section 6.3.3, RFC 6960 section 4.1.1). A CA
that got a new certificate for its old key is the same one; with a new key it is another, and has a name of its own here,
since certificates hold the URLs that are made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from cryptography import x509

from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, Lineage, Version, VersionID, VersionState
from bramley.operations import vault
from bramley.operations.errors import NotReady
from bramley.pki import certificates
from bramley.pki.ca.authority import Authority, StatusURLs
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

_NAMES: Final = MappingProxyType(
    {
        Kind.ROOT_CA: "root",
        Kind.IDENTITY_CA: "identity-ca",
        Kind.HTTPS_CA: "https-ca",
        Kind.SIGNER_CA: "signer-ca",
    }
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """`id` is the first version of this key: CRLs and their numbers go under it. `certificate` is the newest (DER).

    `key_id` is None where this server does not hold the key: it is offline.
    """

    name: str
    kind: Kind
    versions: tuple[VersionID, ...]
    certificate: bytes
    key_id: KeyID | None
    not_after: datetime
    state: VersionState

    @property
    def id(self) -> VersionID:
        return self.versions[0]

    @property
    def x509(self) -> x509.Certificate:
        return certificates.load(self.certificate)

    def signs(self, now: datetime) -> bool:
        """Whether it can say anything at all: its key is here, and its end has not passed."""
        return self.key_id is not None and now < self.not_after

    def authority(self, tx: Tx, sealer: Sealer) -> Authority:
        """With its key. NotReady where that is not here."""
        if self.key_id is None:
            raise NotReady(f"The private key of {self.name} is not here.")
        return Authority(self.x509, vault.take(tx, sealer, self.key_id))


def read(tx: Tx) -> Sequence[Issuer]:
    """All of them: the root first, then by kind and age."""
    return [issuer for kind in _NAMES for lineage in tx.lineages.of_kind(kind) for issuer in _of(tx, lineage)]


def of_version(tx: Tx, version_id: VersionID) -> Issuer | None:
    """The one that a version is a certificate of; None for what is no CA of ours."""
    version = tx.lineages.version(version_id)
    lineage = tx.lineages.get(version.lineage_id) if version else None
    if lineage is None or lineage.kind not in _NAMES:
        return None
    return next((issuer for issuer in _of(tx, lineage) if version_id in issuer.versions), None)


def status_urls(tx: Tx, url: str, version_id: VersionID) -> StatusURLs | None:
    """What goes into a certificate that this version of a CA issues. `url` is the installation's."""
    issuer = of_version(tx, version_id)
    if issuer is None:
        return None
    base = f"{url}/pki/{issuer.name}"
    return StatusURLs(crl=f"{base}.crl", ocsp=f"{url}/pki/ocsp", issuer=f"{base}.cer")


def _of(tx: Tx, lineage: Lineage) -> Sequence[Issuer]:
    found: dict[tuple[str | None, str | None], list[Version]] = {}
    for version in tx.lineages.versions(lineage.id):
        if version.certificate is not None and version.state is not VersionState.FAILED:
            found.setdefault((version.subject, version.spki_sha256), []).append(version)
    return [_issuer(lineage, versions) for versions in found.values()]


def _issuer(lineage: Lineage, versions: Sequence[Version]) -> Issuer:
    first, latest = versions[0], versions[-1]
    if latest.certificate is None or latest.not_after is None:
        raise AssertionError("an issued version has a certificate and an end")
    base = _NAMES[lineage.kind]
    return Issuer(
        name=base if first.number == 1 else f"{base}-{first.number}",
        kind=lineage.kind,
        versions=tuple(version.id for version in versions),
        certificate=latest.certificate,
        key_id=latest.key_id,
        not_after=latest.not_after,
        state=latest.state,
    )
