"""What holds of an archive's checksum, signatures and files. Whether to believe the certificates is for the caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from bramley.pki import certificates, cms, keys, oids, timestamps
from bramley.pki.cms import SignaturePolicy, ber
from bramley.pki.cms.algorithms import DIGESTS
from bramley.pki.cms.signed_data import SignerInfo, unsigned_values
from bramley.pki.errors import BadCertificate, BadKey
from bramley.pki.timestamps import BadTimestamp, VerifiedTimestamp
from bramley.pki.xar import heap
from bramley.pki.xar.archive import Archive
from bramley.pki.xar.heap import Progress
from bramley.pki.xar.table import Seal

POLICY: Final = SignaturePolicy(digests=frozenset({"sha1", "sha256", "sha384", "sha512"}), allow_without_attributes=False)
"""What a CMS signature of a package, or its timestamp, must be worth: Apple's older tools digest with SHA-1."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One signature: `fault` says why it proves nothing, and is empty where it holds.

    `certificates` are those that came with it, the signer's first; none where there is no telling whose it is. A signing time
    is what the signer claims. A timestamp is what an authority claims of a CMS signature; it may be missing, or prove nothing
    for the reason in `timestamp_fault`, and the signature holds all the same.
    """

    fault: str
    certificates: tuple[x509.Certificate, ...] = ()
    signing_time: datetime | None = None
    timestamp: VerifiedTimestamp | None = None
    timestamp_fault: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `checksum_holds` is of the table, `altered` names the files whose bytes are not what it says."""

    checksum_holds: bool
    altered: tuple[str, ...]
    rsa: Proof | None
    cms: Proof | None


def verify(archive: Archive, *, progress: Progress) -> Verification:
    """Checks everything, the files' bytes included. Raises BadXar only where the file changes meanwhile.

    Signatures are checked over the table as it is, whatever the archive says its checksum should be.
    """
    altered: list[str] = []
    for stretch in archive.stretches:
        altered += heap.altered(archive.stream, archive.base, stretch, _nowhere, progress)
    rsa_seal, cms_seal = archive.table.rsa, archive.table.cms
    return Verification(
        checksum_holds=archive.is_sound,
        altered=tuple(altered),
        rsa=None if rsa_seal is None else _proof_of_rsa(archive, rsa_seal),
        cms=None if cms_seal is None else _proof_of_cms(archive, cms_seal),
    )


def _proof_of_rsa(archive: Archive, seal: Seal) -> Proof:
    try:
        chain = _loaded(seal)
        key = certificates.public_key(chain[0])
        keys.require_strong(key)
    except (BadCertificate, BadKey) as error:
        return Proof(error.message)
    if not isinstance(key, rsa.RSAPublicKey):
        return Proof(f"Expected the signer's certificate to be for an RSA key; it is for {keys.describe(key)}.")
    try:
        key.verify(archive.read(seal), archive.table_digest, padding.PKCS1v15(), Prehashed(DIGESTS[archive.digest].hash))
    except InvalidSignature:
        return Proof("The signature does not match the signer's key and the table of contents.", chain)
    return Proof("", chain)


def _proof_of_cms(archive: Archive, seal: Seal) -> Proof:
    try:
        signed = cms.parse_signed_data(_without_padding(archive.read(seal)))
        found = cms.verify(
            signed,
            content=archive.table_digest,
            policy=POLICY,
            content_type=oids.DATA,
            extra_certificates=seal.certificates,
        )
        signer = certificates.load(found.certificate)
        others = [certificates.load(der) for der in (*seal.certificates, *signed.certificates)]
    except (cms.CMSError, BadCertificate) as error:
        return Proof(error.message)
    chain = tuple(dict.fromkeys((signer, *others)))
    try:
        return Proof("", chain, found.signing_time, _timestamp(signed.signers[0]))
    except (cms.CMSError, BadTimestamp) as error:
        return Proof("", chain, found.signing_time, timestamp_fault=error.message)


def _timestamp(signer: SignerInfo) -> VerifiedTimestamp | None:
    """The timestamp over a signature (RFC 3161 appendix A), None where there is none. Raises BadTimestamp or `cms.Malformed`."""
    tokens = unsigned_values(signer, oids.TIME_STAMP_TOKEN)
    if not tokens:
        return None
    if len(tokens) > 1:
        raise BadTimestamp(f"Expected one timestamp; there are {len(tokens)}.")
    return timestamps.verify(tokens[0], signer.signature, policy=POLICY)


def _loaded(seal: Seal) -> tuple[x509.Certificate, ...]:
    if not seal.certificates:
        raise BadCertificate("Expected the signer's certificate with the signature; none came.")
    return tuple([certificates.load(der) for der in seal.certificates])


def _without_padding(data: bytes) -> bytes:
    """A message without the zeros that Apple's tools reserve behind it: they make room before they know its size."""
    _, _, _, end = ber.element(ber.Source(data, ber.DEFAULT_LIMITS), 0, len(data))
    return data if data[end:].strip(b"\0") else data[:end]


def _nowhere(_: bytes) -> None:
    """Where bytes go that are only looked at."""
