"""Certificates as bytes and as objects: reading, writing, naming and comparing them (RFC 5280, RFC 7468)."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import keys
from bramley.pki.errors import BadCertificate

_SEQUENCE = b"\x30"  # DER begins with it, and may hold the words of a PEM mark in any of its texts
_PEM_MARK = b"-----BEGIN"
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def load(data: bytes) -> x509.Certificate:
    """One certificate, from DER or PEM, whichever the content is.

    Raises BadCertificate for anything else, several certificates or trailing bytes included.
    """
    if not data.startswith(_SEQUENCE) and _PEM_MARK in data:
        found = load_chain(data)
        if len(found) != 1:
            raise BadCertificate(
                f"Expected one certificate; this PEM text holds {len(found)}.",
                advice="Give the certificate by itself, without its chain.",
            )
        return found[0]
    try:
        return require_names(x509.load_der_x509_certificate(data))
    except (ValueError, x509.InvalidVersion) as error:
        raise BadCertificate(
            f"Expected a certificate in DER or PEM; {len(data)} bytes came that are neither ({error}).",
            advice="Check that the file is a certificate, not a request, a key or a PKCS#12 archive.",
        ) from None


def load_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM text, at least one, in the text's order. Raises BadCertificate."""
    try:
        return tuple(map(require_names, x509.load_pem_x509_certificates(pem)))
    except (ValueError, x509.InvalidVersion) as error:
        raise BadCertificate(
            f"Expected PEM text with certificates; what came cannot be read ({error}).",
            advice="Each certificate starts with -----BEGIN CERTIFICATE----- and is base64 up to its END line.",
        ) from None


def require_names(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate, once its subject and issuer could be read: `cryptography` looks at them only when asked.

    Raises BadCertificate.
    """
    try:
        _ = certificate.subject, certificate.issuer
    except (ValueError, TypeError) as error:
        raise BadCertificate(
            f"Certificate serial {certificate.serial_number:x} has names that cannot be read: {error}."
        ) from None
    return certificate


def der(certificate: x509.Certificate) -> bytes:
    """The certificate's bytes, exactly as its issuer signed them."""
    return certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM (RFC 7468), 64 columns, ending in a line feed."""
    return certificate.public_bytes(Encoding.PEM)


def sha256(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, 64 lower hexadecimal digits: names this certificate and no other."""
    return hashlib.sha256(der(certificate)).hexdigest()


def public_key(certificate: x509.Certificate) -> keys.PublicKey:
    """The certificate's public key, whatever its strength. Raises BadCertificate if it is neither RSA nor EC."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCertificate(f"Expected a certificate with a readable public key; it is not ({error}).") from None
    if not isinstance(key, keys.PublicKey):
        raise BadCertificate(f"Expected a certificate for an RSA or EC key; it is for {keys.describe(key)}.")
    return key


def matches(certificate: x509.Certificate, public: keys.PublicKey) -> bool:
    """Whether the certificate is for this key. Raises BadCertificate as `public_key` does."""
    return keys.spki(public_key(certificate)) == keys.spki(public)


def is_for(certificate: x509.Certificate, public: keys.PublicKey) -> bool:
    """As `matches`, for the certificates of a chain: one for a key of another kind is for another key."""
    try:
        return matches(certificate, public)
    except BadCertificate:
        return False


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """The value of the certificate's extension of this class, None where it has none.

    Raises BadCertificate if the certificate's extensions cannot be read.
    """
    return next((each.value for each in extensions(certificate) if isinstance(each.value, kind)), None)


def extensions(certificate: x509.Certificate) -> x509.Extensions:
    """The certificate's extensions. Raises BadCertificate if they are malformed or one comes twice."""
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise BadCertificate(
            f"Certificate serial {certificate.serial_number:x} has extensions that cannot be read: {error}."
        ) from None


def may_sign(certificate: x509.Certificate) -> bool:
    """Whether its key usage, if it has one, allows signatures over data (RFC 5280 4.2.1.3). BadCertificate as `extension`."""
    usage = extension(certificate, x509.KeyUsage)
    return usage is None or usage.digital_signature or usage.content_commitment


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether it names the issuer as its own, and that one's key has signed it. What else makes a path is for `chains`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
