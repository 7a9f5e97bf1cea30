"""A stand-in for the CAs of Apple that issue push certificates, and for the one behind APNs' own server.

Certificates have Apple's profile, not ours, so they are built here from the ground up: a certificate from Apple need not obey
the rules we set for our own CAs.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from bramley.pki import certificates
from bramley.pki.keys import PrivateKey, PublicKey

YEAR: Final = timedelta(days=365)
_ROOT_LIFETIME: Final = 20 * YEAR
_BACKDATE: Final = timedelta(days=1)
_PUSH_SERVICE: Final = ObjectIdentifier("1.2.840.113635.100.6.3.2")
"""Apple's extension in certificates for its production push service, as real ones carry it."""


def new_topic() -> str:
    """A topic such as Apple makes for each new push certificate."""
    return f"com.apple.mgmt.External.{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class SandboxAppleCA:
    """A root and the intermediate under it that issues push certificates. Made once per sandbox; the keys stay in memory."""

    root: x509.Certificate
    root_key: PrivateKey
    intermediate: x509.Certificate
    intermediate_key: PrivateKey

    @classmethod
    def make(cls, now: datetime) -> SandboxAppleCA:
        """New CAs, valid for twenty years from `now`."""
        root_key, intermediate_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name = _name("Sandbox Apple Root CA")
        root = _ca(root_name, root_name, root_key.public_key(), root_key, now, path_length=1)
        intermediate_name = _name("Sandbox Apple Application Integration CA")
        intermediate = _ca(intermediate_name, root_name, intermediate_key.public_key(), root_key, now, path_length=0)
        return cls(root, root_key, intermediate, intermediate_key)

    @property
    def root_pem(self) -> bytes:
        """What a client of the stand-in must trust."""
        return certificates.pem(self.root)

    def issue_push_certificate(
        self, public_key: PublicKey, *, topic: str, now: datetime, common_name: str | None = None
    ) -> x509.Certificate:
        """A push certificate as identity.apple.com issues it: one year, subject UID the topic, CN `APSP:` and a UUID.

        A renewal is another call with the topic of the first.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, topic),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name or f"APSP:{uuid.uuid4()}"),
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            ]
        )
        builder = _leaf(subject, public_key, self.intermediate, now, ExtendedKeyUsageOID.CLIENT_AUTH)
        builder = builder.add_extension(x509.UnrecognizedExtension(_PUSH_SERVICE, b"\x05\x00"), critical=False)
        return builder.sign(self.intermediate_key, hashes.SHA256())

    def chain_pem(self, certificate: x509.Certificate) -> bytes:
        """A push certificate and the intermediate after it, as PEM."""
        return certificates.pem(certificate) + certificates.pem(self.intermediate)

    def issue_server_certificate(self, public_key: PublicKey, names: tuple[str, ...], *, now: datetime) -> x509.Certificate:
        """A server certificate for host names and IP addresses, one year, directly under the root."""
        subject = _name(names[0])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = _leaf(subject, public_key, self.root, now, ExtendedKeyUsageOID.SERVER_AUTH)
        return builder.add_extension(alternatives, critical=False).sign(self.root_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bramley sandbox, not Apple Inc."),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _ca(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, issuer_key: PrivateKey, now: datetime, *, path_length: int
) -> x509.Certificate:
    builder = _base(subject, issuer, public_key, issuer_key.public_key(), now, _ROOT_LIFETIME)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _leaf(
    subject: x509.Name, public_key: PublicKey, issuer: x509.Certificate, now: datetime, usage: ObjectIdentifier
) -> x509.CertificateBuilder:
    return (
        _base(subject, issuer.subject, public_key, certificates.public_key(issuer), now, YEAR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
    )


def _base(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, issuer_key: PublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
