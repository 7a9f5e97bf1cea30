"""Which pairs can sign requests for Apple, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bramley.apple.push_certificate import (
    BadVendor,
    NotAVendorCertificate,
    VendorExpired,
    VendorKeyMismatch,
    VendorKeyNotRSA,
    VendorKeyWeak,
    VendorNotYetValid,
    is_vendor,
    vendor_identity,
)
from bramley.errors import BadInput
from bramley.pki import certificates
from tests.apple.push_certificate.conftest import KeyOf
from tests.apple.push_certificate.making import CLIENT, DAY, LEAF, MARK, YEAR, AppleLike, certify, name
from tests.conftest import NOW

EC = ec.generate_private_key(ec.SECP256R1())
CA = x509.BasicConstraints(ca=True, path_length=0)
OTHER_MARK = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.4.13"), b"\x05\x00")


def test_a_good_pair(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    made = vendor_identity(apple_like.vendor.certificate, rsa_key("vendor"), NOW)
    assert (made.certificate, made.key) == (apple_like.vendor.certificate, rsa_key("vendor"))
    assert "RSAPrivateKey" not in repr(made)


@pytest.mark.parametrize(
    ("extensions", "changes", "error", "said"),
    [
        ([LEAF], {}, NotAVendorCertificate, "100.4.12"),
        ([LEAF, OTHER_MARK, CLIENT], {}, NotAVendorCertificate, "does not"),
        ([CA, MARK], {}, NotAVendorCertificate, "is a CA"),
        ([MARK], {"key": EC}, VendorKeyNotRSA, "RSA key.*elliptic curve"),
        ([MARK], {"key": ed25519.Ed25519PrivateKey.generate()}, VendorKeyNotRSA, "RSA or EC"),
        ([MARK], {"key": "weak"}, VendorKeyWeak, "1024 bits"),
        ([MARK], {"begin": NOW - YEAR, "end": NOW - DAY}, VendorExpired, r"expired on 2026-11-23 12:00 UTC; it is 2026-11-24"),
        ([MARK], {"begin": NOW + DAY}, VendorNotYetValid, r"valid from 2026-11-25 12:00 UTC"),
    ],
)
def test_each_fault_has_its_own_error(
    apple_like: AppleLike,
    rsa_key: KeyOf,
    extensions: list[x509.ExtensionType],
    changes: dict[str, Any],
    error: type[BadVendor],
    said: str,
) -> None:
    key = changes.pop("key", rsa_key("vendor"))
    key = rsa_key("weak", 1024) if key == "weak" else key
    made = certify(name("MDM Vendor: Orchard"), key, apple_like.g3, *extensions, **changes)
    with pytest.raises(BadVendor, match=said) as caught:
        vendor_identity(made.certificate, key, NOW)
    assert type(caught.value) is error
    assert isinstance(caught.value, BadInput)
    assert caught.value.advice


def test_names_that_cannot_be_read_are_refused(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    der = certificates.der(apple_like.vendor.certificate).replace(b"MDM Vendor", b"MDM Vendo\xff")
    with pytest.raises(BadVendor, match="names that cannot be read"):
        vendor_identity(x509.load_der_x509_certificate(der), rsa_key("vendor"), NOW)


def test_the_key_is_the_certificates(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    for key in (rsa_key("customer"), EC):
        with pytest.raises(VendorKeyMismatch, match="does not belong"):
            vendor_identity(apple_like.vendor.certificate, key, NOW)


def test_both_ends_of_the_dates_count(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    certificate = apple_like.vendor.certificate
    for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        vendor_identity(certificate, rsa_key("vendor"), moment)


def test_the_mark_alone_makes_a_vendor(apple_like: AppleLike) -> None:
    assert is_vendor(apple_like.vendor.certificate)
    assert not is_vendor(apple_like.g3.certificate)
