"""Opening requests: what honest clients send in odd forms, and what others try."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.pki import certificates, cms, csr, keys, names
from bramley.pki.ca import authority, profiles
from bramley.pki.cms import ber, der
from bramley.pki.scep.enrollment import Signer
from bramley.pki.scep.errors import (
    AlgorithmRefused,
    BadProof,
    MalformedMessage,
    MessageTypeRefused,
    ResponderExpired,
    SCEPError,
    WrongRecipient,
)
from bramley.pki.scep.messages import FailInfo, MessageType
from bramley.pki.scep.server import Responder, open_request, read_message

from .kit import Messages

ENCRYPTED_KEY = b"\x04\x82\x01\x00"
"""The header of an OCTET STRING of 256 octets: a content key under RSA-2048."""


def refused(message: bytes, responder: Responder, now: datetime) -> SCEPError:
    with pytest.raises(SCEPError) as caught:
        open_request(message, responder, now=now)
    # both or neither: a CertRep needs somebody to answer to
    assert (caught.value.fail_info is None) == (caught.value.transaction is None)
    return caught.value


def test_a_pkcsreq_opens(messages: Messages, responder: Responder, now: datetime) -> None:
    message = messages.sign()
    request = open_request(message, responder, now=now)
    assert request.message_type is MessageType.PKCSReq
    assert request.transaction_id == "TRANSACTION-1"
    assert request.sender_nonce == bytes(range(16))
    assert request.csr.der == messages.csr
    assert request.challenge == "open sesame"
    assert (request.digest, request.cipher) == ("sha256", "aes-256-cbc")
    assert request.signer_certificate == messages.signer.certificate
    assert request.message_sha256 == hashlib.sha256(message).hexdigest()


def test_the_challenge_is_in_no_repr(messages: Messages, responder: Responder, now: datetime) -> None:
    assert "open sesame" not in repr(open_request(messages.sign(), responder, now=now))


def test_the_signer_key_may_differ_from_the_key_in_the_csr(
    messages: Messages, responder: Responder, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    messages.csr = csr.build(other_key, names.make("device 1"))
    assert open_request(messages.sign(), responder, now=now).csr.der == messages.csr


def test_a_message_in_indefinite_lengths_and_pieces_opens(messages: Messages, responder: Responder, now: datetime) -> None:
    (kind, wrapped) = ber.parse(messages.sign()).children
    version, digests, encapsulated, certificates, signers = wrapped.children[0].children
    content = encapsulated.children[1].children[0].content
    pieces = b"".join(der.octet_string(content[at : at + 700]) for at in range(0, len(content), 700))
    streamed = indefinite(0x30, encapsulated.children[0].raw, indefinite(0xA0, indefinite(0x24, pieces)))
    signed = indefinite(0x30, version.raw, digests.raw, streamed, indefinite(0xA0, certificates.content), signers.raw)
    message = indefinite(0x30, kind.raw, indefinite(0xA0, signed))
    assert open_request(message, responder, now=now).csr.der == messages.csr


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


@pytest.mark.parametrize("nonce", [b"12345678", None, bytes(64)], ids=["8 octets, as macOS 10.11", "none", "64 octets"])
def test_nonces_of_other_lengths_are_taken(messages: Messages, responder: Responder, now: datetime, nonce: bytes | None) -> None:
    sent = messages.attributes(SCEP_SENDER_NONCE=None if nonce is None else der.octet_string(nonce))
    assert open_request(messages.sign(attributes=sent), responder, now=now).sender_nonce == nonce


@pytest.mark.parametrize("nonce", [der.octet_string(b""), der.octet_string(bytes(65)), der.integer(7)])
def test_impossible_nonces_are_not(messages: Messages, responder: Responder, now: datetime, nonce: bytes) -> None:
    error = refused(messages.sign(attributes=messages.attributes(SCEP_SENDER_NONCE=nonce)), responder, now)
    assert isinstance(error, MalformedMessage)


@pytest.mark.parametrize(
    "message_type", [b"3", b"18", b"20", b"21", b"22", b"99", b"19x", b" 19", b"019", b"+19", b"-19", b"1_9", b"", None]
)
def test_only_pkcsreq_and_renewalreq_are_served(
    messages: Messages, responder: Responder, now: datetime, message_type: bytes | None
) -> None:
    error = refused(messages.sign(attributes=messages.attributes(message_type)), responder, now)
    assert isinstance(error, MessageTypeRefused)
    assert error.fail_info is FailInfo.badRequest


def test_a_messagetype_that_is_a_number_is_malformed(messages: Messages, responder: Responder, now: datetime) -> None:
    error = refused(messages.sign(attributes=messages.attributes(SCEP_MESSAGE_TYPE=der.integer(19))), responder, now)
    assert isinstance(error, MalformedMessage)
    assert error.fail_info is FailInfo.badRequest


def test_two_messagetypes_are_malformed(messages: Messages, responder: Responder, now: datetime) -> None:
    both = der.element(0x13, b"19") + der.element(0x13, b"18")
    error = refused(messages.sign(attributes=messages.attributes(SCEP_MESSAGE_TYPE=both)), responder, now)
    assert isinstance(error, MalformedMessage)
    assert "2 values" in str(error)


@pytest.mark.parametrize(
    "transaction_id",
    [
        None,
        der.element(0x13, b""),
        der.element(0x13, b"A" * 256),
        der.element(0x13, b"A" * 2000),
        der.utf8_string("Ä"),
        der.utf8_string("a\nb"),
        der.integer(1),
    ],
)
def test_without_a_proper_transactionid_there_is_nobody_to_answer(
    messages: Messages, responder: Responder, now: datetime, transaction_id: bytes | None
) -> None:
    error = refused(messages.sign(attributes=messages.attributes(SCEP_TRANSACTION_ID=transaction_id)), responder, now)
    assert isinstance(error, MalformedMessage)
    assert error.fail_info is None


def test_a_message_for_another_ca_is_answered_with_badcertid(
    messages: Messages, responder: Responder, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    name = responder.certificate.subject
    replaced = Responder(authority.self_signed(profiles.IDENTITY_CA, other_key, name, now=now), other_key)
    error = refused(messages.sign(), replaced, now)
    assert isinstance(error, WrongRecipient)
    assert error.fail_info is FailInfo.badCertId


def test_a_csr_signed_by_another_key_proves_nothing(messages: Messages, responder: Responder, now: datetime) -> None:
    broken = bytearray(messages.csr)
    broken[-1] ^= 1
    error = refused(messages.sign(messages.envelope(bytes(broken))), responder, now)
    assert isinstance(error, BadProof)
    assert error.fail_info is FailInfo.badMessageCheck


def test_broken_padding_and_broken_contents_look_the_same(messages: Messages, responder: Responder, now: datetime) -> None:
    envelope = bytearray(messages.envelope())
    envelope[-1] ^= 1
    padding = refused(messages.sign(bytes(envelope)), responder, now)
    contents = refused(messages.sign(messages.envelope(b"no request at all")), responder, now)
    envelope = bytearray(messages.envelope())
    envelope[envelope.index(ENCRYPTED_KEY) + len(ENCRYPTED_KEY) + 1] ^= 1
    key = refused(messages.sign(bytes(envelope)), responder, now)
    assert {type(error) for error in (padding, contents, key)} == {BadProof}
    assert len({str(error) for error in (padding, contents, key)}) == 1
    assert {error.fail_info for error in (padding, contents, key)} == {FailInfo.badMessageCheck}


@pytest.mark.parametrize("envelope", [b"", b"\x30\x00", b"not a message"])
def test_no_envelope_is_malformed(messages: Messages, responder: Responder, now: datetime, envelope: bytes) -> None:
    error = refused(messages.sign(envelope), responder, now)
    assert isinstance(error, MalformedMessage)
    assert error.fail_info is FailInfo.badRequest


def test_a_weak_key_is_answered_with_badalg(messages: Messages, responder: Responder, now: datetime) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    messages.csr = csr.build(weak, names.make("device 1"))
    error = refused(messages.sign(), responder, now)
    assert isinstance(error, AlgorithmRefused)
    assert error.fail_info is FailInfo.badAlg
    assert read_message(messages.sign(), responder).csr.der == messages.csr


def test_a_weak_signer_is_refused_unanswered(messages: Messages, responder: Responder, now: datetime) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    messages.signer = Signer(self_signed(weak, now), weak)
    error = refused(messages.sign(), responder, now)
    assert isinstance(error, AlgorithmRefused)
    assert error.fail_info is None


def test_an_ec_signer_cannot_be_answered_and_is_told(messages: Messages, responder: Responder, now: datetime) -> None:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    message = cms.sign(
        messages.envelope(), key=key, certificate=self_signed(key, now), attributes=messages.attributes(), signing_time=now
    )
    error = refused(message, responder, now)
    assert isinstance(error, AlgorithmRefused)
    assert error.fail_info is FailInfo.badAlg
    assert "RSA" in str(error)


def self_signed(key: keys.PrivateKey, now: datetime) -> x509.Certificate:
    name = names.make("signer")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    return builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())


def test_a_signer_whose_names_cannot_be_read_is_refused(messages: Messages, responder: Responder, now: datetime) -> None:
    message = messages.sign()
    certificate = certificates.der(messages.signer.certificate)
    common_name = b"\x0c\x08device 1"
    assert certificate.count(common_name) == 2
    # not UTF-8, in issuer and subject and so in the SignerInfo too
    unreadable = message.replace(common_name, b"\x0c\x08device \xff")
    assert isinstance(refused(unreadable, responder, now), MalformedMessage)


def test_single_des_needs_leave(messages: Messages, responder: Responder, now: datetime) -> None:
    message = messages.sign(messages.envelope(cipher="des-cbc"))
    error = refused(message, responder, now)
    assert isinstance(error, AlgorithmRefused)
    assert error.fail_info is FailInfo.badAlg
    assert open_request(message, responder, now=now, allow_legacy=True).cipher == "des-cbc"


def test_sha1_and_triple_des_are_taken_as_they_come(messages: Messages, responder: Responder, now: datetime) -> None:
    request = open_request(messages.sign(messages.envelope(cipher="des-ede3-cbc"), digest="sha1"), responder, now=now)
    assert (request.digest, request.cipher) == ("sha1", "des-ede3-cbc")


@pytest.mark.parametrize(
    ("options", "kind"),
    [(["-md", "md5"], AlgorithmRefused), (["-md", "sha224"], AlgorithmRefused), (["-noattr"], BadProof)],
)
def test_md5_and_unattributed_signatures_are_refused(
    messages: Messages,
    responder: Responder,
    now: datetime,
    sign_by_openssl: Callable[..., bytes],
    options: list[str],
    kind: type[SCEPError],
) -> None:
    error = refused(sign_by_openssl(messages.envelope(), messages.signer, *options), responder, now)
    assert isinstance(error, kind)
    assert error.fail_info is None


def test_openssl_signs_but_knows_no_transaction(
    messages: Messages, responder: Responder, now: datetime, sign_by_openssl: Callable[..., bytes]
) -> None:
    error = refused(sign_by_openssl(messages.envelope(), messages.signer, "-md", "sha256"), responder, now)
    assert isinstance(error, MalformedMessage)
    assert "transactionID" in str(error)


@pytest.mark.parametrize("count", [0, 2])
def test_one_signer_it_must_be(messages: Messages, responder: Responder, now: datetime, count: int) -> None:
    (kind, wrapped) = ber.parse(messages.sign()).children
    *front, signers = wrapped.children[0].children
    signed = der.sequence(*(each.raw for each in front), der.element(0x31, signers.content * count))
    error = refused(der.sequence(kind.raw, der.context(0, signed)), responder, now)
    assert isinstance(error, BadProof)
    assert error.fail_info is None


def test_an_expired_responder_opens_nothing(messages: Messages, responder: Responder) -> None:
    with pytest.raises(ResponderExpired) as caught:
        open_request(messages.sign(), responder, now=responder.certificate.not_valid_after_utc + timedelta(seconds=1))
    assert caught.value.fail_info is None


def test_a_message_cut_short_is_malformed(messages: Messages, responder: Responder, now: datetime) -> None:
    message = messages.sign()
    for length in range(0, len(message), 50):
        error = refused(message[:length], responder, now)
        assert isinstance(error, MalformedMessage)
        assert error.fail_info is None


@pytest.mark.parametrize("extra", [b"\0", b"\0\0", b"\x30\x00"])
def test_nothing_may_follow(messages: Messages, responder: Responder, now: datetime, extra: bytes) -> None:
    assert isinstance(refused(messages.sign() + extra, responder, now), MalformedMessage)


def test_a_huge_message_is_not_even_read(responder: Responder, now: datetime) -> None:
    assert isinstance(refused(bytes(1024 * 1024 + 1), responder, now), MalformedMessage)


# a changed octet can make a country of three letters, at which `cryptography` warns and goes on
@pytest.mark.filterwarnings("ignore:Attribute's length")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_message_is_refused_or_means_the_same(
    messages: Messages, responder: Responder, now: datetime, data: st.DataObject
) -> None:
    """What no signature covers (the signer's own certificate, say) may change; what the message asks for may not."""
    message = bytearray(messages.sign())
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = open_request(bytes(message), responder, now=now)
    except SCEPError:
        return
    assert request.csr.der == messages.csr
    assert request.transaction_id == "TRANSACTION-1"
    assert request.sender_nonce == bytes(range(16))
    assert request.signer_certificate.public_key() == messages.signer.certificate.public_key()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=400))
def test_noise_is_malformed(responder: Responder, noise: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_message(noise, responder)
