"""What we write, OpenSSL reads; and what it is encrypted with is what the reader needs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pkcs12 as asn1_pkcs12
from asn1crypto.core import OctetString
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.pki import certificates, keys, pkcs12
from bramley.pki.errors import BadArchive, BadKey
from bramley.pki.pkcs12 import Bundle, Style

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def bundle(hierarchy: Any) -> Bundle:
    return Bundle(hierarchy.device_key, hierarchy.device, (hierarchy.identity_ca.certificate, hierarchy.root.certificate))


@pytest.mark.parametrize("password", ["secret", "pässwörd 🍏"])
@pytest.mark.parametrize("style", Style)
def test_openssl_reads_what_we_write(style: Style, password: str, bundle: Bundle, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "archive.p12").write_bytes(pkcs12.write(bundle, password, style=style, name="Push “External”"))
    (tmp_path / "password").write_text(password + "\n", encoding="utf-8")
    shown = openssl("pkcs12", "-in", tmp_path / "archive.p12", "-passin", f"file:{tmp_path / 'password'}", "-nodes", "-info")
    key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert key in shown.stdout
    for each in (bundle.certificate, *bundle.others):
        assert certificates.pem(each).decode() in shown.stdout
    expected = {Style.APPLE: ("MAC: sha1", "3-KeyTripleDES"), Style.MODERN: ("MAC: sha256", "AES-256-CBC")}[style]
    assert all(word in shown.stderr for word in expected), shown.stderr
    assert "RC2" not in shown.stderr


@pytest.mark.parametrize("style", Style)
def test_every_part_makes_a_guess_at_the_password_costly(style: Style, bundle: Bundle) -> None:
    """As a parser of others reads it."""
    pfx = asn1_pkcs12.Pfx.load(pkcs12.write(bundle, "secret", style=style), strict=True)
    counts = {"MAC": pfx["mac_data"]["iterations"].native}
    for part in asn1_pkcs12.AuthenticatedSafe.load(pfx["auth_safe"]["content"].native):
        if part["content_type"].native == "encrypted_data":
            scheme = part["content"]["encrypted_content_info"]["content_encryption_algorithm"]
            counts["certificates"] = scheme.kdf_iterations
            continue
        (bag,) = asn1_pkcs12.SafeContents.load(part["content"].cast(OctetString).native)
        counts["key"] = bag["bag_value"]["encryption_algorithm"].kdf_iterations
    assert min(counts["certificates"], counts["key"]) >= 20_000
    assert counts["MAC"] >= 2048


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12))
@pytest.mark.parametrize("style", Style)
def test_what_is_written_is_read_by_us_and_by_cryptography(style: Style, password: str, bundle: Bundle) -> None:
    data = pkcs12.write(bundle, password, style=style, iterations=100)
    read = pkcs12.read(data, password)
    assert keys.to_pkcs8(read.key) == keys.to_pkcs8(bundle.key)
    assert (read.certificate, read.others) == (bundle.certificate, bundle.others)
    _, certificate, others = peer.load_key_and_certificates(data, password.encode())
    assert certificate == bundle.certificate
    assert set(others) == set(bundle.others)


def test_only_a_key_and_its_own_certificate_are_written(bundle: Bundle, hierarchy: Any) -> None:
    with pytest.raises(BadKey, match="do not belong together"):
        pkcs12.write(Bundle(bundle.key, hierarchy.root.certificate), "secret")


def test_an_empty_password_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BadArchive, match="needs a password"):
        pkcs12.write(bundle, "")
