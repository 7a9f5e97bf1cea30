"""Whether a certificate chains to an anchor (RFC 5280 section 6.1), and if not, which rule it breaks.

An issuer is found by its name *and* its signature: another CA of the same name is not the issuer. Critical extensions
and name constraints that we do not apply are refused, never skipped. Revocation is not decided here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from bramley.pki import certificates, keys, names
from bramley.pki.errors import BadCertificate, BadKey, ChainError, ChainReason

LONGEST: Final = 8
"""Most certificates in a chain, leaf and anchor included; Apple's own have three or four."""

MOST_SIGNATURE_CHECKS: Final = 64
"""What one call may spend on signatures: senders choose the intermediates and could make them a maze."""

_ANY_USAGE: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string
_STRONG_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_APPLIED: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        # Apple marks Developer ID certificates critically: application, installer, and the CA of both. A mark binds nothing here.
        x509.ObjectIdentifier("1.2.840.113635.100.6.1.13"),
        x509.ObjectIdentifier("1.2.840.113635.100.6.1.14"),
        x509.ObjectIdentifier("1.2.840.113635.100.6.2.6"),
    }
)


def verify(
    leaf: x509.Certificate,
    *,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
    extended_key_usage: str | None = None,
    skew: timedelta = timedelta(),
) -> tuple[x509.Certificate, ...]:
    """The chain from the leaf to one of the anchors, both included, each certificate valid at `at` give or take `skew`.

    With `extended_key_usage` (dotted), the leaf must name that usage, as RFC 5280 4.2.1.12 lets an application demand:
    silence and anyExtendedKeyUsage do not count. A CA above it may be silent but not leave the usage out. A leaf that
    is itself an anchor is a chain of one. Intermediates may come in any order and include strangers.

    Raises ChainError; where several ways up were tried, its reason is that of the one that came furthest.
    """
    pool = dict.fromkeys((*anchors, *intermediates))
    _require_names(leaf, *pool)
    rules = _Rules(at, skew, extended_key_usage)
    rules.check_leaf(leaf)
    if leaf in anchors:
        return (leaf,)
    failures: list[tuple[int, bool, ChainError]] = []
    # Breadth first, each issuer visited once: the shortest way up is the last one that a path length forbids.
    paths: deque[tuple[x509.Certificate, ...]] = deque([(leaf,)])
    visited = {leaf}
    checks = 0
    while paths:
        path = paths.popleft()
        for issuer in pool:
            if issuer in visited or issuer.subject != path[-1].issuer:
                continue
            checks += 1
            if checks > MOST_SIGNATURE_CHECKS:
                raise _too_many(leaf)
            try:
                rules.check_issuer(issuer, path)
                if issuer in anchors:
                    return (*path, issuer)
                _require_room(leaf, path)
            except ChainError as error:
                failures.append((len(path), error.reason is not ChainReason.BAD_SIGNATURE, error))
                continue
            visited.add(issuer)
            paths.append((*path, issuer))
    if failures:
        raise max(failures, key=lambda failure: failure[:2])[2]
    raise ChainError(
        f"{_shown(leaf)}, issued by {names.text(leaf.issuer)}, does not lead to a trusted CA.",
        reason=ChainReason.UNKNOWN_ISSUER,
        advice="Trust the CA that issued it, or send the intermediate certificates with it.",
    )


def chain_of(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The certificate and those above it, as far as their issuers are among the others, which may come in any order.

    It puts a chain in order and judges nothing but names, signatures and whether an issuer is a CA: `verify` does.
    """
    chain = [leaf]
    while len(chain) < LONGEST and chain[-1].subject != chain[-1].issuer:
        issuer = next((each for each in others if each not in chain and _issued(chain[-1], each)), None)
        if issuer is None:
            break
        chain.append(issuer)
    return tuple(chain)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether the certificate says that it is one of a CA. BadCertificate where its extensions cannot be read."""
    constraints = certificates.extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


@dataclass(frozen=True, slots=True)
class _Rules:
    """What every certificate of a path must keep, at one moment and for one usage."""

    at: datetime
    skew: timedelta
    usage: str | None

    def check_leaf(self, leaf: x509.Certificate) -> None:
        self._check_any(leaf)
        if self.usage is not None and self.usage not in (_usages(leaf) or ()):
            raise ChainError(
                f"{_shown(leaf)} does not name the extended key usage {self.usage}.",
                reason=ChainReason.WRONG_USAGE,
                advice="Present a certificate that was issued for this use.",
            )

    def check_issuer(self, issuer: x509.Certificate, path: tuple[x509.Certificate, ...]) -> None:
        """Whether the issuer may and did sign the last certificate of the path (RFC 5280 6.1.3 a, 6.1.4 k to o)."""
        _check_signature(path[-1], issuer)
        self._check_any(issuer)
        constraints = certificates.extension(issuer, x509.BasicConstraints)
        key_usage = certificates.extension(issuer, x509.KeyUsage)
        if constraints is None or not constraints.ca or (key_usage is not None and not key_usage.key_cert_sign):
            raise ChainError(
                f"{_shown(issuer)} signed a certificate but is not a CA: it lacks cA or keyCertSign.",
                reason=ChainReason.NOT_A_CA,
            )
        below = sum(1 for each in path[1:] if each.subject != each.issuer)
        if constraints.path_length is not None and below > constraints.path_length:
            raise ChainError(
                f"{_shown(issuer)} allows {constraints.path_length} CAs below itself; this chain has {below}.",
                reason=ChainReason.PATH_TOO_LONG,
            )
        usages = _usages(issuer)
        if self.usage is not None and usages and not {self.usage, _ANY_USAGE} & usages:
            raise ChainError(
                f"{_shown(issuer)} is a CA for other extended key usages than {self.usage}.",
                reason=ChainReason.WRONG_USAGE,
            )

    def _check_any(self, certificate: x509.Certificate) -> None:
        """Key, dates and critical extensions, of whichever certificate of the path."""
        try:
            keys.require_strong(certificates.public_key(certificate))
        except (BadKey, BadCertificate) as error:
            raise ChainError(
                f"{_shown(certificate)} has a key that we do not trust. {error.message}",
                reason=ChainReason.WEAK_ALGORITHM,
            ) from None
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if self.at < begin - self.skew:
            raise ChainError(
                f"{_shown(certificate)} is valid from {begin:%Y-%m-%d %H:%M:%SZ}; it is {self.at:%Y-%m-%d %H:%M:%SZ}.",
                reason=ChainReason.NOT_YET_VALID,
                advice="Check the clocks of the issuer and of this server.",
            )
        if self.at > end + self.skew:
            raise ChainError(
                f"{_shown(certificate)} expired at {end:%Y-%m-%d %H:%M:%SZ}; it is {self.at:%Y-%m-%d %H:%M:%SZ}.",
                reason=ChainReason.EXPIRED,
                advice="Replace it with a renewed certificate.",
            )
        _check_extensions(certificate)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        return certificates.issued_by(certificate, issuer) and is_ca(issuer)
    except BadCertificate:
        return False


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        strong = isinstance(certificate.signature_hash_algorithm, _STRONG_HASHES)
    except (UnsupportedAlgorithm, ValueError):
        strong = False
    if not strong:
        raise ChainError(
            f"{_shown(certificate)} is signed with {certificate.signature_algorithm_oid.dotted_string}, "
            "which is not RSA or ECDSA with SHA-256, SHA-384 or SHA-512.",
            reason=ChainReason.WEAK_ALGORITHM,
            advice="Have it issued again with SHA-256.",
        )
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        raise ChainError(
            f"{_shown(certificate)} names {names.text(issuer.subject)} as its issuer, but the CA of that name known "
            f"here (SHA-256 {certificates.sha256(issuer)[:16]}…) did not sign it.",
            reason=ChainReason.BAD_SIGNATURE,
            advice="Compare the CA's fingerprint: another CA may carry the same name.",
        ) from None


def _check_extensions(certificate: x509.Certificate) -> None:
    try:
        extensions = certificates.extensions(certificate)
    except BadCertificate as error:
        raise ChainError(error.message, reason=ChainReason.MALFORMED) from None
    for extension in extensions:
        unknown = extension.critical and extension.oid not in _APPLIED
        if unknown or extension.oid == ExtensionOID.NAME_CONSTRAINTS:
            raise ChainError(
                f"{_shown(certificate)} has the extension {extension.oid.dotted_string}, which must be applied and "
                "which Bramley does not know how to apply.",
                reason=ChainReason.UNKNOWN_EXTENSION,
            )


def _usages(certificate: x509.Certificate) -> frozenset[str] | None:
    """The dotted usages that a certificate is limited to; None where it has no such limit."""
    found = certificates.extension(certificate, x509.ExtendedKeyUsage)
    return None if found is None else frozenset(usage.dotted_string for usage in found)


def _shown(certificate: x509.Certificate) -> str:
    return f"Certificate {names.text(certificate.subject)} (serial {certificate.serial_number:x})"


def _require_names(*several: x509.Certificate) -> None:
    try:
        for each in several:
            certificates.require_names(each)
    except BadCertificate as error:
        raise ChainError(error.message, reason=ChainReason.MALFORMED) from None


def _require_room(leaf: x509.Certificate, path: tuple[x509.Certificate, ...]) -> None:
    if len(path) + 1 >= LONGEST:
        raise ChainError(
            f"{_shown(leaf)} has {LONGEST} certificates above and including itself without a trusted CA among them.",
            reason=ChainReason.PATH_TOO_LONG,
        )


def _too_many(leaf: x509.Certificate) -> ChainError:
    return ChainError(
        f"{_shown(leaf)} came with too many certificates of one name to find its issuer among them.",
        reason=ChainReason.UNKNOWN_ISSUER,
        advice="Send each certificate of the chain once.",
    )
