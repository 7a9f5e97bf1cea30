"""`Mdm-Signature` as devices make it, judged by OpenSSL, asn1crypto and a recorded one."""

from __future__ import annotations

import base64
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates, cms, names
from bramley.pki.ca.authority import self_signed
from bramley.pki.ca.profiles import HTTPS_SERVER
from bramley.pki.cms.ber import Node, parse
from bramley.pki.keys import PrivateKey
from bramley.sandbox import signature
from bramley.sandbox.signature import Identity, SignatureStyle

BODY = b"<plist>\r\n<dict/>\n</plist>"
SIGNATURES = (SignatureStyle.APPLE, SignatureStyle.DER)


@pytest.fixture
def identity(keyring: list[PrivateKey], now: datetime) -> Identity:
    key = keyring[3]
    assert isinstance(key, rsa.RSAPrivateKey)
    return _identity(key, now)


@pytest.fixture(params=["RSA", "elliptic"])
def either(request: pytest.FixtureRequest, keyring: list[PrivateKey], now: datetime) -> Identity:
    return _identity(keyring[3 if request.param == "RSA" else 2], now)


def _identity(key: PrivateKey, now: datetime) -> Identity:
    subject, sans = names.make("device"), [x509.DNSName("device.example")]
    return Identity(self_signed(HTTPS_SERVER, key, subject, sans=sans, now=now), key)


def message(style: SignatureStyle, identity: Identity, now: datetime) -> bytes:
    made = signature.sign(BODY, identity, style, now=now)
    assert made is not None
    return made


@pytest.mark.parametrize("style", SIGNATURES)
def test_openssl_verifies_it(style: SignatureStyle, either: Identity, now: datetime, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(message(style, either, now))
    (tmp_path / "signer.pem").write_bytes(certificates.pem(either.certificate))

    def verify(body: bytes) -> subprocess.CompletedProcess[bytes]:
        (tmp_path / "body").write_bytes(body)
        files = ("-in", "message", "-content", "body", "-CAfile", "signer.pem")
        command = ("openssl", "cms", "-verify", "-binary", "-inform", "DER", *files, "-purpose", "any", "-no_check_time")
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    good = verify(BODY)
    assert good.returncode == 0, good.stderr
    assert good.stdout == BODY
    assert verify(BODY + b" ").returncode != 0


@pytest.mark.parametrize("style", SIGNATURES)
def test_asn1crypto_reads_it(style: SignatureStyle, either: Identity, now: datetime) -> None:
    signed = asn1_cms.ContentInfo.load(message(style, either, now))["content"]
    (signer,) = signed["signer_infos"]
    apple = style is SignatureStyle.APPLE
    sha1 = apple and isinstance(either.key, rsa.RSAPrivateKey)
    assert signer["digest_algorithm"]["algorithm"].native == ("sha1" if sha1 else "sha256")
    assert len(signer["signed_attrs"]) == (0 if apple else 3)
    assert signed["encap_content_info"]["content"].native is None
    assert [one.chosen.serial_number for one in signed["certificates"]] == [either.certificate.serial_number]


@pytest.mark.parametrize("style", SIGNATURES)
def test_our_own_check_takes_it_for_its_body_only(style: SignatureStyle, either: Identity, now: datetime) -> None:
    signed = cms.parse_signed_data(message(style, either, now))
    verified = cms.verify(signed, content=BODY, policy=cms.DEVICE)
    assert verified.certificate == certificates.der(either.certificate)
    with pytest.raises(cms.SignatureInvalid):
        cms.verify(signed, content=BODY + b" ", policy=cms.DEVICE)


def test_it_is_built_as_the_recorded_one(identity: Identity, now: datetime, vectors: Path) -> None:
    recorded = base64.b64decode((vectors / "mdm-signature" / "idle.header.b64").read_bytes())
    assert outline(parse(message(SignatureStyle.APPLE, identity, now))) == outline(parse(recorded))


def outline(node: Node, depth: int = 0) -> list[tuple[int, int, bool]]:
    """Depth, tag and whether the length is indefinite, down to the SignerInfo; certificates differ and are skipped."""
    indefinite = node.source.data[node.body - 1] == 0x80
    lines = [(depth, node.tag, indefinite)]
    is_certificates = depth == 3 and node.tag == 0xA0
    if node.source.data[node.start] & 0x20 and not is_certificates:
        issuer = depth == 6
        for child in [] if issuer else node.children:
            lines += outline(child, depth + 1)
    return lines


def test_tls_has_no_signature(identity: Identity, now: datetime) -> None:
    assert signature.sign(BODY, identity, SignatureStyle.TLS, now=now) is None
    assert signature.header(BODY, identity, SignatureStyle.TLS, now=now) == {}


def test_a_signature_can_be_put_in_another_message(identity: Identity, now: datetime) -> None:
    """What the attackers rely on: the forgery reads well, and only the rule against it tells it from a genuine one."""
    signer = cms.parse_signed_data(message(SignatureStyle.DER, identity, now)).signers[0]
    forged = signature.without_attributes(identity.certificate, signer.signature)
    assert signer.signed_attributes_raw is not None
    with pytest.raises(cms.SignatureInvalid) as caught:
        cms.verify(cms.parse_signed_data(forged), content=signer.signed_attributes_raw, policy=cms.DEVICE)
    assert caught.value.reason is cms.SignatureReason.ATTRIBUTES_MISSING
