"""Keys, certificates and the OpenSSL command line for the tests of CMS messages."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bramley.pki.keys import PrivateKey

# OpenSSL reads the real clock, so that these certificates have to be valid by it
BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
AFTER = BEFORE + timedelta(days=365 * 60)


@dataclass(frozen=True)
class Identity:
    """A key and its self-signed certificate, as objects and as PEM files for OpenSSL."""

    key: PrivateKey
    certificate: x509.Certificate
    key_file: Path
    certificate_file: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


class OpenSSL(Protocol):
    """Runs `openssl ARGUMENTS` with something on its standard input; fails the test unless it succeeds."""

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> bytes: ...


@pytest.fixture(scope="session")
def openssl() -> OpenSSL:
    def run(*arguments: str | Path, stdin: bytes = b"") -> bytes:
        done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def identity(folder: Path, name: str, key: PrivateKey, *, key_identifier: bool = True) -> Identity:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEFORE)
        .not_valid_after(AFTER)
    )
    if key_identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    key_file, certificate_file = folder / f"{name}.key", folder / f"{name}.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return Identity(key, certificate, key_file, certificate_file)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cms")


@pytest.fixture(scope="session")
def rsa_identity(folder: Path) -> Identity:
    return identity(folder, "rsa", rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="session")
def other_rsa(folder: Path) -> Identity:
    return identity(folder, "other", rsa.generate_private_key(65537, 2048), key_identifier=False)


@pytest.fixture(scope="session")
def ec_identity(folder: Path) -> Identity:
    return identity(folder, "ec", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def ec384_identity(folder: Path) -> Identity:
    return identity(folder, "ec384", ec.generate_private_key(ec.SECP384R1()))
