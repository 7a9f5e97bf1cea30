"""A PKI of somebody else's, with identities that may sign profiles, and the files they come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from bramley.pki import keys, names
from bramley.pki.keys import KeyAlgorithm, PrivateKey

PASSWORD = "correct horse"
DEVELOPER_ID_APPLICATION = "1.2.840.113635.100.6.1.13"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, its key, and what is above it, nearest first."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    def file(self, *others: x509.Certificate) -> bytes:
        """PKCS#12 with these other certificates; without, with all that is above it."""
        locked = BestAvailableEncryption(PASSWORD.encode())
        return pkcs12.serialize_key_and_certificates(b"it", self.key, self.certificate, list(others or self.above), locked)


def make(
    name: str,
    issuer: Identity | None,
    key: PrivateKey,
    now: datetime,
    *further: x509.ExtensionType,
    ca: bool = False,
    days: tuple[int, int] = (-1, 300),
    organization: str | None = None,
    serial: int | None = None,
) -> Identity:
    """An identity; without an issuer one that vouches for itself. Further extensions are critical, as Apple's are."""
    subject = names.make(name, organization=organization) if organization else names.make(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for each in further:
        builder = builder.add_extension(each, critical=True)
    signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Identity(signed, key, (issuer.certificate, *issuer.above) if issuer else ())


def usage(*dotted: str) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([ObjectIdentifier(each) for each in dotted])


def key_usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{each: wanted.get(each, False) for each in every.split()})


MAIL = usage(ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string)
CODE = usage(ExtendedKeyUsageOID.CODE_SIGNING.dotted_string)
SERVER = usage(ExtendedKeyUsageOID.SERVER_AUTH.dotted_string)
MARK = x509.UnrecognizedExtension(ObjectIdentifier(DEVELOPER_ID_APPLICATION), b"\x05\x00")


@dataclass(frozen=True, slots=True)
class PKI:
    """A root, a CA below it, and keys to be certified."""

    now: datetime
    root: Identity
    ca: Identity
    rsa: PrivateKey
    ec: PrivateKey

    @classmethod
    def at(cls, now: datetime) -> PKI:
        root = make("Cider Root", None, keys.generate(KeyAlgorithm.P_256), now, ca=True)
        ca = make("Cider CA", root, keys.generate(KeyAlgorithm.P_256), now, ca=True)
        return cls(now, root, ca, keys.generate(KeyAlgorithm.RSA_2048), keys.generate(KeyAlgorithm.P_384))

    def signer(self, name: str = "Cider Signer", *further: x509.ExtensionType, days: tuple[int, int] = (-1, 300)) -> Identity:
        """A new RSA identity that the CA certified, for mail unless it says otherwise."""
        return make(name, self.ca, self.rsa, self.now, *(further or (MAIL,)), days=days)
