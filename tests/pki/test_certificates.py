from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from bramley.pki import certificates, names
from bramley.pki.errors import BadCertificate

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def device(hierarchy: Any) -> x509.Certificate:
    certificate: x509.Certificate = hierarchy.device
    return certificate


def test_der_and_pem_read_alike(device: x509.Certificate) -> None:
    assert certificates.load(certificates.der(device)) == device
    assert certificates.load(certificates.pem(device)) == device
    assert certificates.load(b"Bag Attributes: none\n" + certificates.pem(device)) == device


def test_openssl_gives_the_same_fingerprint(device: x509.Certificate, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_bytes(certificates.pem(device))
    shown = openssl("x509", "-in", tmp_path / "device.pem", "-noout", "-fingerprint", "-sha256").stdout

    assert shown.strip().partition("=")[2].replace(":", "").lower() == certificates.sha256(device)


def test_a_chain_keeps_its_order(hierarchy: Any) -> None:
    chain = (hierarchy.device, hierarchy.identity_ca.certificate, hierarchy.root.certificate)

    assert certificates.load_chain(b"".join(map(certificates.pem, chain))) == chain


def test_a_certificate_matches_its_own_key_only(hierarchy: Any) -> None:
    assert certificates.matches(hierarchy.device, hierarchy.device_key.public_key())
    assert not certificates.matches(hierarchy.device, hierarchy.root.key.public_key())


@pytest.mark.parametrize("data", [b"", b"-----BEGIN", b"\x30\x03\x02\x01\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(BadCertificate):
        certificates.load(data)


def test_trailing_and_missing_bytes_are_refused(device: x509.Certificate) -> None:
    for data in (certificates.der(device) + b"\0", certificates.der(device)[:-1]):
        with pytest.raises(BadCertificate, match="DER or PEM"):
            certificates.load(data)


def test_several_certificates_are_not_taken_for_one(hierarchy: Any) -> None:
    both = certificates.pem(hierarchy.device) + certificates.pem(hierarchy.root.certificate)

    with pytest.raises(BadCertificate, match="holds 2"):
        certificates.load(both)


@pytest.mark.parametrize("pem", [b"", b"no certificate here"])
def test_a_chain_of_none_is_refused(pem: bytes) -> None:
    with pytest.raises(BadCertificate, match="PEM text"):
        certificates.load_chain(pem)


def test_a_certificate_for_a_key_of_another_kind_is_refused_by_name(now: Any) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = names.make("Ed")
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )

    with pytest.raises(BadCertificate, match="Ed25519"):
        certificates.public_key(certificate)


def test_an_extension_is_found_by_its_class(device: x509.Certificate) -> None:
    constraints = certificates.extension(device, x509.BasicConstraints)

    assert constraints is not None
    assert constraints.ca is False
    assert certificates.extension(device, x509.NameConstraints) is None


def test_apples_own_certificates_read(vectors: Path) -> None:
    chain = certificates.load_chain((vectors / "apple-ca" / "apple-iphone-device-ca-chain.pem").read_bytes())

    assert [names.text(each.subject).split(",")[0] for each in chain] == [
        "CN=Apple iPhone Device CA",
        "CN=Apple iPhone Certification Authority",
        "CN=Apple Root CA",
    ]


@settings(deadline=None, max_examples=300)
@pytest.mark.filterwarnings("ignore:Attribute's length")  # a changed octet can make a country of three letters
@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # or a serial number below zero
@given(data=st.data(), as_pem=st.booleans())
def test_a_changed_certificate_is_refused_or_says_what_it_holds(hierarchy: Any, data: st.DataObject, as_pem: bool) -> None:
    original = hierarchy.device
    changed = bytearray(certificates.pem(original) if as_pem else certificates.der(original))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = certificates.load(bytes(changed))
        certificates.public_key(certificate)
        certificates.extensions(certificate)
    except BadCertificate:
        return
    names.text(certificate.subject)
    assert certificates.load(certificates.der(certificate)) == certificate


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_certificate(data: bytes) -> None:
    for read in (certificates.load, certificates.load_chain):
        with pytest.raises(BadCertificate):
            read(data)
