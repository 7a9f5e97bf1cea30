"""Messages that real Macs sent."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bramley.pki import oids
from bramley.pki.cms import (
    DEVICE,
    SCEP_REQUEST,
    STRICT,
    CMSError,
    SignatureInvalid,
    SignatureReason,
    ber,
    decrypt,
    parse_signed_data,
    values,
    verify,
)


@pytest.fixture(scope="module")
def idle(vectors: Path) -> tuple[bytes, bytes]:
    """The decoded `Mdm-Signature` header of a Mac, and the body that it signs."""
    folder = vectors / "mdm-signature"
    return base64.b64decode((folder / "idle.header.b64").read_text()), (folder / "idle.body.plist").read_bytes()


def test_the_mdm_signature_of_a_mac_verifies(idle: tuple[bytes, bytes]) -> None:
    header, body = idle
    assert header[:2] == b"\x30\x80"
    signed = parse_signed_data(header)
    proof = verify(signed, content=body, policy=DEVICE)
    assert (proof.digest, dict(proof.attributes), proof.signing_time) == ("sha1", {}, None)
    certificate = x509.load_der_x509_certificate(proof.certificate)
    assert list(certificate.subject) == []
    assert certificate.serial_number == 0x22


def test_a_stricter_policy_refuses_it(idle: tuple[bytes, bytes]) -> None:
    header, body = idle
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(header), content=body, policy=STRICT)
    assert caught.value.reason == SignatureReason.ALGORITHM_NOT_ALLOWED
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(header), content=body, policy=SCEP_REQUEST)
    assert caught.value.reason == SignatureReason.ATTRIBUTES_MISSING


def test_it_fails_after_a_change_of_one_octet_of_the_body(idle: tuple[bytes, bytes]) -> None:
    header, body = idle
    signed = parse_signed_data(header)
    for at in range(len(body)):
        with pytest.raises(SignatureInvalid) as caught:
            verify(signed, content=body[:at] + bytes((body[at] ^ 0x20,)) + body[at + 1 :], policy=DEVICE)
        assert caught.value.reason == SignatureReason.BAD_SIGNATURE


def test_it_fails_after_a_change_of_one_octet_of_the_signature(idle: tuple[bytes, bytes]) -> None:
    header, body = idle
    (signer,) = parse_signed_data(header).signers
    start = header.index(signer.signature)
    for at in range(start, start + len(signer.signature)):
        with pytest.raises(SignatureInvalid) as caught:
            verify(parse_signed_data(header[:at] + bytes((header[at] ^ 1,)) + header[at + 1 :]), content=body, policy=DEVICE)
        assert caught.value.reason == SignatureReason.BAD_SIGNATURE


@pytest.mark.filterwarnings("ignore")
def test_a_changed_certificate_does_not_verify_or_is_another_certificate(idle: tuple[bytes, bytes]) -> None:
    # whoever is chained and bound afterwards is what `certificate` says: never the device's own, once an octet has changed
    header, body = idle
    (certificate,) = parse_signed_data(header).certificates
    key = x509.load_der_x509_certificate(certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    modulus = key.public_numbers().n.to_bytes(256, "big")
    start, in_key = header.index(certificate), header.index(modulus)
    for at in range(start, start + len(certificate)):
        changed = header[:at] + bytes((header[at] ^ 1,)) + header[at + 1 :]
        try:
            proof = verify(parse_signed_data(changed), content=body, policy=DEVICE)
        except CMSError:
            continue
        assert proof.certificate != certificate
        assert not in_key <= at < in_key + 256


@pytest.fixture(scope="module")
def request_of_2016(vectors: Path) -> bytes:
    return (vectors / "scep" / "macos-2016-PKCSReq.der").read_bytes()


def test_the_scep_request_of_a_mac_verifies(request_of_2016: bytes) -> None:
    proof = verify(parse_signed_data(request_of_2016), policy=SCEP_REQUEST)
    assert proof.digest == "sha1"
    assert proof.signing_time is not None
    assert proof.signing_time.isoformat() == "2016-05-31T11:30:13+00:00"
    (message_type,) = proof.attributes[oids.SCEP_MESSAGE_TYPE]
    assert values.text(ber.parse(message_type)) == "19"


def test_the_scep_request_of_a_mac_opens_with_the_key_of_its_ca(request_of_2016: bytes, vectors: Path) -> None:
    folder = vectors / "scep"
    done = subprocess.run(
        ["openssl", "rsa", "-passin", "pass:", "-in", folder / "macos-2016-ca.key"], capture_output=True, check=True
    )
    key = load_pem_private_key(done.stdout, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = x509.load_pem_x509_certificate((folder / "macos-2016-ca.pem").read_bytes())
    proof = verify(parse_signed_data(request_of_2016), policy=SCEP_REQUEST)
    opened = decrypt(proof.content, key=key, certificate=certificate)
    assert opened.cipher == "des-ede3-cbc"
    info = ber.sequence(ber.parse(opened.content), "CertificationRequest")[0]
    assert values.integer(ber.sequence(info, "CertificationRequestInfo")[0]) == 2
