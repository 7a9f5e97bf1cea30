"""The developer portal: who gets a vendor certificate, how many, and what openssl thinks of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import certificates, csr
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals import LimitReached, NotAMember, NotVisible, PortalRefused, SandboxApple
from bramley.sandbox.portals.vendors import new_csr
from tests.conftest import SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER, openssl


@pytest.mark.parametrize("generation", ["G3", "G4"])
def test_openssl_verifies_a_vendor_chain(
    generation: str, portals: SandboxApple, apple: SandboxAppleCA, vendor_key: rsa.RSAPrivateKey, tmp_path: Path, clock: SetClock
) -> None:
    request = x509.load_der_x509_csr(new_csr(vendor_key, "vendor")).public_bytes(Encoding.PEM)
    (tmp_path / "mdm.cer").write_bytes(portals.developer.issue_vendor(DEVELOPER, request, generation=generation))
    (tmp_path / "root.pem").write_bytes(apple.root_pem)
    (tmp_path / "wwdr.pem").write_bytes(certificates.pem(apple.wwdr[generation].certificate))
    when = ("-attime", str(int(clock.now().timestamp())), "-x509_strict")
    openssl("verify", *when, "-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "wwdr.pem", tmp_path / "mdm.cer")
    said = openssl("x509", "-in", tmp_path / "mdm.cer", "-noout", "-text", "-nameopt", "RFC2253")
    assert "CN=MDM Vendor: Orchard" in said
    assert f"OU={generation},CN=Sandbox Worldwide Developer Relations Certification Authority" in said
    assert "1.2.840.113635.100.4.12" in said
    assert "Digital Signature" in said
    assert "CA:FALSE" in said


def test_the_generations_have_one_name_but_for_the_unit_and_a_key_each(apple: SandboxAppleCA) -> None:
    third, fourth = (apple.wwdr[generation].certificate for generation in ("G3", "G4"))
    assert third.public_key() != fourth.public_key()
    for each in (third, fourth):
        assert isinstance(each.public_key(), rsa.RSAPublicKey)
        each.verify_directly_issued_by(apple.root)
    names = [
        x509.Name([part for part in each.subject if part.oid != x509.NameOID.ORGANIZATIONAL_UNIT_NAME])
        for each in (third, fourth)
    ]
    assert names[0] == names[1]


def test_a_fourth_certificate_is_one_too_many(portals: SandboxApple, vendor_key: rsa.RSAPrivateKey, clock: SetClock) -> None:
    request = new_csr(vendor_key, "vendor")
    first, *_ = [portals.developer.issue_vendor(DEVELOPER, request) for _ in range(3)]
    with pytest.raises(LimitReached, match="already have 3"):
        portals.developer.issue_vendor(DEVELOPER, request)
    portals.developer.revoke(DEVELOPER, certificates.load(first))
    portals.developer.issue_vendor(DEVELOPER, request)
    with pytest.raises(LimitReached):
        portals.developer.issue_vendor(DEVELOPER, request)
    clock.moment += timedelta(days=366)
    portals.developer.issue_vendor(DEVELOPER, request)


def test_only_members_of_the_enterprise_program(portals: SandboxApple, vendor_key: rsa.RSAPrivateKey) -> None:
    request = new_csr(vendor_key, "vendor")
    with pytest.raises(NotAMember, match="no account"):
        portals.developer.issue_vendor(ACCOUNT, request)
    portals.developer.sign_up(ACCOUNT)
    with pytest.raises(NotAMember, match="Enterprise"):
        portals.developer.issue_vendor(ACCOUNT, request)
    portals.developer.sign_up(ACCOUNT, enterprise=True)
    portals.developer.issue_vendor(ACCOUNT, request)
    with pytest.raises(PortalRefused, match="1 to 52"):
        portals.developer.sign_up(ACCOUNT, organization="x" * 53)


def test_revoking_is_for_the_owner(portals: SandboxApple, vendor: x509.Certificate) -> None:
    portals.developer.sign_up(ACCOUNT, enterprise=True)
    with pytest.raises(NotVisible):
        portals.developer.revoke(ACCOUNT, vendor)
    assert not portals.developer.is_revoked(vendor)
    portals.developer.revoke(DEVELOPER, vendor)
    assert portals.developer.is_revoked(vendor)


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"", "not a valid"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "not a valid"),
        (csr.build(ec.generate_private_key(ec.SECP256R1()), x509.Name([])), "RSA key of 2048"),
        (csr.build(WEAK, x509.Name([])), "RSA key of 2048"),
    ],
)
def test_a_request_that_is_none(request_: bytes, words: str, portals: SandboxApple) -> None:
    with pytest.raises(PortalRefused, match=words):
        portals.developer.issue_vendor(DEVELOPER, request_)
    assert portals.developer.members[DEVELOPER].issued == []
