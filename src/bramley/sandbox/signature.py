"""`Mdm-Signature` as devices make it: CMS (RFC 5652), detached, over the exact body, in base64.

Two shapes exist in the field. What recorded Macs send is BER with indefinite lengths, SHA-1 and no signed attributes; the
other is what newer CMS libraries make by default. Writing BER is for devices only, so it lives here. Nobody has recorded a Mac
whose identity is elliptic: ours sign in the same shape then, with SHA-256.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bramley.pki import certificates, cms, keys, oids
from bramley.pki.cms import der

HEADER: Final = "Mdm-Signature"

_END: Final = b"\x00\x00"


class SignatureStyle(StrEnum):
    """How a device shows who it is."""

    APPLE = "apple"
    """BER, indefinite lengths, SHA-1, no signed attributes: recorded from Macs."""
    DER = "der"
    """DER with signed attributes and SHA-256."""
    TLS = "tls"
    """No signature: the identity is the TLS client certificate."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A device's certificate and its private key."""

    certificate: x509.Certificate
    key: keys.PrivateKey = field(repr=False)


def sign(body: bytes, identity: Identity, style: SignatureStyle, *, now: datetime) -> bytes | None:
    """The CMS message over a body; None for TLS."""
    if style is SignatureStyle.TLS:
        return None
    if style is SignatureStyle.APPLE:
        return _apple(body, identity)
    return cms.sign(body, key=identity.key, certificate=identity.certificate, detached=True, signing_time=now)


def header(body: bytes, identity: Identity, style: SignatureStyle, *, now: datetime) -> dict[str, str]:
    """The request header, or none for TLS."""
    message = sign(body, identity, style, now=now)
    return {} if message is None else {HEADER: base64.b64encode(message).decode()}


def without_attributes(certificate: x509.Certificate, signature: bytes) -> bytes:
    """A DER message without signed attributes around a SHA-256 RSA signature that was made elsewhere: for forgeries."""
    sha256, rsa_encryption = (der.sequence(der.oid(each), der.null()) for each in (oids.SHA256, oids.RSA_ENCRYPTION))
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([sha256]),
        der.sequence(der.oid(oids.DATA)),
        der.context(0, certificates.der(certificate)),
        der.set_of([_signer_info(certificate, sha256, rsa_encryption, signature)]),
    )
    return der.sequence(der.oid(oids.SIGNED_DATA), der.context(0, signed_data))


def _apple(body: bytes, identity: Identity) -> bytes:
    """The outer layers in indefinite lengths, certificates and SignerInfo in DER, element for element as recorded."""
    certificate, key = identity.certificate, identity.key
    if isinstance(key, rsa.RSAPrivateKey):
        # SHA-1 here is what Macs send; the server's policy says where it is accepted
        digest, algorithm = der.sequence(der.oid(oids.SHA1), der.null()), der.sequence(der.oid(oids.SHA1_WITH_RSA), der.null())
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA1())
    else:
        digest, algorithm = der.sequence(der.oid(oids.SHA256)), der.sequence(der.oid(oids.ECDSA_WITH_SHA256))
        signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    signed_data = _indefinite(
        0x30,
        der.integer(1),
        der.set_of([digest]),
        _indefinite(0x30, der.oid(oids.DATA)),
        der.context(0, certificates.der(certificate)),
        der.set_of([_signer_info(certificate, digest, algorithm, signature)]),
    )
    return _indefinite(0x30, der.oid(oids.SIGNED_DATA), _indefinite(0xA0, signed_data))


def _signer_info(certificate: x509.Certificate, digest: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """A SignerInfo without attributes (RFC 5652 section 5.3); `digest` and `algorithm` are AlgorithmIdentifiers."""
    return der.sequence(
        der.integer(1),
        der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number)),
        digest,
        algorithm,
        der.octet_string(signature),
    )


def _indefinite(tag: int, *parts: bytes) -> bytes:
    """A constructed element whose end is marked by two zero octets (X.690 section 8.1.3.6)."""
    return bytes((tag, 0x80)) + b"".join(parts) + _END
