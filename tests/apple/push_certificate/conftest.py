"""CAs shaped like Apple's, a vendor under them, a customer's key, and OpenSSL, which we did not write."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.apple.push_certificate import SignedRequest, customer_request, sign_request, vendor_identity
from tests.apple.push_certificate.making import LEAF, MARK, WWDR, AppleLike, authority, certify, name
from tests.conftest import NOW

KeyOf = Callable[..., rsa.RSAPrivateKey]
OpenSSL = Callable[..., str]


@pytest.fixture(scope="session")
def rsa_key() -> KeyOf:
    """`rsa_key("a name")`: one key for each name and size in the whole run."""

    @cache
    def rsa_key(whose: str, bits: int = 2048) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, bits)

    return rsa_key


@pytest.fixture(scope="session")
def apple_like(rsa_key: KeyOf) -> AppleLike:
    root = authority(name("Orchard Root CA"), rsa_key("root"))
    g3 = authority(name(WWDR, unit="G3"), rsa_key("g3"), root, path_length=0)
    g4 = authority(name(WWDR, unit="G4"), rsa_key("g4"), root, path_length=0)
    twin = authority(name(WWDR, unit="G3"), rsa_key("g4"), root, path_length=0)
    vendor = certify(name("MDM Vendor: Orchard"), rsa_key("vendor"), g3, LEAF, MARK)
    return AppleLike(root, g3, g4, twin, vendor)


@pytest.fixture(scope="session")
def csr(rsa_key: KeyOf) -> x509.CertificateSigningRequest:
    return customer_request(rsa_key("customer"), common_name="Orchard School", email="MDM@Orchard.example", country="de")


@pytest.fixture(scope="session")
def signed(apple_like: AppleLike, csr: x509.CertificateSigningRequest, rsa_key: KeyOf) -> SignedRequest:
    vendor = vendor_identity(apple_like.vendor.certificate, rsa_key("vendor"), NOW)
    return sign_request(csr, vendor, apple_like.chain, roots=apple_like.roots, now=NOW)


@pytest.fixture(scope="session")
def openssl() -> OpenSSL:
    """Runs the `openssl` command, which must succeed; both its outputs come back as one text."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command on this machine")

    def run(*arguments: object, stdin: bytes = b"") -> str:
        done = subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said
        return said

    return run
