"""A PKCSReq that a Mac sent in 2016: SHA-1, triple DES, CSR version 2, RSA-1024, a nonce of eight octets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bramley.pki.scep import enrollment
from bramley.pki.scep.errors import AlgorithmRefused
from bramley.pki.scep.messages import FailInfo, MessageType
from bramley.pki.scep.server import Responder, open_request, read_message


@pytest.fixture
def recorded_ca(vectors: Path, openssl: Callable[..., CompletedProcess[str]]) -> Responder:
    key_file = vectors / "scep" / "macos-2016-ca.key"
    key = load_pem_private_key(openssl("rsa", "-in", key_file, "-passin", "pass:").stdout.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    # its country has three letters, which `bramley.pki.certificates` would not let pass in silence
    return Responder(x509.load_pem_x509_certificate((vectors / "scep" / "macos-2016-ca.pem").read_bytes()), key)


def test_its_signature_envelope_and_csr_hold(vectors: Path, recorded_ca: Responder) -> None:
    request = read_message((vectors / "scep" / "macos-2016-PKCSReq.der").read_bytes(), recorded_ca)
    assert request.message_type is MessageType.PKCSReq
    assert (request.digest, request.cipher) == ("sha1", "des-ede3-cbc")
    assert request.sender_nonce == bytes.fromhex("AE7FE8816CC6BEDD")
    assert "MDM SCEP SIGNER" in request.signer_certificate.subject.rfc4514_string()
    assert request.csr.public_key.key_size == 1024
    # Apple names the transaction by the SHA-1 of the key in the CSR, and so does our client
    assert request.transaction_id == enrollment.transaction_id(request.csr.public_key)


def test_its_key_is_too_weak_today(vectors: Path, recorded_ca: Responder) -> None:
    message = (vectors / "scep" / "macos-2016-PKCSReq.der").read_bytes()
    with pytest.raises(AlgorithmRefused, match="1024") as caught:
        open_request(message, recorded_ca, now=recorded_ca.certificate.not_valid_before_utc)
    assert caught.value.fail_info is FailInfo.badAlg
