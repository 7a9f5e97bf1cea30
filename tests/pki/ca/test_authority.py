from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, names
from bramley.pki.ca.authority import Authority, StatusURLs, issue, self_signed
from bramley.pki.ca.profiles import (
    DEVICE_IDENTITY,
    HTTPS_CA,
    HTTPS_SERVER,
    IDENTITY_CA,
    OCSP_RESPONDER,
    PROFILE_SIGNER,
    ROOT_CA,
    SIGNER_CA,
    CertificateProfile,
)
from bramley.pki.errors import BadCertificate, BadKey, CannotIssue
from bramley.pki.keys import KeyAlgorithm, PrivateKey

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
KeyOf = Callable[..., PrivateKey]
DNS = [x509.DNSName("mdm.example.org")]


def text_of(certificate: x509.Certificate, openssl: OpenSSL, folder: Path) -> str:
    (folder / "shown.pem").write_bytes(certificates.pem(certificate))
    shown: str = openssl("x509", "-in", folder / "shown.pem", "-noout", "-text", "-nameopt", "RFC2253").stdout
    return re.sub(r"\s+", " ", shown)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (
            IDENTITY_CA,
            [
                "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0",
                "X509v3 Key Usage: critical Digital Signature, Key Encipherment, Certificate Sign, CRL Sign X509v3",
            ],
        ),
        (HTTPS_CA, ["critical CA:TRUE, pathlen:0", "Key Usage: critical Certificate Sign, CRL Sign X509v3"]),
        (SIGNER_CA, ["critical CA:TRUE, pathlen:0", "Key Usage: critical Certificate Sign, CRL Sign X509v3"]),
        (
            DEVICE_IDENTITY,
            [
                "X509v3 Basic Constraints: critical CA:FALSE",
                "X509v3 Key Usage: critical Digital Signature, Key Encipherment X509v3",
                "X509v3 Extended Key Usage: TLS Web Client Authentication X509v3",
            ],
        ),
        (
            HTTPS_SERVER,
            [
                "critical CA:FALSE",
                "Key Usage: critical Digital Signature, Key Encipherment X509v3",
                "Extended Key Usage: TLS Web Server Authentication X509v3",
                "X509v3 Subject Alternative Name: DNS:mdm.example.org, IP Address:192.0.2.1 ",
            ],
        ),
        (
            PROFILE_SIGNER,
            [
                "critical CA:FALSE",
                "Key Usage: critical Digital Signature X509v3",
                "Extended Key Usage: E-mail Protection X509v3",
            ],
        ),
        (
            OCSP_RESPONDER,
            [
                "critical CA:FALSE",
                "Key Usage: critical Digital Signature X509v3",
                "Extended Key Usage: OCSP Signing",
                "OCSP No Check:",
            ],
        ),
    ],
    ids=lambda value: value.name if isinstance(value, CertificateProfile) else "",
)
def test_openssl_sees_what_the_profile_says(
    hierarchy: Any,
    key_of: KeyOf,
    openssl: OpenSSL,
    tmp_path: Path,
    now: datetime,
    profile: CertificateProfile,
    expected: list[str],
) -> None:
    sans = [*DNS, x509.IPAddress(ip_address("192.0.2.1"))] if profile.san_required else []
    key = key_of(KeyAlgorithm.RSA_2048, "device")
    shown = text_of(
        issue(hierarchy.root, profile, key.public_key(), subject=names.make("Subject"), sans=sans, now=now),
        openssl,
        tmp_path,
    )

    for line in [*expected, "Version: 3", "Signature Algorithm: sha256WithRSAEncryption"]:
        assert line in shown
    assert "X509v3 Subject Key Identifier" in shown
    assert "X509v3 Authority Key Identifier" in shown
    assert "Not Before: Nov 24 11:00:00 2026 GMT" in shown
    assert f"Not After : {now + profile.lifetime:%b %d %H:%M:%S %Y GMT}".replace(" 0", " ") in shown


def test_a_certificate_says_where_its_status_is_told(
    hierarchy: Any, key_of: KeyOf, openssl: OpenSSL, tmp_path: Path, now: datetime
) -> None:
    key, subject = key_of(KeyAlgorithm.P_256), names.make("F2LX0001")
    urls = StatusURLs("https://mdm.example/pki/ca.crl", "https://mdm.example/pki/ocsp", "https://mdm.example/pki/ca.cer")
    told = issue(hierarchy.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=subject, now=now, status=urls)
    silent = issue(hierarchy.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=subject, now=now)

    shown = text_of(told, openssl, tmp_path)
    assert "CRL Distribution Points: Full Name: URI:https://mdm.example/pki/ca.crl " in shown
    assert "OCSP - URI:https://mdm.example/pki/ocsp CA Issuers - URI:https://mdm.example/pki/ca.cer " in shown
    assert "URI:" not in text_of(silent, openssl, tmp_path)


def test_openssl_sees_a_root(hierarchy: Any, openssl: OpenSSL, tmp_path: Path) -> None:
    shown = text_of(hierarchy.root.certificate, openssl, tmp_path)

    assert "CA:TRUE, pathlen:1" in shown
    assert "Issuer: CN=Orchard Root,O=Orchard" in shown
    assert "Subject: CN=Orchard Root,O=Orchard" in shown
    assert "Not After : Nov 19 12:00:00 2046 GMT" in shown


def test_openssl_verifies_a_hierarchy_of_any_algorithm(
    any_key: PrivateKey, key_of: KeyOf, openssl: OpenSSL, tmp_path: Path, now: datetime
) -> None:
    root = Authority(self_signed(ROOT_CA, any_key, names.make("Root"), now=now), any_key)
    ca_key, leaf_key = key_of(KeyAlgorithm.P_256, "ca"), key_of(KeyAlgorithm.RSA_2048, "device")
    ca = Authority(issue(root, IDENTITY_CA, ca_key.public_key(), subject=names.make("CA"), now=now), ca_key)
    leaf = issue(ca, DEVICE_IDENTITY, leaf_key.public_key(), subject=names.make("F2LX0001"), now=now)
    for name, certificate in (("root", root.certificate), ("ca", ca.certificate), ("leaf", leaf)):
        (tmp_path / name).write_bytes(certificates.pem(certificate))

    openssl(
        *("verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslclient", "-auth_level", 2),
        *("-attime", int(now.timestamp()), "-CAfile", tmp_path / "root", "-untrusted", tmp_path / "ca", tmp_path / "leaf"),
    )


def test_openssl_trusts_a_self_signed_server_certificate_for_its_name(
    any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path, now: datetime
) -> None:
    server = self_signed(HTTPS_SERVER, any_key, names.make("mdm.example.org"), sans=DNS, now=now)
    (tmp_path / "server").write_bytes(certificates.pem(server))

    openssl(
        *("verify", "-purpose", "sslserver", "-verify_hostname", "mdm.example.org"),
        *("-attime", int(now.timestamp()), "-CAfile", tmp_path / "server", tmp_path / "server"),
    )


def test_openssl_accepts_a_profile_signed_by_a_profile_signer(
    hierarchy: Any, key_of: KeyOf, openssl: OpenSSL, tmp_path: Path, now: datetime
) -> None:
    ca_key, key = key_of(KeyAlgorithm.P_256, "ca"), key_of(KeyAlgorithm.P_256, "signer")
    ca = Authority(issue(hierarchy.root, SIGNER_CA, ca_key.public_key(), subject=names.make("CA"), now=now), ca_key)
    signer = issue(ca, PROFILE_SIGNER, key.public_key(), subject=names.make("Orchard IT"), now=now)
    for name, certificate in (("root", hierarchy.root.certificate), ("ca", ca.certificate), ("signer", signer)):
        (tmp_path / name).write_bytes(certificates.pem(certificate))
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "profile").write_bytes(b"<plist/>")

    openssl(
        *("cms", "-sign", "-nodetach", "-binary", "-in", tmp_path / "profile", "-outform", "DER"),
        *("-signer", tmp_path / "signer", "-inkey", tmp_path / "key", "-certfile", tmp_path / "ca"),
        *("-out", tmp_path / "signed"),
    )
    openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "signed", "-out", tmp_path / "back"),
        *("-CAfile", tmp_path / "root", "-attime", int(now.timestamp())),
    )
    assert (tmp_path / "back").read_bytes() == b"<plist/>"


@pytest.mark.parametrize(
    ("algorithm", "hash_name"),
    [(KeyAlgorithm.RSA_2048, "sha256"), (KeyAlgorithm.P_256, "sha256"), (KeyAlgorithm.P_384, "sha384")],
)
def test_the_hash_is_as_strong_as_the_signing_key(key_of: KeyOf, now: datetime, algorithm: KeyAlgorithm, hash_name: str) -> None:
    used = self_signed(ROOT_CA, key_of(algorithm), names.make("Root"), now=now).signature_hash_algorithm

    assert used is not None
    assert used.name == hash_name


@pytest.mark.parametrize("profile", [DEVICE_IDENTITY, IDENTITY_CA])
def test_a_certificate_for_an_ec_key_does_not_promise_encryption(
    hierarchy: Any, key_of: KeyOf, now: datetime, profile: CertificateProfile
) -> None:
    key = key_of(KeyAlgorithm.P_256)
    issued = issue(hierarchy.root, profile, key.public_key(), subject=names.make("Subject"), now=now)
    usage = certificates.extension(issued, x509.KeyUsage)

    assert usage is not None
    assert usage.digital_signature
    assert not usage.key_encipherment


def test_serials_are_random_positive_and_short_enough(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256, "ca")
    ca = Authority(issue(hierarchy.root, IDENTITY_CA, key.public_key(), subject=names.make("CA"), now=now), key)
    serials = {
        issue(ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("F2LX0001"), now=now).serial_number for _ in range(50)
    }

    assert len(serials) == 50
    assert all(0 < serial < 1 << 127 for serial in serials)
    assert max(serial.bit_length() for serial in serials) > 112


def test_the_issuer_is_named_by_its_own_key_identifier(hierarchy: Any) -> None:
    theirs = certificates.extension(hierarchy.identity_ca.certificate, x509.SubjectKeyIdentifier)
    ours = certificates.extension(hierarchy.device, x509.AuthorityKeyIdentifier)

    assert theirs is not None
    assert ours is not None
    assert ours.key_identifier == theirs.digest
    assert hierarchy.device.issuer == hierarchy.identity_ca.certificate.subject


def test_no_certificate_outlives_its_issuer_or_is_older(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    ca = hierarchy.identity_ca
    end = ca.certificate.not_valid_after_utc
    key = key_of(KeyAlgorithm.P_256).public_key()
    subject = names.make("F2LX0001")
    late = issue(ca, DEVICE_IDENTITY, key, subject=subject, now=end - timedelta(days=10))
    early = issue(ca, DEVICE_IDENTITY, key, subject=subject, now=ca.certificate.not_valid_before_utc)

    assert late.not_valid_after_utc == end
    assert early.not_valid_before_utc == ca.certificate.not_valid_before_utc


def test_fractions_of_a_second_are_dropped(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256).public_key()
    moment = now + timedelta(microseconds=999_999)
    issued = issue(hierarchy.identity_ca, DEVICE_IDENTITY, key, subject=names.make("F2LX0001"), now=moment)

    assert issued.not_valid_after_utc == now + timedelta(days=365)


def test_a_lifetime_may_be_chosen_within_the_profile(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    ca, key, subject = hierarchy.identity_ca, key_of(KeyAlgorithm.P_256).public_key(), names.make("F2LX0001")
    issued = issue(ca, DEVICE_IDENTITY, key, subject=subject, now=now, lifetime=timedelta(days=30))

    assert issued.not_valid_after_utc == now + timedelta(days=30)
    for lifetime in (timedelta(), timedelta(days=-1), DEVICE_IDENTITY.longest + timedelta(seconds=1)):
        with pytest.raises(CannotIssue, match="3650 days"):
            issue(ca, DEVICE_IDENTITY, key, subject=subject, now=now, lifetime=lifetime)


def test_the_longest_server_certificate_is_one_that_apple_accepts(key_of: KeyOf, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256)
    server = self_signed(HTTPS_SERVER, key, names.make("mdm"), sans=DNS, now=now, lifetime=HTTPS_SERVER.longest)

    assert server.not_valid_after_utc - server.not_valid_before_utc < timedelta(days=825)


def test_a_server_certificate_without_names_is_refused(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256)

    with pytest.raises(CannotIssue, match="subject alternative name"):
        issue(hierarchy.root, HTTPS_SERVER, key.public_key(), subject=names.make("mdm.example.org"), now=now)
    with pytest.raises(CannotIssue, match="subject alternative name"):
        self_signed(HTTPS_SERVER, key, names.make("mdm.example.org"), now=now)


def test_names_are_critical_where_nothing_else_names_the_subject(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    key, empty = key_of(KeyAlgorithm.P_256).public_key(), x509.Name([])
    issued = issue(hierarchy.root, HTTPS_SERVER, key, subject=empty, sans=DNS, now=now)
    named = issue(hierarchy.root, HTTPS_SERVER, key, subject=names.make("mdm"), sans=DNS, now=now)

    assert issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert not named.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    with pytest.raises(CannotIssue, match="needs a subject"):
        issue(hierarchy.root, DEVICE_IDENTITY, key, subject=empty, now=now)
    with pytest.raises(CannotIssue, match="needs a subject"):
        issue(hierarchy.root, IDENTITY_CA, key, subject=empty, sans=DNS, now=now)


def test_nobody_gets_a_certificate_in_the_name_of_the_ca(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    ca = hierarchy.identity_ca

    with pytest.raises(CannotIssue, match="own name"):
        issue(ca, DEVICE_IDENTITY, key_of(KeyAlgorithm.P_256).public_key(), subject=ca.certificate.subject, now=now)


def test_a_weak_key_is_not_certified(hierarchy: Any, now: datetime) -> None:
    weak = (
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ec.generate_private_key(ec.SECP521R1()),
    )

    for key in weak:
        with pytest.raises(BadKey):
            issue(hierarchy.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("F2LX0001"), now=now)
        with pytest.raises(BadKey):
            self_signed(ROOT_CA, key, names.make("Root"), now=now)


def test_a_ca_that_is_not_valid_now_does_not_issue(hierarchy: Any, key_of: KeyOf) -> None:
    certificate = hierarchy.identity_ca.certificate
    for moment in (certificate.not_valid_after_utc, certificate.not_valid_before_utc - timedelta(seconds=1)):
        with pytest.raises(CannotIssue, match="is valid from"):
            issue(
                hierarchy.identity_ca,
                DEVICE_IDENTITY,
                key_of(KeyAlgorithm.P_256).public_key(),
                subject=names.make("F2LX0001"),
                now=moment,
            )


def test_a_device_cannot_issue(hierarchy: Any, key_of: KeyOf, now: datetime) -> None:
    device = Authority(hierarchy.device, hierarchy.device_key)

    with pytest.raises(CannotIssue, match="not a CA"):
        issue(device, DEVICE_IDENTITY, key_of(KeyAlgorithm.P_256).public_key(), subject=names.make("Friend"), now=now)


def test_a_ca_without_cert_sign_cannot_issue(key_of: KeyOf, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256)
    profile = replace(ROOT_CA, key_usage=frozenset({"crl_sign"}))
    authority = Authority(self_signed(profile, key, names.make("Root"), now=now), key)

    with pytest.raises(CannotIssue, match="keyCertSign"):
        issue(authority, DEVICE_IDENTITY, key.public_key(), subject=names.make("F2LX0001"), now=now)


@pytest.mark.parametrize("path_length", [0, 1, None])
def test_a_ca_at_the_end_of_its_path_does_not_make_cas(
    hierarchy: Any, key_of: KeyOf, now: datetime, path_length: int | None
) -> None:
    profile = replace(IDENTITY_CA, path_length=path_length)
    key, subject = key_of(KeyAlgorithm.P_256).public_key(), names.make("Another CA")

    with pytest.raises(CannotIssue, match="allows 0 CAs"):
        issue(hierarchy.identity_ca, profile, key, subject=subject, now=now)
    if path_length != 0:
        with pytest.raises(CannotIssue, match="allows 1 CAs"):
            issue(hierarchy.root, profile, key, subject=subject, now=now)


def test_an_authority_needs_the_key_of_its_certificate(hierarchy: Any, key_of: KeyOf) -> None:
    with pytest.raises(BadCertificate, match="another certificate"):
        Authority(hierarchy.root.certificate, key_of(KeyAlgorithm.RSA_2048, "device"))


def test_an_authority_does_not_show_its_key(hierarchy: Any) -> None:
    assert "key" not in repr(hierarchy.root).lower()
