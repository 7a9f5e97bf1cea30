"""Mdm-Signatures piece by piece, so that one piece can be wrong: RFC 5652 on our DER writer, in every shape that devices have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ObjectIdentifier

from bramley.pki import certificates, keys, names, oids
from bramley.pki.ca.authority import Authority
from bramley.pki.cms import certificate_ids, der

HASHES: dict[str, hashes.HashAlgorithm] = {"md5": hashes.MD5(), "sha1": hashes.SHA1(), "sha256": hashes.SHA256()}
DIGESTS = {"md5": "1.2.840.113549.2.5", "sha1": oids.SHA1, "sha256": oids.SHA256}
RSA_SIGNATURES = {"md5": "1.2.840.113549.1.1.4", "sha1": oids.SHA1_WITH_RSA, "sha256": oids.SHA256_WITH_RSA}
EC_SIGNATURES = {"md5": oids.ECDSA_WITH_SHA1, "sha1": oids.ECDSA_WITH_SHA1, "sha256": oids.ECDSA_WITH_SHA256}
RSASSA_PSS = "1.2.840.113549.1.1.10"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a device signs: its kind of key and digest, with signed attributes or without, BER with indefinite lengths or DER."""

    curve: bool
    digest: str
    attributes: bool
    indefinite: bool


SHAPES = {
    "as recorded from Macs": Shape(curve=False, digest="sha1", attributes=False, indefinite=True),
    "with attributes": Shape(curve=False, digest="sha256", attributes=True, indefinite=False),
    "EC, as Macs would": Shape(curve=True, digest="sha256", attributes=False, indefinite=True),
    "EC, with attributes": Shape(curve=True, digest="sha256", attributes=True, indefinite=False),
}
BARE = frozenset(name for name, shape in SHAPES.items() if not shape.attributes)
ATTRIBUTED = frozenset(SHAPES) - BARE
RSA = frozenset(name for name, shape in SHAPES.items() if not shape.curve)


def element(shape: Shape, tag: int, *parts: bytes) -> bytes:
    """A constructed element, its end marked by two zero octets where the shape has it so (X.690 section 8.1.3.6)."""
    content = b"".join(parts)
    return bytes((tag, 0x80)) + content + b"\0\0" if shape.indefinite else der.element(tag, content)


def attributes(body: bytes, digest: str, content_type: str = oids.DATA) -> list[bytes]:
    """The two obligatory signed attributes (RFC 5652 section 11), true to this body."""
    pairs = (
        (oids.CONTENT_TYPE, der.oid(content_type)),
        (oids.MESSAGE_DIGEST, der.octet_string(hashlib.new(digest, body).digest())),
    )
    return [der.sequence(der.oid(kind), der.set_of([value])) for kind, value in pairs]


def signature(key: keys.PrivateKey, digest: str, covered: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(covered, padding.PKCS1v15(), HASHES[digest])
    return key.sign(covered, ec.ECDSA(HASHES[digest]))


def signer_info(
    shape: Shape,
    body: bytes,
    certificate: x509.Certificate,
    key: keys.PrivateKey,
    *,
    digest: str | None = None,
    said_digest: str | None = None,
    algorithm: str | None = None,
    signed: Sequence[bytes] | None = None,
    sent: bytes | None = None,
    value: bytes | None = None,
) -> bytes:
    """A SignerInfo in the shape (RFC 5652 section 5.3).

    Wrong on request: `said_digest` and `algorithm` are claimed in place of the true ones; `signed` are attributes in place of
    the obligatory ones; `sent` are their octets under [0] as they go out, whatever was signed; `value` is the signature.
    """
    used = digest or shape.digest
    covered, enclosed = body, b""
    if shape.attributes:
        covered = der.set_of(signed if signed is not None else attributes(body, used))
        enclosed = b"\xa0" + covered[1:] if sent is None else sent
    table = RSA_SIGNATURES if isinstance(key, rsa.RSAPrivateKey) else EC_SIGNATURES
    null = der.null() if isinstance(key, rsa.RSAPrivateKey) else b""
    return der.sequence(
        der.integer(1),
        certificate_ids.write_issuer_and_serial(certificate),
        der.sequence(der.oid(DIGESTS[said_digest or used]), der.null()),
        enclosed,
        der.sequence(der.oid(algorithm or table[used]), null),
        der.octet_string(signature(key, used, covered) if value is None else value),
    )


def message(
    shape: Shape,
    signers: Sequence[bytes],
    enclosed: Sequence[x509.Certificate],
    *,
    content_type: str = oids.DATA,
    content: bytes | None = None,
) -> bytes:
    """The ContentInfo around them; `content` would make it an attached signature."""
    attached = b"" if content is None else element(shape, 0xA0, der.octet_string(content))
    signed_data = element(
        shape,
        0x30,
        der.integer(1),
        der.set_of([der.sequence(der.oid(DIGESTS[shape.digest]), der.null())]),
        element(shape, 0x30, der.oid(content_type), attached),
        der.context(0, b"".join(map(certificates.der, enclosed))) if enclosed else b"",
        der.set_of(signers),
    )
    return element(shape, 0x30, der.oid(oids.SIGNED_DATA), element(shape, 0xA0, signed_data))


def certify(
    authority: Authority,
    public_key: keys.PublicKey,
    begin: datetime,
    end: datetime,
    *,
    usage: str | None = oids.CLIENT_AUTH,
    digest: str = "sha256",
) -> x509.Certificate:
    """A device's certificate as our CA would never issue it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(names.make("F2LX0001"))
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage)]), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return certificate if digest == "sha256" else _signed_again(certificate, authority.key, digest)


def _signed_again(certificate: x509.Certificate, key: keys.PrivateKey, digest: str) -> x509.Certificate:
    """With RSA and a digest that `cryptography` refuses to sign certificates with."""
    weak = der.oid(RSA_SIGNATURES[digest])
    tbs = certificate.tbs_certificate_bytes.replace(der.oid(oids.SHA256_WITH_RSA), weak)
    value = der.element(0x03, b"\0" + signature(key, digest, tbs))
    return x509.load_der_x509_certificate(der.sequence(tbs, der.sequence(weak, der.null()), value))
