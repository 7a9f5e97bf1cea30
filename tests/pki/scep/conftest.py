"""A CA, a device and its keys, a SCEP service between them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates, csr, names
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.pki.scep import enrollment
from bramley.pki.scep.enrollment import Signer
from bramley.pki.scep.server import Responder

from .kit import Messages, Service, pem_key


@pytest.fixture
def rsa_key_of(key_of: Callable[..., PrivateKey]) -> Callable[[str], rsa.RSAPrivateKey]:
    """`rsa_key_of("a name")`: one RSA key for each name in the whole run."""

    def rsa_key_of(name: str) -> rsa.RSAPrivateKey:
        key = key_of(KeyAlgorithm.RSA_2048, name)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    return rsa_key_of


@pytest.fixture
def device_key(rsa_key_of: Callable[[str], rsa.RSAPrivateKey]) -> rsa.RSAPrivateKey:
    return rsa_key_of("device")


@pytest.fixture
def other_key(rsa_key_of: Callable[[str], rsa.RSAPrivateKey]) -> rsa.RSAPrivateKey:
    """The key of a second device, of an RA or of an impostor, as a test needs it."""
    return rsa_key_of("other")


@pytest.fixture
def responder(rsa_key_of: Callable[[str], rsa.RSAPrivateKey], now: datetime) -> Responder:
    key = rsa_key_of("identity-ca")
    name = names.make("Identity CA", organization="Example")
    return Responder(authority.self_signed(profiles.IDENTITY_CA, key, name, now=now), key)


@pytest.fixture
def identity_ca(responder: Responder) -> Authority:
    return Authority(responder.certificate, responder.key)


@pytest.fixture
def device_csr(device_key: rsa.RSAPrivateKey) -> bytes:
    return csr.build(device_key, names.make("device 1"), challenge_password="open sesame")


@pytest.fixture
def signer(device_key: rsa.RSAPrivateKey, now: datetime) -> Signer:
    return enrollment.temporary_signer(device_key, names.make("device 1"), now=now)


@pytest.fixture
def service(identity_ca: Authority, responder: Responder, now: datetime) -> Service:
    return Service(identity_ca, responder, now)


@pytest.fixture
def messages(responder: Responder, signer: Signer, device_csr: bytes, now: datetime) -> Messages:
    return Messages(responder, signer, device_csr, now)


@pytest.fixture
def sign_by_openssl(tmp_path: Path, openssl: Callable[..., object]) -> Callable[..., bytes]:
    """A SignedData around a content that the `openssl` command signed, with more of its options."""

    def sign(content: bytes, signer: Signer, *options: str) -> bytes:
        (tmp_path / "content").write_bytes(content)
        (tmp_path / "signer.pem").write_bytes(certificates.pem(signer.certificate) + pem_key(signer))
        where = ("-in", tmp_path / "content", "-signer", tmp_path / "signer.pem", "-out", tmp_path / "signed")
        openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", *where, *options)
        return (tmp_path / "signed").read_bytes()

    return sign
