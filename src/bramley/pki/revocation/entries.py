"""What CRLs and OCSP say of one revoked certificate, and how whatever they say is signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bramley.pki.cms import algorithms, der
from bramley.pki.keys import PrivateKey


class CRLReason(IntEnum):
    """RFC 5280 section 5.3.1, by its names; those that only CAs and delta CRLs need are left out."""

    unspecified = 0
    keyCompromise = 1  # noqa: N815 - the names of the RFC
    affiliationChanged = 3  # noqa: N815
    superseded = 4
    cessationOfOperation = 5  # noqa: N815
    certificateHold = 6  # noqa: N815
    privilegeWithdrawn = 9  # noqa: N815


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a certificate of an issuer is revoked, since when and why; `certificateHold` may be taken back."""

    serial: int
    since: datetime
    reason: CRLReason


def signed(content: bytes, key: PrivateKey) -> tuple[bytes, bytes]:
    """A signature over a DER structure as the two elements that follow it: AlgorithmIdentifier and BIT STRING."""
    return identifier(key), der.element(0x03, b"\x00" + algorithms.sign(key, content, _digest(key)))


def identifier(key: PrivateKey) -> bytes:
    """The AlgorithmIdentifier of `signed` (RFC 4055 section 5, RFC 5758 section 3.2)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return algorithms.identifier(_digest(key).rsa_oid, der.null())
    return algorithms.identifier(_digest(key).ecdsa_oid)


def _digest(key: PrivateKey) -> algorithms.Digest:
    """The hash that is as strong as the key: SHA-384 on P-384, SHA-256 otherwise."""
    on_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    return algorithms.DIGESTS["sha384" if on_p384 else "sha256"]
