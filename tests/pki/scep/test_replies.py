"""CertRep as strangers read it: asn1crypto and OpenSSL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import core

from bramley.pki import certificates
from bramley.pki.cms import der
from bramley.pki.scep import server
from bramley.pki.scep.errors import MessageTypeRefused
from bramley.pki.scep.messages import FailInfo
from bramley.pki.scep.server import Responder

from .kit import Messages, Service, pem_key

OpenSSL = Callable[..., CompletedProcess[str]]

MESSAGE_TYPE, PKI_STATUS, FAIL_INFO, SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION_ID = (
    f"2.16.840.1.113733.1.9.{number}" for number in range(2, 8)
)
FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1"


def signed_data(message: bytes) -> Any:
    return asn1_cms.ContentInfo.load(message, strict=True)["content"]


def attributes(message: bytes) -> dict[str, Any]:
    """Attribute to its one value in Python's terms."""
    (signer,) = signed_data(message)["signer_infos"]
    found = {each["type"].dotted: each["values"] for each in signer["signed_attrs"]}
    assert all(len(each) == 1 for each in found.values())
    parsed = {oid: values[0] for oid, values in found.items()}
    return {oid: (value.parsed if isinstance(value, core.Any) else value).native for oid, value in parsed.items()}


@pytest.fixture
def cert_rep(messages: Messages, service: Service) -> bytes:
    return service.pki_operation(messages.sign())


def test_the_leaf_comes_first_outside_and_is_alone_inside(
    cert_rep: bytes, messages: Messages, responder: Responder, tmp_path: Path, openssl: OpenSSL
) -> None:
    outer = [each.chosen.dump() for each in signed_data(cert_rep)["certificates"]]
    assert len(outer) == 2
    leaf, ca = outer
    assert certificates.load(leaf).subject.rfc4514_string() == "CN=device 1"
    assert ca == certificates.der(responder.certificate)

    (tmp_path / "certrep").write_bytes(cert_rep)
    printed = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "certrep", "-print_certs").stdout
    assert printed.index("subject=CN = device 1") < printed.index("subject=O = Example, CN = Identity CA")

    (tmp_path / "ca.pem").write_bytes(certificates.pem(responder.certificate))
    (tmp_path / "signer.pem").write_bytes(certificates.pem(messages.signer.certificate) + pem_key(messages.signer))
    verify = ("-purpose", "any", "-no_check_time", "-CAfile", tmp_path / "ca.pem")
    openssl("cms", "-verify", "-inform", "DER", "-in", tmp_path / "certrep", *verify, "-out", tmp_path / "envelope", "-binary")
    recipient = ("-recip", tmp_path / "signer.pem", "-out", tmp_path / "inner", "-binary")
    openssl("cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "envelope", *recipient)
    inner = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "inner", "-print_certs", "-noout").stdout
    assert inner.count("subject=") == 1
    assert certificates.der(certificates.load(leaf)) in (tmp_path / "inner").read_bytes()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("aes-128-cbc", "aes128_cbc"),
        ("aes-192-cbc", "aes192_cbc"),
        ("aes-256-cbc", "aes256_cbc"),
        ("des-ede3-cbc", "tripledes_3key"),
        ("des-cbc", "tripledes_3key"),
    ],
)
def test_answers_in_the_cipher_of_the_request(
    messages: Messages, service: Service, responder: Responder, now: datetime, asked: str, answered: str
) -> None:
    message = messages.sign(messages.envelope(cipher=asked))
    request = server.open_request(message, responder, now=now, allow_legacy=True)
    reply = server.success(request, responder, service.issue(request), now=now)
    envelope = asn1_cms.ContentInfo.load(signed_data(reply)["encap_content_info"]["content"].native)["content"]
    identifier = envelope["encrypted_content_info"]["content_encryption_algorithm"]["algorithm"]
    assert identifier.native == answered


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_signs_with_the_digest_of_the_request_and_says_plain_rsa(messages: Messages, service: Service, digest: str) -> None:
    (signer,) = signed_data(service.pki_operation(messages.sign(digest=digest)))["signer_infos"]
    assert signer["digest_algorithm"]["algorithm"].native == digest
    # strongSwan reads rsaEncryption alone
    assert signer["signature_algorithm"]["algorithm"].dotted == "1.2.840.113549.1.1.1"


def test_repeats_transaction_and_nonce_and_adds_a_fresh_one(messages: Messages, service: Service, now: datetime) -> None:
    message = messages.sign()
    first, second = (attributes(service.pki_operation(message)) for _ in range(2))
    for said in (first, second):
        assert said[MESSAGE_TYPE] == "3"
        assert said[PKI_STATUS] == "0"
        assert said[TRANSACTION_ID] == "TRANSACTION-1"
        assert said[RECIPIENT_NONCE] == bytes(range(16))
        assert len(said[SENDER_NONCE]) == 16
        assert said["1.2.840.113549.1.9.5"] == now
        assert FAIL_INFO not in said
    assert first[SENDER_NONCE] not in (second[SENDER_NONCE], bytes(range(16)))


def test_repeats_a_transactionid_octet_by_octet(messages: Messages, service: Service) -> None:
    odd = messages.attributes(SCEP_TRANSACTION_ID=der.element(0x13, b"a_b@c*"))
    assert der.element(0x13, b"a_b@c*") in service.pki_operation(messages.sign(attributes=odd))


def test_without_a_nonce_to_repeat_it_repeats_none(messages: Messages, service: Service) -> None:
    without = messages.attributes(SCEP_SENDER_NONCE=None)
    assert RECIPIENT_NONCE not in attributes(service.pki_operation(messages.sign(attributes=without)))


@pytest.mark.parametrize("fail_info", list(FailInfo))
def test_a_failure_holds_no_envelope(
    messages: Messages,
    responder: Responder,
    now: datetime,
    tmp_path: Path,
    openssl: OpenSSL,
    fail_info: FailInfo,
) -> None:
    request = server.open_request(messages.sign(), responder, now=now)
    reply = server.failure(request, responder, fail_info, now=now, text="the challenge is spent – ask again")
    said = attributes(reply)
    assert (said[MESSAGE_TYPE], said[PKI_STATUS], said[FAIL_INFO]) == ("3", "2", str(int(fail_info)))
    assert said[FAIL_INFO_TEXT] == "the challenge is spent – ask again"
    assert said[RECIPIENT_NONCE] == bytes(range(16))

    (tmp_path / "certrep").write_bytes(reply)
    (tmp_path / "ca.pem").write_bytes(certificates.pem(responder.certificate))
    verify = ("-purpose", "any", "-no_check_time", "-CAfile", tmp_path / "ca.pem", "-out", tmp_path / "content", "-binary")
    openssl("cms", "-verify", "-inform", "DER", "-in", tmp_path / "certrep", *verify)
    assert (tmp_path / "content").read_bytes() == b""


def test_an_error_can_be_answered_by_what_it_carries(messages: Messages, responder: Responder, now: datetime) -> None:
    with pytest.raises(MessageTypeRefused) as caught:
        server.open_request(messages.sign(attributes=messages.attributes(b"18"), digest="sha1"), responder, now=now)
    error = caught.value
    assert error.transaction is not None
    assert error.fail_info is not None
    reply = server.failure(error.transaction, responder, error.fail_info, now=now)
    assert attributes(reply)[TRANSACTION_ID] == "TRANSACTION-1"
    assert FAIL_INFO_TEXT not in attributes(reply)
    assert signed_data(reply)["signer_infos"][0]["digest_algorithm"]["algorithm"].native == "sha1"
