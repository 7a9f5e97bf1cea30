"""What a running server keeps at hand: opened keys and the certificates in force, read anew when they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography import x509

from bramley.apple.push.errors import PushError
from bramley.apple.push.topic import topic_of
from bramley.mdm.identity import IdentityTrust
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Version, VersionID, VersionState
from bramley.operations import authorities, records, scep_ra, self_signed, server_certificates, signers, trusted_cas, vault
from bramley.operations.authorities import Authorities
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation
from bramley.operations.refusals import Refusals
from bramley.operations.server_certificates import Pair
from bramley.operations.signers import Signer
from bramley.operations.trusted_cas import TrustedCA
from bramley.pki import certificates, keys
from bramley.pki.errors import PKIError
from bramley.pki.keystore import Sealer
from bramley.pki.scep.requests import Responder
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class PushIdentity:
    """A push certificate in force, with its key."""

    topic: str
    certificate: x509.Certificate
    key: keys.PrivateKey = field(repr=False)
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything of one generation."""

    generation: str
    authorities: Authorities
    believed: tuple[VersionID, ...]
    """What `trust` is made of: identity CAs, outside ones too, and identities that are trusted for themselves."""

    identity_issuers: tuple[x509.Certificate, ...]
    """Their certificates, in the same order."""

    outside_cas: tuple[TrustedCA, ...]

    trust: IdentityTrust
    https: Pair
    signer: Pair
    """The chosen one."""

    own_signer: Pair
    pushes: Mapping[str, PushIdentity]
    unusable: Mapping[str, str]
    """Topics whose push certificate is in the database and cannot be used, with the reason."""

    responders: tuple[Responder, ...]
    """As `scep_ra.responders` says."""

    @property
    def topics(self) -> frozenset[str]:
        """The push topics that devices may come with; also one that cannot be pushed to for now, since it is still theirs."""
        return frozenset(self.pushes) | frozenset(self.unusable)

    @property
    def next_identity(self) -> x509.Certificate | None:
        """The identity CA that is prepared to issue after the one in force."""
        return self.authorities.next_identity

    @property
    def responder(self) -> Responder:
        """The SCEP end that clients are told of. NotReady where there is none."""
        if not self.responders:
            raise NotReady("Nothing answers SCEP: the RA has no certificate.", advice="`bramley serve` makes one at its start.")
        return self.responders[0]


class Live:
    """An installation with its current snapshot."""

    def __init__(self, installation: Installation, snapshot: Snapshot) -> None:
        self.installation = installation
        self.refusals = Refusals(installation)
        self._snapshot = snapshot

    @classmethod
    async def start(cls, installation: Installation) -> Live:
        """Reads the first snapshot; NotReady or SealError where the installation is not whole."""
        return cls(installation, await installation.store.read(lambda tx: _read(tx, installation, None)))

    def current(self) -> Snapshot:
        return self._snapshot

    async def refresh(self) -> bool:
        """Reads anew if something of it has changed; whether it has."""
        known = self._snapshot

        def read(tx: Tx) -> Snapshot:
            if tx.notes.get(records.GENERATION_NOTE) == known.generation:
                return known
            return _read(tx, self.installation, known)

        self._snapshot = await self.installation.store.read(read)
        return self._snapshot is not known


def _read(tx: Tx, installation: Installation, known: Snapshot | None) -> Snapshot:
    sealer = installation.sealer
    held = authorities.load(tx, sealer)
    pushes, unusable = _pushes(tx, sealer)
    # The cache of checked signers lives in the trust: keep it as long as the CAs are the same. The issuing one stands first,
    # so that of two CAs with one key the one that lasts longer is taken.
    outside = trusted_cas.read(tx)
    others = (*((each.version, each.certificate) for each in outside), *self_signed.believed(tx))
    believed = (*(each.version for each in held.trusted_identities), *(version for version, _certificate in others))
    identity_issuers = (*held.identity_certificates, *(certificate for _version, certificate in others))
    trust = known.trust if known is not None and known.believed == believed else None
    if trust is None:
        trust = IdentityTrust(identity_issuers)
    return Snapshot(
        generation=tx.notes.get(records.GENERATION_NOTE) or "",
        authorities=held,
        believed=believed,
        identity_issuers=identity_issuers,
        outside_cas=tuple(outside),
        trust=trust,
        https=server_certificates.load(tx, sealer, Kind.HTTPS, held.https),
        signer=signers.load(tx, sealer, held, signers.chosen(tx)),
        own_signer=signers.load(tx, sealer, held, Signer.OWN),
        pushes=MappingProxyType(pushes),
        unusable=MappingProxyType(unusable),
        responders=scep_ra.responders(tx, sealer, installation.settings, held),
    )


def push_identity(tx: Tx, sealer: Sealer, lineage: Lineage, version: Version) -> PushIdentity | None:
    """A version of a push lineage with its key; None where it has no certificate or no key.

    NotReady where the certificate is not of the lineage's topic, or not its key's: however it got there (a database mended by
    hand, half a backup), it is not used.
    """
    if not (version.certificate and version.key_id and version.sha256):
        return None
    certificate, key = certificates.load(version.certificate), vault.take(tx, sealer, version.key_id)
    if topic_of(certificate) != lineage.name or not certificates.matches(certificate, key.public_key()):
        raise NotReady(
            f"The database holds another certificate, or another key, in the place of the push certificate of {lineage.name}.",
            advice="It was changed by hand. Restore a whole backup; bring certificates in by `bramley push import` alone.",
        )
    return PushIdentity(lineage.name, certificate, key, version.sha256)


def _pushes(tx: Tx, sealer: Sealer) -> tuple[dict[str, PushIdentity], dict[str, str]]:
    """What can be used, by topic; and what cannot, with the reason: one spoilt certificate does not stop the server."""
    found: dict[str, PushIdentity] = {}
    unusable: dict[str, str] = {}
    for lineage in tx.lineages.of_kind(Kind.PUSH):
        for version in tx.lineages.versions(lineage.id):
            if version.state is VersionState.ACTIVE:
                try:
                    identity = push_identity(tx, sealer, lineage, version)
                except (NotReady, PKIError, PushError) as error:
                    unusable[lineage.name] = str(error)
                else:
                    found |= {lineage.name: identity} if identity else {}
    return found, unusable
