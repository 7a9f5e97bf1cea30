"""CertPoll, GetCert, GetCRL and GetNextCACert: questions written by asn1crypto, answers read by it and by OpenSSL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import certificates, csr, names
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.pki.scep import server
from bramley.pki.scep.errors import BadProof, MessageTypeRefused, ResponderExpired, SCEPError, WrongRecipient
from bramley.pki.scep.messages import FailInfo, MessageType, Poll, Query, Request
from bramley.pki.scep.requests import Responder, addressed, check_signature

from .kit import Messages, issuer_and_serial, issuer_and_subject, pem_key
from .test_replies import FAIL_INFO, PKI_STATUS, attributes, signed_data

OpenSSL = Callable[..., CompletedProcess[str]]
ASN1_NAMES = {"aes-128-cbc": "aes128_cbc", "aes-256-cbc": "aes256_cbc", "des-ede3-cbc": "tripledes_3key"}


@pytest.fixture
def ask(messages: Messages, responder: Responder, now: datetime) -> Callable[..., Request | Poll | Query]:
    """What the server makes of a message of this type around these contents."""

    def ask(kind: bytes, content: bytes, cipher: str = "aes-256-cbc") -> Request | Poll | Query:
        message = messages.sign(messages.envelope(content, cipher), messages.attributes(kind))
        return server.open_message(check_signature(message), responder, now=now)

    return ask


def inside(reply: bytes, messages: Messages, folder: Path, openssl: OpenSSL) -> Any:
    """The SignedData in a CertRep's envelope, opened by OpenSSL and read by asn1crypto."""
    (folder / "envelope").write_bytes(signed_data(reply)["encap_content_info"]["content"].native)
    (folder / "signer.pem").write_bytes(certificates.pem(messages.signer.certificate) + pem_key(messages.signer))
    recipient = ("-recip", folder / "signer.pem", "-out", folder / "inner", "-binary")
    openssl("cms", "-decrypt", "-inform", "DER", "-in", folder / "envelope", *recipient)
    return signed_data((folder / "inner").read_bytes())


def test_every_kind_of_message_opens_as_what_it_is(ask: Any, messages: Messages, responder: Responder) -> None:
    ca, named = responder.certificate, messages.signer.certificate
    request, renewal = (ask(kind, messages.csr) for kind in (b"19", b"17"))
    assert [each.message_type for each in (request, renewal)] == [MessageType.PKCSReq, MessageType.RenewalReq]
    assert request.csr.der == messages.csr
    poll = ask(b"20", issuer_and_subject(ca, named))
    assert isinstance(poll, Poll)
    assert (poll.issuer, poll.subject) == (ca.subject.public_bytes(), named.subject.public_bytes())
    assert poll.transaction_id == "TRANSACTION-1"
    for kind, meant in ((b"21", MessageType.GetCert), (b"22", MessageType.GetCRL)):
        query = ask(kind, issuer_and_serial(named))
        assert isinstance(query, Query)
        assert (query.message_type, query.issuer, query.serial) == (meant, named.issuer.public_bytes(), named.serial_number)


@pytest.mark.parametrize("kind", [b"3", b"18", b"23", b"020", b" 20", b"20 ", b"2_0", b""])
def test_updatereq_and_what_nobody_knows_is_a_bad_request(ask: Any, messages: Messages, kind: bytes) -> None:
    with pytest.raises(MessageTypeRefused) as caught:
        ask(kind, messages.csr)
    assert caught.value.fail_info is FailInfo.badRequest


@pytest.mark.parametrize("kind", [b"19", b"20", b"21", b"22"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"\x30\x00", b"\x30\x02\x30\x00", b"\x30\x04\x30\x00\x02\x00", b"\x30\x06\x30\x00\x30\x00\x30\x00", b"\x31\x80"],
)
def test_contents_of_another_kind_look_like_a_broken_envelope(ask: Any, kind: bytes, content: bytes) -> None:
    """Otherwise anyone could open a recorded envelope, by changing it and its type."""
    with pytest.raises(BadProof) as caught:
        ask(kind, content)
    assert caught.value.fail_info is FailInfo.badMessageCheck
    with pytest.raises(BadProof) as of_a_csr:
        ask(b"19", b"no CSR")
    assert str(caught.value) == str(of_a_csr.value)


def test_a_csr_is_no_question_and_a_question_no_csr(ask: Any, messages: Messages, responder: Responder) -> None:
    question = issuer_and_serial(messages.signer.certificate)
    for kind, content in ((b"20", messages.csr), (b"21", messages.csr), (b"20", question), (b"19", question)):
        with pytest.raises(BadProof):
            ask(kind, content)


def test_a_weak_key_is_refused_here_too(ask: Any, messages: Messages) -> None:
    weak = csr.build(rsa.generate_private_key(65537, 1024), names.make("device 1"))
    with pytest.raises(SCEPError) as caught:
        ask(b"19", weak)
    assert caught.value.fail_info is FailInfo.badAlg


def test_an_expired_responder_opens_no_question(messages: Messages, responder: Responder) -> None:
    message = messages.sign(messages.envelope(issuer_and_serial(messages.signer.certificate)), messages.attributes(b"21"))
    late = responder.certificate.not_valid_after_utc + timedelta(seconds=1)
    with pytest.raises(ResponderExpired):
        server.open_message(check_signature(message), responder, now=late)


@pytest.mark.parametrize("cipher", list(ASN1_NAMES))
def test_a_crl_comes_alone_in_the_cipher_of_the_question(
    ask: Any,
    messages: Messages,
    responder: Responder,
    identity_ca: Authority,
    now: datetime,
    tmp_path: Path,
    openssl: OpenSSL,
    cipher: str,
) -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(identity_ca.certificate.subject)
    made = builder.last_update(now).next_update(now + timedelta(days=1)).sign(responder.key, hashes.SHA256())
    published = made.public_bytes(Encoding.DER)
    query = ask(b"22", issuer_and_serial(messages.signer.certificate), cipher)

    reply = server.crl(query, responder, published, now=now)

    assert attributes(reply)[PKI_STATUS] == "0"
    opened = inside(reply, messages, tmp_path, openssl)
    assert [each.chosen.dump() for each in opened["crls"]] == [published]
    assert not opened["certificates"]
    assert len(opened["signer_infos"]) == 0
    envelope = asn1_cms.ContentInfo.load(signed_data(reply)["encap_content_info"]["content"].native)["content"]
    algorithm = envelope["encrypted_content_info"]["content_encryption_algorithm"]
    assert algorithm["algorithm"].native == ASN1_NAMES[cipher]
    listed = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "inner", "-print_certs").stdout
    assert "X509 CRL" in listed


def test_a_certificate_that_was_polled_or_asked_for_comes_like_an_issued_one(
    ask: Any, messages: Messages, responder: Responder, identity_ca: Authority, now: datetime, tmp_path: Path, openssl: OpenSSL
) -> None:
    key = messages.signer.key.public_key()
    issued = authority.issue(identity_ca, profiles.DEVICE_IDENTITY, key, subject=names.make("device 1"), now=now)
    poll = ask(b"20", issuer_and_subject(responder.certificate, messages.signer.certificate))
    query = ask(b"21", issuer_and_serial(issued))
    for asked in (poll, query):
        reply = server.success(asked, responder, issued, now=now)
        outer = [each.chosen.dump() for each in signed_data(reply)["certificates"]]
        assert outer == [certificates.der(issued), certificates.der(responder.certificate)]
        within = inside(reply, messages, tmp_path, openssl)["certificates"]
        assert [each.chosen.dump() for each in within] == [certificates.der(issued)]


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_pending_is_empty_and_verifies(
    messages: Messages, responder: Responder, now: datetime, tmp_path: Path, openssl: OpenSSL, digest: str
) -> None:
    signed = check_signature(messages.sign(digest=digest))
    reply = server.pending(server.open_message(signed, responder, now=now), responder, now=now)

    said = attributes(reply)
    assert said[PKI_STATUS] == "3"
    assert FAIL_INFO not in said
    (signer,) = signed_data(reply)["signer_infos"]
    assert signer["digest_algorithm"]["algorithm"].native == digest
    (tmp_path / "certrep").write_bytes(reply)
    (tmp_path / "ca.pem").write_bytes(certificates.pem(responder.certificate))
    verify = ("-purpose", "any", "-no_check_time", "-CAfile", tmp_path / "ca.pem", "-out", tmp_path / "content", "-binary")
    openssl("cms", "-verify", "-inform", "DER", "-in", tmp_path / "certrep", *verify)
    assert (tmp_path / "content").read_bytes() == b""


def test_the_one_that_is_written_to_answers(
    messages: Messages, responder: Responder, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    """While a CA or RA is replaced, clients write to the one that they were told of."""
    newer = Responder(authority.self_signed(profiles.IDENTITY_CA, other_key, names.make("Newer CA"), now=now), other_key)
    signed = check_signature(messages.sign())
    assert addressed(signed, [newer, responder]) is responder
    assert addressed(signed, [responder, newer]) is responder
    assert addressed(signed, [newer]) is newer
    assert addressed(check_signature(messages.sign(b"no envelope")), [newer, responder]) is newer
    with pytest.raises(WrongRecipient):
        server.open_message(signed, newer, now=now)


def test_the_next_ca_is_vouched_for_by_the_one_in_force(
    identity_ca: Authority, other_key: rsa.RSAPrivateKey, now: datetime, tmp_path: Path, openssl: OpenSSL
) -> None:
    coming = authority.self_signed(profiles.IDENTITY_CA, other_key, names.make("Identity CA 2"), now=now)

    content_type, body = server.next_ca_certificates(identity_ca, [coming], now=now)

    assert content_type == "application/x-x509-next-ca-cert"
    (tmp_path / "answer").write_bytes(body)
    (tmp_path / "ca.pem").write_bytes(certificates.pem(identity_ca.certificate))
    verify = ("-purpose", "any", "-no_check_time", "-CAfile", tmp_path / "ca.pem", "-out", tmp_path / "inner", "-binary")
    openssl("cms", "-verify", "-inform", "DER", "-in", tmp_path / "answer", *verify)
    found = signed_data((tmp_path / "inner").read_bytes())["certificates"]
    assert [each.chosen.dump() for each in found] == [certificates.der(coming)]


def test_the_next_ca_is_offered_only_where_there_is_one() -> None:
    assert b"GetNextCACert" not in server.capabilities()
    assert server.capabilities(next_ca=True).splitlines() == [*server.capabilities().splitlines(), b"GetNextCACert"]
