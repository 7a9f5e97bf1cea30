"""Timestamps of installer packages: asking an authority for one, and what one proves of the certificates that signed.

Macs take a package whose certificate has ended where an authority that they believe knew the signature before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from bramley.apple import timestamps
from bramley.apple.errors import ServiceTrouble
from bramley.operations.errors import Invalid
from bramley.pki import certificates, chains, names, oids, xar
from bramley.pki.errors import ChainError
from bramley.pki.timestamps import VerifiedTimestamp
from bramley.settings import Settings

_PLAIN: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A timestamp over a package's CMS signature.

    `fault` says why it proves nothing, and then there is no `found`; `doubt`, why its authority is not believed here.
    """

    fault: str = ""
    doubt: str = ""
    found: VerifiedTimestamp | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a Mac may have against it, in words."""
        if self.fault:
            return (f"The timestamp does not hold. {self.fault}",)
        if self.doubt:
            return (f"The timestamp's authority does not lead to a root of Apple's: a Mac may not believe it. {self.doubt}",)
        return ()

    def proves(self, certificate: x509.Certificate) -> bool:
        """Whether an authority that is believed knew the signature while the certificate was valid."""
        return self.found is not None and not self.doubt and _within(self.found, certificate)


def require_address(url: str) -> str:
    """The address of an authority; raises Invalid where it is none that could be asked."""
    try:
        parts = urlsplit(url)
        # reading the port says whether it is one
        fits = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and _PLAIN.fullmatch(url) is not None
        )
    except ValueError:
        fits = False
    if not fits:
        raise Invalid(
            "Expected the address of a timestamp authority, http:// or https://; what came is none.",
            advice=f"Apple's is {timestamps.SERVICE_URL}.",
        )
    return url


async def ask(signature: bytes, *, url: str, chain: Sequence[x509.Certificate], settings: Settings) -> VerifiedTimestamp:
    """A timestamp over the value of a signature by the first certificate of a chain, from the authority at `url`.

    Raises ServiceTrouble where none comes, or one that does not hold, or that proves nothing since one of the chain is not valid
    at its time.
    """
    found = await timestamps.timestamp(signature, url=url, proxy=settings.apple.proxy or None)
    for each in chain:
        if not _within(found, each):
            raise ServiceTrouble(
                f"The timestamp authority says that it is {found.time:%Y-%m-%d %H:%M} UTC; {validity(each)}.",
                advice="Check this machine's clock, or ask another authority.",
            )
    return found


def judge(found: VerifiedTimestamp, known: Sequence[x509.Certificate], roots: Collection[str]) -> Timestamp:
    """A timestamp that holds, with what there is to say against its authority.

    `roots` are SHA-256 of the roots that count as Apple's; the certificate of one comes with the timestamp, or is `known`.
    """
    anchors = [each for each in (*found.others, *known) if certificates.sha256(each) in roots]
    try:
        chains.verify(
            found.certificate,
            intermediates=found.others,
            anchors=anchors,
            at=found.time,
            extended_key_usage=oids.TIME_STAMPING,
        )
    except ChainError as error:
        return Timestamp(doubt=error.message, found=found)
    return Timestamp(found=found)


def of_proof(proof: xar.Proof, roots: Collection[str]) -> Timestamp | None:
    """The timestamp of a package's CMS signature, None where there is none."""
    if proof.timestamp is not None:
        return judge(proof.timestamp, proof.certificates, roots)
    return Timestamp(fault=proof.timestamp_fault) if proof.timestamp_fault else None


def validity(certificate: x509.Certificate) -> str:
    """From when to when a certificate is valid, in words."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return f"{names.text(certificate.subject)} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"


def _within(found: VerifiedTimestamp, certificate: x509.Certificate) -> bool:
    """Whether a certificate was valid at the latest time that a timestamp allows for."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin <= found.time and found.accuracy <= end - found.time
