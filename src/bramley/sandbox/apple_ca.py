"""A stand-in for Apple's CAs: those that issue push and MDM vendor certificates, and the one behind APNs' own server.

Certificates have Apple's profile, not ours, so they are built here from the ground up: a certificate from Apple need not obey
the rules we set for our own CAs.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from bramley.pki import certificates, keys
from bramley.pki.errors import BadCertificate
from bramley.pki.keys import KeyAlgorithm, PrivateKey, PublicKey
from bramley.sandbox import kept_files
from bramley.sandbox.kept_files import UnusableFolder

YEAR: Final = timedelta(days=365)
_ROOT_LIFETIME: Final = 20 * YEAR
_BACKDATE: Final = timedelta(days=1)
_WWDR: Final = "Sandbox Worldwide Developer Relations Certification Authority"
_FILES: Final = ("ca", "intermediate", "wwdr-g3", "wwdr-g4")
"""Root, issuer of push certificates, and the generations: NAME.pem and NAME.key each."""

PUSH_SERVICE: Final = ObjectIdentifier("1.2.840.113635.100.6.3.2")
"""Apple's extension in certificates for its production push service, as real ones carry it."""

VENDOR_EXTENSION: Final = ObjectIdentifier("1.2.840.113635.100.4.12")
"""Apple's extension in certificates of MDM vendors; the value is a DER NULL."""

GENERATIONS: Final = ("G3", "G4")
"""The generations of the intermediate for developers: one name, but for the OU, and a key each."""

NULL: Final = b"\x05\x00"


def new_topic() -> str:
    """A topic such as Apple makes for each new push certificate."""
    return f"com.apple.mgmt.External.{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxAppleCA:
    """A root, the intermediate under it that issues push certificates, and `wwdr`: those for developers, by generation."""

    root: x509.Certificate
    root_key: PrivateKey = field(repr=False)
    intermediate: x509.Certificate
    intermediate_key: PrivateKey = field(repr=False)
    wwdr: Mapping[str, Issuer]

    @classmethod
    def make(cls, now: datetime) -> SandboxAppleCA:
        """New CAs, valid for twenty years from `now`."""
        return cls._complete({}, now)

    @classmethod
    def load(cls, folder: Path, now: datetime) -> SandboxAppleCA:
        """The CAs that `save` left in the folder. Those that are missing, in an older or a new folder, are made.

        Raises UnusableFolder and FolderTrouble.
        """
        found = {name: issuer for name in _FILES if (issuer := _kept(folder, name))}
        if found and _FILES[0] not in found:
            raise UnusableFolder(f"{folder} holds CAs without their root, ca.pem.", advice="Name another folder.")
        return cls._complete(found, now)

    def save(self, folder: Path) -> None:
        """Keeps the CAs in a folder, for their owner only: `ca.pem` is what others are to trust. Raises as `load`."""
        push = Issuer(self.intermediate, self.intermediate_key)
        for name, issuer in zip(_FILES, (Issuer(self.root, self.root_key), push, *self.wwdr.values()), strict=True):
            kept_files.write_once(folder / f"{name}.key", kept_files.key_pem(issuer.key))
            kept_files.write_once(folder / f"{name}.pem", certificates.pem(issuer.certificate))

    @classmethod
    def _complete(cls, found: Mapping[str, Issuer], now: datetime) -> SandboxAppleCA:
        root_file, push_file, *wwdr_files = _FILES
        root = found.get(root_file) or _new_root(now)
        push = found.get(push_file) or _intermediate(root, _name("Sandbox Apple Application Integration CA"), now)
        wwdr = {
            generation: found.get(file) or _intermediate(root, _name(_WWDR, generation), now, KeyAlgorithm.RSA_2048)
            for generation, file in zip(GENERATIONS, wwdr_files, strict=True)
        }
        return cls(root.certificate, root.key, push.certificate, push.key, wwdr)

    @property
    def root_pem(self) -> bytes:
        """What a client of the stand-in must trust."""
        return certificates.pem(self.root)

    def issue_push_certificate(
        self, public_key: PublicKey, *, topic: str, now: datetime, common_name: str | None = None
    ) -> x509.Certificate:
        """A push certificate as identity.apple.com issues it: one year, subject UID the topic, CN `APSP:` and a UUID.

        The UUID is the topic's. A renewal is another call with the topic of the first.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, topic),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name or f"APSP:{topic.rpartition('.')[2]}"),
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            ]
        )
        builder = _leaf(subject, public_key, self.intermediate, now, ExtendedKeyUsageOID.CLIENT_AUTH)
        builder = builder.add_extension(x509.UnrecognizedExtension(PUSH_SERVICE, NULL), critical=False)
        return builder.sign(self.intermediate_key, hashes.SHA256())

    def issue_vendor_certificate(
        self, public_key: PublicKey, *, organization: str, now: datetime, generation: str = GENERATIONS[0]
    ) -> x509.Certificate:
        """An MDM vendor certificate as Apple's developer portal issues it, by that generation of intermediate: one year."""
        issuer = self.wwdr[generation]
        builder = _leaf(_name(f"MDM Vendor: {organization}"), public_key, issuer.certificate, now)
        builder = builder.add_extension(x509.UnrecognizedExtension(VENDOR_EXTENSION, NULL), critical=False)
        return builder.sign(issuer.key, hashes.SHA256())

    def vendor_chain(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """A vendor certificate, the intermediate that issued it, and the root."""
        issuers = (issuer.certificate for issuer in self.wwdr.values())
        return certificate, next(each for each in issuers if each.subject == certificate.issuer), self.root

    def chain_pem(self, certificate: x509.Certificate) -> bytes:
        """A push certificate and the intermediate after it, as PEM."""
        return certificates.pem(certificate) + certificates.pem(self.intermediate)

    def issue_server_certificate(self, public_key: PublicKey, names: tuple[str, ...], *, now: datetime) -> x509.Certificate:
        """A server certificate for host names and IP addresses, one year, directly under the root."""
        subject = _name(names[0])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = _leaf(subject, public_key, self.root, now, ExtendedKeyUsageOID.SERVER_AUTH)
        return builder.add_extension(alternatives, critical=False).sign(self.root_key, hashes.SHA256())


def _name(common_name: str, unit: str | None = None) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            *([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bramley sandbox, not Apple Inc."),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _kept(folder: Path, name: str) -> Issuer | None:
    pem, key = kept_files.read(folder / f"{name}.pem"), kept_files.read(folder / f"{name}.key")
    if pem is None and key is None:
        return None
    if pem is None or key is None:
        raise UnusableFolder(f"{folder} holds only half of a CA, {name}.pem or {name}.key.", advice="Name another.")
    try:
        return Issuer(certificates.load(pem), kept_files.load_key(key))
    except BadCertificate as error:
        raise UnusableFolder(f"{folder / name}.pem cannot be used: {error.message}", advice="Name another folder.") from None


def _new_root(now: datetime) -> Issuer:
    key, name = keys.generate(KeyAlgorithm.P_256), _name("Sandbox Apple Root CA")
    return Issuer(_ca(name, name, key.public_key(), key, now, path_length=1), key)


def _intermediate(root: Issuer, name: x509.Name, now: datetime, algorithm: KeyAlgorithm = KeyAlgorithm.P_256) -> Issuer:
    key = keys.generate(algorithm)
    return Issuer(_ca(name, root.certificate.subject, key.public_key(), root.key, now, path_length=0), key)


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
    subject: x509.Name, public_key: PublicKey, issuer: x509.Certificate, now: datetime, usage: ObjectIdentifier | None = None
) -> x509.CertificateBuilder:
    builder = (
        _base(subject, issuer.subject, public_key, certificates.public_key(issuer), now, YEAR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
    )
    return builder if usage is None else builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)


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
