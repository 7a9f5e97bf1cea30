"""Tokens and answers that say something wrong under a good signature, and those whose signature is not: each is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from bramley.pki import certificates, oids, timestamps
from bramley.pki.cms import CMSError, SignaturePolicy, ber, der
from bramley.pki.timestamps import BadTimestamp, Declined, TimestampError, info
from tests.pki.timestamps.authority import A_DAY, AFTER, Forge, Signer, failure, make_signer

MESSAGE = b"the value of a signature"
ASKED = timestamps.request(MESSAGE)
TIME = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LENIENT = SignaturePolicy(digests=frozenset({"sha1", "sha256"}), allow_without_attributes=False)


@pytest.fixture(scope="session")
def forge(signer: Signer) -> Forge:
    return Forge(signer, MESSAGE, ASKED.nonce, TIME)


def refused(forged: Forge, words: str) -> None:
    with pytest.raises(BadTimestamp, match=words):
        timestamps.accept(forged.answer(), ASKED)


@pytest.mark.parametrize("ess", ["v1", "v2", "both", "sha512"])
@pytest.mark.parametrize("with_serial", [False, True])
def test_an_honest_answer_is_taken(ess: str, with_serial: bool, forge: Forge, signer: Signer) -> None:
    serial = signer.certificate.serial_number if with_serial else None
    found = timestamps.accept(forge.but(ess=ess, serial=serial).answer(), ASKED)
    assert (found.time, found.accuracy, found.certificate) == (TIME, timedelta(), signer.certificate)
    assert timestamps.accept(forge.but(status={"status": "granted_with_mods"}).answer(), ASKED).time == TIME


OTHER = certificates.der(make_signer("Another").certificate)
CRITICAL = [{"extn_id": "1.2.3.4", "critical": True, "extn_value": b"\x05\x00"}]

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"nonce": ASKED.nonce + 1}, "nonce of the request"),
    "no nonce": ({"nonce": None}, "nonce of the request"),
    "another message": ({"message": MESSAGE + b"!"}, "over something else"),
    "another digest than was asked for": ({"imprint_digest": "sha512"}, "digest by sha256"),
    "a digest that is worth nothing": ({"imprint_digest": "sha1"}, "found sha1"),
    "no certificate named": ({"ess": ""}, "there is none"),
    "another certificate named": ({"named": OTHER}, "names another certificate"),
    "another certificate named, the old way": ({"named": OTHER, "ess": "v1"}, "names another certificate"),
    "another serial number named": ({"serial": 12}, "names another certificate"),
    "a certificate named by MD5": ({"ess": "md5"}, "found 1.2.840.113549.2.5"),
    "not a TSTInfo": ({"content_type": oids.DATA}, "content of type 1.2.840.113549.1.9.16.1.4"),
    "another version": ({"info": {"version": 1 << 40_000}}, "version 1"),
    "a critical extension": ({"info": {"extensions": CRITICAL}}, "critical extensions"),
    "a time after the certificate's": ({"time": AFTER + A_DAY}, "is valid from 2020-01-01 to 2080-01-01"),
    "a time before the certificate's": ({"time": datetime(2019, 12, 31, tzinfo=UTC)}, "is valid from 2020-01-01"),
    "an accuracy beyond all bounds": ({"info": {"accuracy": {"seconds": 1, "millis": 1000}}}, "below a thousand"),
    "no signer's certificate": ({"sign": {"certificates": ()}}, "not among the 0"),
    "SHA-1 in the signature": ({"sign": {"digest": "sha1", "allow_sha1": True}}, "found sha1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_well_signed_token_that_says_something_wrong_is_refused(name: str, forge: Forge) -> None:
    changes, words = WRONG[name]
    refused(forge.but(**changes), words)


def weak() -> Signer:
    return make_signer(key=rsa.generate_private_key(65537, 1024))


UNFIT: dict[str, tuple[Callable[[], Signer], str]] = {
    "no usage": (lambda: make_signer(usages=()), "may not give timestamps"),
    "another usage": (lambda: make_signer(usages=(ExtendedKeyUsageOID.CODE_SIGNING,)), "may not give timestamps"),
    "any usage": (lambda: make_signer(usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), "may not give timestamps"),
    "one usage too many": (
        lambda: make_signer(usages=(ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)),
        "may not give timestamps",
    ),
    "the usage, not critical": (lambda: make_signer(critical=False), "critically and alone"),
    "a CA": (lambda: make_signer(ca=True), "may not give timestamps"),
    "a weak key": (weak, "Expected an RSA key of 2048"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_authority_that_may_not_give_timestamps_is_refused(name: str, forge: Forge) -> None:
    make, words = UNFIT[name]
    refused(forge.but(signer=make()), words)


def test_both_ways_of_naming_the_certificate_have_to_name_it(forge: Forge, signer: Signer) -> None:
    """The second of two could otherwise point elsewhere unnoticed."""
    honest = forge.attributes()
    foreign = forge.but(named=OTHER, ess="v1").attributes()
    refused(forge.but(sign={"attributes": [*honest, *foreign]}), "names another certificate")
    twice = forge.but(sign={"attributes": [(oids.SIGNING_CERTIFICATE_V2, honest[0][1] + der.null())]})
    refused(twice, "names another certificate")
    right = der.octet_string(hashlib.sha1(certificates.der(signer.certificate)).digest())
    longer = der.sequence(der.sequence(der.sequence(right, der.sequence(), der.null())))
    for empty in (der.sequence(), der.sequence(der.sequence()), der.sequence(der.sequence(der.sequence())), longer):
        refused(forge.but(sign={"attributes": [(oids.SIGNING_CERTIFICATE, empty)]}), "names another certificate")


def test_the_digest_of_older_tokens_is_for_the_policy_to_allow(forge: Forge) -> None:
    older = forge.but(imprint_digest="sha1", sign={"digest": "sha1", "allow_sha1": True}).token()
    assert timestamps.verify(older, MESSAGE, policy=LENIENT).time == TIME
    with pytest.raises(BadTimestamp):
        timestamps.accept(forge.but(imprint_digest="sha1").answer(), ASKED)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (failure(), r"rejection\.$"),
        (failure("bad_alg", text="not today"), r"rejection \(not today, badAlg\)"),
        (failure("system_failure", "time_not_available"), r"rejection \(timeNotAvailable, systemFailure\)"),
        (failure(text="\x1b[31mred\nlines" + "x" * 1000), r"\( \[31mred linesx+\)"),
        ({"status": "waiting"}, "waiting"),
        ({"status": "revocation_notification"}, "revocationNotification"),
    ],
)
def test_an_authority_that_declines_is_told_apart(status: dict[str, Any], words: str, forge: Forge) -> None:
    with pytest.raises(Declined, match=words) as caught:
        timestamps.accept(forge.but(status=status).answer(), ASKED)
    assert len(caught.value.message) < 300


def test_a_token_under_a_status_that_rejects_does_not_count(forge: Forge) -> None:
    rejecting = tsp.PKIStatusInfo(failure("bad_request")).dump()
    with pytest.raises(Declined):
        timestamps.accept(der.sequence(rejecting, forge.token()), ASKED)


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "a page": b"<html>Welcome to our network</html>",
    "an empty sequence": der.sequence(),
    "an empty status": der.sequence(der.sequence()),
    "granted without a token": der.sequence(der.sequence(der.integer(0))),
    "granted with an integer": der.sequence(der.sequence(der.integer(0)), der.integer(1)),
    "three parts": der.sequence(der.sequence(der.integer(0)), der.integer(1), der.integer(1)),
    "a status that is text": der.sequence(der.sequence(der.utf8_string("granted"))),
    "a status beyond all numbers": der.sequence(der.sequence(der.integer(1 << 40_000))),
    "deep": b"\x30\x80" * 1000,
    "too large": der.sequence(der.sequence(der.integer(0)), der.octet_string(bytes(70_000))),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_answer_is_refused(name: str) -> None:
    with pytest.raises(TimestampError) as caught:
        timestamps.accept(GARBAGE[name], ASKED)
    assert len(caught.value.message) < 2000


def test_a_token_of_more_than_there_is_room_for_is_refused(forge: Forge) -> None:
    large = forge.but(sign={"others": [forge.signer.certificate] * 30})
    assert timestamps.LARGEST_TOKEN < len(large.token()) < 64 * 1024
    refused(large, "at most 16384")


def test_what_follows_a_token_or_an_answer_is_refused(forge: Forge) -> None:
    with pytest.raises(BadTimestamp):
        timestamps.accept(forge.answer() + b"\0", ASKED)
    with pytest.raises(BadTimestamp):
        timestamps.verify(forge.token() + b"\0", MESSAGE, policy=LENIENT)


TIMES: dict[bytes, datetime | None] = {
    b"20261124120000Z": TIME,
    b"20261124120000.5Z": TIME.replace(microsecond=500_000),
    b"20261124120000.000001Z": TIME.replace(microsecond=1),
    b"20261124120000.123456789Z": TIME.replace(microsecond=123_456),
    b"20261124120000.50Z": None,
    b"20261124120000.Z": None,
    b"20261124120000,5Z": None,
    b"20261124120000": None,
    b"20261124120000+0100": None,
    b"202611241200Z": None,
    b"20260431120000Z": None,
    b"20261124120060Z": None,
    b"20261124120000Z\n": None,
    "２０261124120000Z".encode(): None,
    b"": None,
}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_read_with_fractions_and_in_one_form(text: bytes, forge: Forge) -> None:
    said = forge.said().replace(der.element(0x18, b"20261124120000Z"), der.element(0x18, text))
    said = der.sequence(said[said.index(b"\x02\x01\x01") :])
    expected = TIMES[text]
    if expected is not None:
        assert info.read(said).time == expected
        return
    with pytest.raises(BadTimestamp, match="Expected the time"):
        info.read(said)


def test_asn1crypto_writes_everything_that_may_be_in_one_and_all_of_it_is_read(forge: Forge) -> None:
    tsa = asn1_x509.GeneralName("uniform_resource_identifier", "https://authority.example/")
    full = forge.but(
        info={
            "accuracy": {"seconds": 2, "millis": 30, "micros": 4},
            "ordering": True,
            "tsa": tsa,
            "extensions": [{"extn_id": "1.2.3.4", "critical": False, "extn_value": b"\x05\x00"}],
        }
    )
    found = info.read(full.said())
    assert found.accuracy == timedelta(seconds=2, milliseconds=30, microseconds=4)
    assert (found.nonce, found.time, found.algorithm) == (ASKED.nonce, TIME, oids.SHA256)


@pytest.mark.parametrize(
    "parts",
    [
        (der.integer(5), der.integer(5)),
        (der.integer(5), der.element(0x01, b"\xff")),
        (der.utf8_string("more"),),
        (der.sequence(der.element(0x81, b"\1"), der.element(0x80, b"\1")),),
        (der.sequence(der.element(0x80, b"")),),
        (der.sequence(der.integer(-1)),),
    ],
    ids=["a nonce twice", "out of order", "unknown", "accuracy out of order", "accuracy empty", "accuracy below zero"],
)
def test_the_parts_come_once_in_order_and_in_der(parts: tuple[bytes, ...], forge: Forge) -> None:
    plain = forge.but(nonce=None).said()
    said = der.sequence(plain[plain.index(b"\x02\x01\x01") :], *parts)
    with pytest.raises(BadTimestamp):
        timestamps.accept(forge.but(raw_info=said).answer(), ASKED)


@pytest.mark.parametrize("with_length", [b"\x80", b"\x83\x00"])
def test_what_is_signed_has_to_be_der(with_length: bytes, forge: Forge) -> None:
    """RFC 3161 section 2.4.2: one content, one way to write it."""
    inside = ber.parse(forge.said()).content
    length = with_length if with_length == b"\x80" else with_length + len(inside).to_bytes(2, "big")
    said = b"\x30" + length + inside + (bytes(2) if with_length == b"\x80" else b"")
    assert ber.parse(said).content == inside
    refused(forge.but(raw_info=said), "should be DER")


@cache
def honest_answer() -> bytes:
    return Forge(make_signer(), MESSAGE, ASKED.nonce, TIME).answer()


@given(st.data())
def test_damaged_answers_are_refused_and_never_crash(data: st.DataObject) -> None:
    """A few octets are changed, left out or put in, anywhere; what is still taken says the same thing."""
    answer = bytearray(honest_answer())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(answer) - 1))
        cut = data.draw(st.integers(0, 4))
        answer[at : at + cut] = data.draw(st.binary(max_size=4))
    try:
        found = timestamps.accept(bytes(answer), ASKED)
    except TimestampError:
        return
    assert found.time == TIME


@given(st.binary(max_size=300))
def test_anything_signed_as_a_tstinfo_is_read_or_refused(content: bytes) -> None:
    for said in (content, der.sequence(content)):
        try:
            info.read(said)
        except (TimestampError, CMSError):
            continue
