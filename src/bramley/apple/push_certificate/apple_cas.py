"""Apple's certificate authorities: which roots count, and the chain from a vendor certificate to one of them.

Roots are pinned; any intermediate that chains to one will do, since Apple adds generations ("G3", "G4") of one common name.
An issuer is therefore found by name, by authority key identifier and by the signature that really verifies (RFC 5280 6.1.3).
Extensions that Apple marks critical for its own use are passed over: this foretells Apple's verdict, it authorises nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from bramley.apple.push_certificate.errors import BadChain, MissingIssuer
from bramley.pki import certificates, keys, names
from bramley.pki.errors import BadCertificate, BadKey

APPLE_ROOTS: Final = frozenset(
    {
        "b0b1730ecbc7ff4505142c49f1295e6eda6bcaed7e2c68c5be91b5a11001f024",  # Apple Root CA
        "c2b9b042dd57830e7d117dac55ac8ae19407d38e41d88f3215bc3a890444a050",  # Apple Root CA - G2
        "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179",  # Apple Root CA - G3
    }
)
"""SHA-256 of each of Apple's roots, lower hexadecimal, as https://www.apple.com/certificateauthority/ offers them."""

CA_PAGE: Final = "https://www.apple.com/certificateauthority/"
"""Where Apple publishes its CA certificates."""

LONGEST: Final = 6
"""Most certificates in a chain, both ends included; Apple's have three."""

LARGEST: Final = 256 * 1024
"""Most octets of a file with CA certificates; all of Apple's together have less."""

_STRONG_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def read_cas(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text, in its order, or of one DER file. Raises BadChain where there are none."""
    try:
        if len(data) > LARGEST:
            raise BadCertificate(f"Expected at most {LARGEST} octets of CA certificates; {len(data)} came.")
        if b"-----BEGIN" in data and not data.startswith(b"\x30"):
            return certificates.load_chain(data)
        return (certificates.load(data),)
    except BadCertificate as error:
        raise BadChain(error.message, advice=f"Download the CA certificates from {CA_PAGE}.") from None


def build_chain(
    leaf: x509.Certificate, candidates: Sequence[x509.Certificate], *, roots: frozenset[str], now: datetime
) -> tuple[x509.Certificate, ...]:
    """The chain from the leaf to one of the pinned roots, both included, chosen from candidates in any order.

    Raises MissingIssuer, which names the issuer that no candidate is, and BadChain as `check_chain` does.
    """
    chain = [leaf]
    while certificates.sha256(chain[-1]) not in roots:
        issuer = _issuer_of(chain[-1], candidates, now)
        if issuer in chain or len(chain) == LONGEST:
            raise _foreign_root(chain[-1])
        chain.append(issuer)
    check_chain(chain, roots=roots, now=now)
    return tuple(chain)


def check_chain(chain: Sequence[x509.Certificate], *, roots: frozenset[str], now: datetime) -> None:
    """Returns for a chain, leaf first, that is complete up to a pinned root, every link verified and every date kept.

    Raises MissingIssuer where the chain ends below a root, BadChain for every other fault.
    """
    if not 1 < len(chain) <= LONGEST:
        raise BadChain(
            f"Expected a chain of 2 to {LONGEST} certificates, the root among them; this one has {len(chain)}.",
            advice="Give the vendor certificate, then Apple's intermediate, then Apple's root.",
        )
    root = chain[-1]
    if certificates.sha256(root) not in roots:
        raise _foreign_root(root) if root.subject == root.issuer else _missing(root, "")
    for below, (certificate, issuer) in enumerate(pairwise(chain)):
        _check_link(certificate, issuer, below)
    for certificate in chain:
        check_dates(certificate, now)


def _issuer_of(certificate: x509.Certificate, candidates: Sequence[x509.Certificate], now: datetime) -> x509.Certificate:
    """The candidate that signed the certificate; of several, one that is in force."""
    _check_digest(certificate)
    named = [each for each in candidates if each.subject == certificate.issuer]
    found = [each for each in named if _identifies(certificate, each) and certificates.issued_by(certificate, each)]
    if not found:
        others = f" {len(named)} of that name came, none of which signed it: another generation?" if named else ""
        raise _missing(certificate, others)
    return max(found, key=lambda each: each.not_valid_before_utc <= now <= each.not_valid_after_utc)


def _identifies(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the key identifiers agree, as far as both certificates have one (RFC 5280 4.2.1.1)."""
    try:
        authority = certificates.extension(certificate, x509.AuthorityKeyIdentifier)
        subject = certificates.extension(issuer, x509.SubjectKeyIdentifier)
    except BadCertificate as error:
        raise BadChain(error.message, advice=f"Download Apple's CA certificates again from {CA_PAGE}.") from None
    wanted = authority.key_identifier if authority is not None else None
    return wanted is None or subject is None or wanted == subject.digest


def _check_link(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> None:
    """Whether the issuer signed the certificate and might; `below` is the number of CAs between the issuer and the leaf."""
    shown = names.text(issuer.subject)
    _check_digest(certificate)
    if not _identifies(certificate, issuer) or not certificates.issued_by(certificate, issuer):
        raise BadChain(
            f"{names.text(certificate.subject)} is not signed by the certificate that follows it, {shown}.",
            advice="Put each certificate before its issuer, and take the intermediate of the right generation (OU).",
        )
    try:
        keys.require_strong(certificates.public_key(issuer))
        constraints = certificates.extension(issuer, x509.BasicConstraints)
        usage = certificates.extension(issuer, x509.KeyUsage)
    except (BadKey, BadCertificate) as error:
        raise BadChain(f"{shown} cannot be an issuer. {error.message}", advice=error.advice) from None
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise BadChain(f"{shown} signed a certificate but is not a CA.", advice=f"Download Apple's CAs from {CA_PAGE}.")
    if constraints.path_length is not None and below > constraints.path_length:
        raise BadChain(f"{shown} allows {constraints.path_length} CAs below itself; this chain has {below}.")


def _check_digest(certificate: x509.Certificate) -> None:
    """SHA-1 comes first: the library below can't verify it, and "not signed by" would be the wrong reason."""
    try:
        strong = isinstance(certificate.signature_hash_algorithm, _STRONG_HASHES)
    except UnsupportedAlgorithm:
        strong = False
    if not strong:
        raise BadChain(
            f"{names.text(certificate.subject)} is signed with {certificate.signature_algorithm_oid.dotted_string}; "
            "expected SHA-256 or stronger.",
            advice=f"Have it issued again, or download the current CA certificate from {CA_PAGE}.",
        )


def check_dates(certificate: x509.Certificate, now: datetime) -> None:
    """Returns for a certificate that is valid at `now`; raises BadChain otherwise."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    shown = names.text(certificate.subject)
    if now > end:
        raise BadChain(
            f"{shown} expired on {end:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d}.",
            advice=f"Have a new vendor certificate issued, or download the current CA certificate from {CA_PAGE}.",
        )
    if now < begin:
        raise BadChain(
            f"{shown} is valid from {begin:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC.",
            advice="Check this machine's clock.",
        )


def _missing(certificate: x509.Certificate, others: str) -> MissingIssuer:
    return MissingIssuer(
        f"The issuer of {names.text(certificate.subject)} is missing: {names.text(certificate.issuer)}.{others}",
        advice=f"Download that certificate from {CA_PAGE} and give it along.",
    )


def _foreign_root(certificate: x509.Certificate) -> BadChain:
    return BadChain(
        f"The chain ends at {names.text(certificate.subject)} (SHA-256 {certificates.sha256(certificate)}), "
        "which is none of the roots that count.",
        advice=f"Only certificates under Apple's own roots can sign requests; Apple's are at {CA_PAGE}.",
    )
