"""What may become the push certificate, and the one error for each that may not."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bramley.apple.push_certificate import (
    Expired,
    IsAuthority,
    IsVendorCertificate,
    KeyMismatch,
    KeyNotRSA,
    KeyWeak,
    NotYetValid,
    UnfitPushCertificate,
    WrongTopic,
    WrongUsage,
    check,
)
from bramley.errors import BadInput
from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.apple.push_certificate.conftest import KeyOf
from tests.apple.push_certificate.making import CLIENT, DAY, LEAF, MARK, YEAR, Issued, authority, certify, name
from tests.conftest import NOW

TOPIC = "com.apple.mgmt.External.0c5d4b1e-5f0a-4a6e-9b6c-1f2e3d4c5b6a"
EC = ec.generate_private_key(ec.SECP256R1())
SERVER = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")])
ANY = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])
CA = x509.BasicConstraints(ca=True, path_length=None)
DEFECTIVE = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.37"), b"\x30\x03\x06\x01")


@pytest.fixture(scope="session")
def issuer(rsa_key: KeyOf) -> Issued:
    return authority(name("Apple Application Integration 2", organization="Apple Inc."), rsa_key("g3"))


def push_certificate(issuer: Issued, key: Any, *extensions: x509.ExtensionType, uids: Any = (TOPIC,), **dates: Any) -> Issued:
    return certify(name("APSP:1", uids=uids), key, issuer, *(extensions or (LEAF, CLIENT)), **dates)


def test_a_fit_certificate_passes(issuer: Issued, rsa_key: KeyOf) -> None:
    made = push_certificate(issuer, rsa_key("push"))
    passed = check(made.certificate, rsa_key("push"), NOW)
    assert (passed.certificate, passed.topic, passed.warnings) == (made.certificate, TOPIC, ())
    for moment in (made.certificate.not_valid_before_utc, made.certificate.not_valid_after_utc):
        check(made.certificate, rsa_key("push"), moment)


def test_one_from_the_sandbox_passes_with_a_warning(apple: SandboxAppleCA, rsa_key: KeyOf) -> None:
    issued = apple.issue_push_certificate(rsa_key("push").public_key(), topic=TOPIC, now=NOW)
    (warning,) = check(issued, rsa_key("push"), NOW).warnings
    assert "Sandbox Apple Application Integration CA" in warning
    assert "Apple did not issue" in warning


def test_one_without_basic_constraints_passes(issuer: Issued, rsa_key: KeyOf) -> None:
    """A certificate that does not speak of CAs is none (RFC 5280 4.2.1.9)."""
    assert check(push_certificate(issuer, rsa_key("push"), CLIENT).certificate, rsa_key("push"), NOW).topic == TOPIC


def test_names_that_cannot_be_read_are_refused(issuer: Issued, rsa_key: KeyOf) -> None:
    der = certificates.der(push_certificate(issuer, rsa_key("push")).certificate)
    made = x509.load_der_x509_certificate(der.replace(b"APSP:1", b"APSP:\xff"))
    with pytest.raises(UnfitPushCertificate, match="names that cannot be read"):
        check(made, rsa_key("push"), NOW)


@pytest.mark.parametrize("organization", ["Apple Inc", "apple inc.", "Orchard Inc.", ""])
def test_any_other_issuer_is_warned_of(rsa_key: KeyOf, organization: str) -> None:
    issuer = authority(name("Apple Application Integration 2", organization=organization), rsa_key("g3"))
    assert check(push_certificate(issuer, rsa_key("push")).certificate, rsa_key("push"), NOW).warnings


ROWS: dict[str, tuple[list[x509.ExtensionType], dict[str, Any], type[UnfitPushCertificate], str]] = {
    "an app's topic": ([], {"uids": ["com.example.app"]}, WrongTopic, "com.example.app"),
    "no topic": ([], {"uids": []}, WrongTopic, "none"),
    "two topics": ([], {"uids": [TOPIC, TOPIC + "1"]}, WrongTopic, "one UID"),
    "the prefix alone": ([], {"uids": ["com.apple.mgmt."]}, WrongTopic, "com.apple.mgmt"),
    "another case": ([], {"uids": [TOPIC.replace("apple", "Apple")]}, WrongTopic, "com.Apple"),
    "expired": ([], {"begin": NOW - YEAR, "end": NOW - DAY}, Expired, "expired on 2026-11-23.*Renew it"),
    "not yet valid": ([], {"begin": NOW + DAY}, NotYetValid, "valid from 2026-11-25.*clock"),
    "a server's": ([LEAF, SERVER], {}, WrongUsage, "names 1.3.6.1.5.5.7.3.1"),
    "no usage": ([LEAF], {}, WrongUsage, "names none"),
    "any usage": ([LEAF, ANY], {}, WrongUsage, "2.5.29.37.0"),
    "usages that cannot be read": ([LEAF, DEFECTIVE], {}, UnfitPushCertificate, "cannot be read"),
    "a CA": ([CA, CLIENT], {}, IsAuthority, "certificate of a CA"),
    "a vendor's": ([LEAF, MARK], {"uids": []}, IsVendorCertificate, "you want the one from identity.apple.com"),
    "a vendor's with a topic": ([LEAF, CLIENT, MARK], {}, IsVendorCertificate, "vendor certificate"),
    "an EC key": ([], {"key": EC}, KeyNotRSA, "RSA key.*elliptic curve secp256r1"),
    "an Ed25519 key": ([], {"key": ed25519.Ed25519PrivateKey.generate()}, KeyNotRSA, "RSA or EC"),
    "a weak key": ([], {"key": "weak"}, KeyWeak, "1024 bits"),
    "another's key": ([], {"with": "customer"}, KeyMismatch, "does not belong"),
    "an EC key for an RSA certificate": ([], {"with": EC}, KeyMismatch, "does not belong"),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_fault_has_its_own_error(issuer: Issued, rsa_key: KeyOf, row: str) -> None:
    extensions, given, error, said = ROWS[row]
    changes = dict(given)
    key = changes.pop("key", rsa_key("push"))
    key = rsa_key("weak", 1024) if key == "weak" else key
    other = changes.pop("with", key)
    other = rsa_key(other) if isinstance(other, str) else other
    made = push_certificate(issuer, key, *extensions, **changes)
    with pytest.raises(UnfitPushCertificate, match=said) as caught:
        check(made.certificate, other, NOW)
    assert type(caught.value) is error
    assert isinstance(caught.value, BadInput)
    assert caught.value.advice
