"""Certificates of every sort, wrong ones included, built without the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from bramley.pki import certificates
from bramley.pki.keys import PrivateKey
from tests.conftest import NOW

DAY = timedelta(days=1)
YEAR = timedelta(days=365)
WWDR = "Orchard Worldwide Developer Relations Certification Authority"
MARK = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.4.12"), b"\x05\x00")
CLIENT = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")])
LEAF = x509.BasicConstraints(ca=False, path_length=None)


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: PrivateKey


def name(common_name: str, *, unit: str = "", uids: Sequence[str] = (), organization: str = "Orchard Inc.") -> x509.Name:
    given = [(NameOID.USER_ID, uid) for uid in uids]
    given += [(NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit)]
    given += [(NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in given if value])


def certify(
    subject: x509.Name,
    key: PrivateKey,
    by: Issued | None,
    *extensions: x509.ExtensionType,
    critical: bool = False,
    begin: datetime = NOW - DAY,
    end: datetime = NOW + YEAR,
) -> Issued:
    """A certificate signed by `by`, by itself where that is None, with key identifiers and the extensions given."""
    issuer, signer = (by.certificate.subject, by.key) if by else (subject, key)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        **dict.fromkeys(others, False),
    )


def authority(
    subject: x509.Name,
    key: PrivateKey,
    by: Issued | None = None,
    *,
    path_length: int | None = None,
    signs_certificates: bool = True,
    begin: datetime = NOW - DAY,
    end: datetime = NOW + 9 * YEAR,
) -> Issued:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    allowed = usage(signs_certificates=signs_certificates)
    return certify(subject, key, by, constraints, allowed, critical=True, begin=begin, end=end)


def signed_with_sha1(made: Issued, by: rsa.RSAPrivateKey) -> Issued:
    """The same certificate with sha1WithRSAEncryption, which `cryptography` no longer writes."""
    (sha256, sha1) = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))
    signed = made.certificate.tbs_certificate_bytes.replace(sha256, sha1)
    whole = certificates.der(made.certificate).replace(made.certificate.tbs_certificate_bytes, signed).replace(sha256, sha1)
    signature = by.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    return Issued(x509.load_der_x509_certificate(whole[: -len(signature)] + signature), made.key)


@dataclass(frozen=True)
class AppleLike:
    """CAs shaped like Apple's: one root, and generations of one name.

    `twin` has the whole name of G3, OU included, and another key.
    """

    root: Issued
    g3: Issued
    g4: Issued
    twin: Issued
    vendor: Issued

    @property
    def roots(self) -> frozenset[str]:
        return frozenset({certificates.sha256(self.root.certificate)})

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return (self.vendor.certificate, self.g3.certificate, self.root.certificate)
