"""mdmcert.download: what goes there, what it says, and what its mail brings."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.errors import ServiceTrouble
from bramley.apple.push_certificate import (
    BadApplicant,
    BadReply,
    MdmcertRefused,
    ReplyForAnother,
    SignedRequest,
    decrypt,
    encryption_certificate,
    read_request,
    sign_request_body,
    submit,
)
from bramley.errors import BadInput, OutsideTrouble
from bramley.pki import certificates, cms, keys
from tests.apple.push_certificate.conftest import KeyOf, OpenSSL
from tests.apple.site import HANG, Site, answer, redirect, site
from tests.conftest import NOW

CLIENT_KEY = "c0ffee" * 10
EC = ec.generate_private_key(ec.SECP256R1())
Recipients = list[tuple[x509.Certificate, keys.PrivateKey]]


@pytest.fixture(scope="session")
def recipient(rsa_key: KeyOf) -> tuple[x509.Certificate, keys.PrivateKey]:
    return encryption_certificate(rsa_key("encryption"), NOW), rsa_key("encryption")


@pytest.fixture(scope="session")
def others(rsa_key: KeyOf) -> Recipients:
    return [(encryption_certificate(rsa_key("other"), NOW), rsa_key("other")) for _ in range(2)]


@pytest.fixture(scope="session")
def reply(signed: SignedRequest, recipient: tuple[x509.Certificate, keys.PrivateKey]) -> bytes:
    return cms.encrypt(signed.to_file(), recipients=[recipient[0]])


def test_the_certificate_to_encrypt_to(recipient: tuple[x509.Certificate, keys.PrivateKey]) -> None:
    certificate, key = recipient
    read = asn1_x509.Certificate.load(certificates.der(certificate), strict=True)
    assert read.subject.native == read.issuer.native == {"common_name": "mdmcert.download"}
    assert read.key_usage_value.native == {"key_encipherment"}
    assert read.subject_alt_name_value.native == ["mdmcert.download"]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365)
    assert certificate.not_valid_before_utc == NOW
    assert certificate.serial_number.bit_length() > 64
    assert certificates.matches(certificate, key.public_key())
    certificate.verify_directly_issued_by(certificate)


def test_only_strong_rsa_keys_are_encrypted_to(rsa_key: KeyOf) -> None:
    for key, said in ((EC, "elliptic"), (rsa_key("weak", 1024), "1024")):
        with pytest.raises(BadApplicant, match=said):
            encryption_certificate(key, NOW)


def body(csr: x509.CertificateSigningRequest, to: x509.Certificate, **changes: str) -> bytes:
    return sign_request_body(csr, to, **{"email": "MDM@orchard.example", "client_key": CLIENT_KEY, **changes})


def test_what_is_posted(csr: x509.CertificateSigningRequest, recipient: tuple[x509.Certificate, keys.PrivateKey]) -> None:
    """base64 of the PEM text, not of the DER."""
    made = json.loads(body(csr, recipient[0]))
    assert list(made) == ["csr", "email", "key", "encrypt"]
    assert x509.load_pem_x509_csr(base64.b64decode(made["csr"], validate=True)) == csr
    assert x509.load_pem_x509_certificate(base64.b64decode(made["encrypt"], validate=True)) == recipient[0]
    assert (made["email"], made["key"]) == ("mdm@orchard.example", CLIENT_KEY)


@pytest.mark.parametrize(
    "changes", [{"email": "orchard"}, *({"client_key": key} for key in ("", "s3cret key", "s3cret\n", "s3crét"))]
)
def test_what_cannot_be_posted(
    csr: x509.CertificateSigningRequest, recipient: tuple[x509.Certificate, keys.PrivateKey], changes: dict[str, str]
) -> None:
    with pytest.raises(BadApplicant) as caught:
        body(csr, recipient[0], **changes)
    assert "s3cr" not in str(caught.value)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


def said(**values: Any) -> bytes:
    return answer(200, json.dumps(values).encode(), "Content-Type: application/json")


async def test_success(service: Site, csr: x509.CertificateSigningRequest, recipient: Any) -> None:
    service.answers["/sign"] = said(result="success")
    posted = body(csr, recipient[0])
    await submit(posted, url=f"{service.url}sign", ca_pem=service.ca_pem)
    head, _, came = service.heard[0].partition(b"\r\n\r\n")
    assert came == posted
    assert head.startswith(b"POST /sign HTTP/1.1\r\n")
    assert b"content-type: application/json\r\n" in head.lower() + b"\r\n"
    assert b"user-agent: bramley/" in head.lower()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"reason": "email not registered"}, "email not registered"),
        ({"reason": f"bad key {CLIENT_KEY}!"}, "bad key …!"),
        ({"reason": "a\x1b[31mb\nc"}, "a [31mb c"),
        ({"reason": "x" * 5000}, "x" * 300),
        ({"reason": 7}, ""),
        ({}, ""),
    ],
)
async def test_a_refusal_is_in_the_services_words(
    service: Site, csr: x509.CertificateSigningRequest, recipient: Any, given: dict[str, Any], reason: str
) -> None:
    service.answers["/"] = said(result="failure", **given)
    with pytest.raises(MdmcertRefused) as caught:
        await submit(body(csr, recipient[0]), url=service.url, ca_pem=service.ca_pem)
    assert caught.value.reason == reason
    assert reason in str(caught.value)
    assert isinstance(caught.value, BadInput)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (answer(200, b"<!doctype html><html>Welcome</html>"), "not its JSON"),
        (answer(200, b""), "not its JSON"),
        (answer(200, b"[" * 50_000), "not its JSON"),
        (answer(200, b'"success"'), "not its JSON"),
        (said(result="maybe"), "not its JSON"),
        (said(result=["success"]), "not its JSON"),
        (answer(500, json.dumps({"result": "success"}).encode()), "status 500"),
        (answer(201, json.dumps({"result": "success"}).encode()), "status 201"),
        (answer(404, b"<html></html>"), "status 404"),
        (redirect("/elsewhere"), "status 302"),
        (answer(200, b" " * 70_000), "more than 65536 octets"),
        (HANG, "did not answer within 0.5 seconds"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "was not reached"),
    ],
    ids=["HTML", "nothing", "deep", "a string", "another word", "a list", "500", "201", "404", "302", "large", "hang", "noise"],
)
async def test_any_other_answer_is_one_clear_error(
    service: Site, csr: x509.CertificateSigningRequest, recipient: Any, given: bytes, what: str
) -> None:
    service.answers["/"] = given
    with pytest.raises(ServiceTrouble, match=what) as caught:
        await submit(body(csr, recipient[0]), url=service.url, ca_pem=service.ca_pem, seconds=0.5)
    assert isinstance(caught.value, OutsideTrouble)
    assert len(service.heard) == 1  # the client key goes nowhere else
    chain: BaseException | None = caught.value
    while chain is not None:
        assert CLIENT_KEY not in f"{chain!r}{chain}"
        chain = chain.__cause__


async def test_nothing_is_sent_in_clear_or_to_strangers(
    service: Site, csr: x509.CertificateSigningRequest, recipient: Any
) -> None:
    posted = body(csr, recipient[0])
    with pytest.raises(ServiceTrouble, match="https://"):
        await submit(posted, url=service.url.replace("https", "http"), ca_pem=service.ca_pem)
    with pytest.raises(ServiceTrouble, match="TLS failed"):
        await submit(posted, url=service.url)
    assert not service.heard


def wrapped(text: bytes, end: bytes) -> bytes:
    return end.join(text[at : at + 64] for at in range(0, len(text), 64)) + end


WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "as one line": lambda der: der.hex().encode(),
    "with a line feed": lambda der: der.hex().encode() + b"\n",
    "wrapped": lambda der: wrapped(der.hex().encode(), b"\n"),
    "wrapped with CRLF": lambda der: wrapped(der.hex().encode(), b"\r\n"),
    "with spaces and tabs": lambda der: b" \t" + der.hex(" ").encode() + b"\f\v\n\n",
    "wrapped within a pair": lambda der: b"\n".join(der.hex().encode()[at : at + 63] for at in range(0, len(der) * 2, 63)),
    "in capitals": lambda der: der.hex().upper().encode(),
    "after a byte order mark": lambda der: b"\xef\xbb\xbf" + der.hex().encode(),
    "with no-break spaces": lambda der: der.hex(" ", 32).replace(" ", "\xa0").encode(),
    "in the largest file": lambda der: der.hex().encode().ljust(1024 * 1024),
    "as DER": lambda der: der,
}


@pytest.mark.parametrize("way", WRITTEN)
def test_any_white_space_will_do(signed: SignedRequest, reply: bytes, recipient: Any, others: Recipients, way: str) -> None:
    opened = decrypt(WRITTEN[way](reply), [*others, (others[0][0], EC), recipient])
    assert opened == signed.to_file()
    assert read_request(opened) == signed


@dataclass(frozen=True)
class Wrong:
    make: Callable[[bytes], bytes]
    said: str


WHOLE = r"can be used\. (?!It is cut off|Expected hexadecimal)."
"""It arrived whole, so what is wrong is something else."""

WRONG = {
    "empty": Wrong(lambda hexed: b"", "starts with 30"),
    "white space": Wrong(lambda hexed: b"\n \n", "starts with 30"),
    "not hexadecimal": Wrong(lambda hexed: b"Dear customer", "Expected hexadecimal"),
    "binary": Wrong(lambda hexed: b"\xff\xd8\xff\xe0" * 9, "Expected hexadecimal"),
    "base64": Wrong(lambda hexed: base64.b64encode(bytes.fromhex(hexed.decode())), "Expected hexadecimal"),
    "UTF-16": Wrong(lambda hexed: hexed.decode().encode("utf-16"), "Expected hexadecimal"),
    "one letter wrong": Wrong(lambda hexed: hexed[:500] + b"g" + hexed[501:], "Expected hexadecimal"),
    "hexadecimal of something else": Wrong(lambda hexed: b"deadbeef", "starts with 30"),
    "hexadecimal of hexadecimal": Wrong(lambda hexed: hexed.hex().encode(), "starts with 30"),
    "half": Wrong(lambda hexed: hexed[: len(hexed) // 2 & ~1], "cut off"),
    "an odd digit": Wrong(lambda hexed: hexed[:-1], "cut off"),
    "without its end": Wrong(lambda hexed: hexed[:-2], "cut off"),
    "its beginning": Wrong(lambda hexed: hexed[:8], "cut off"),
    "three digits": Wrong(lambda hexed: hexed[:3], "cut off"),
    "two digits": Wrong(lambda hexed: hexed[:2], "cut off"),
    "DER cut off": Wrong(lambda hexed: bytes.fromhex(hexed.decode())[:-20], "cut off"),
    "something after": Wrong(lambda hexed: hexed + b"00", WHOLE),
    "another structure": Wrong(lambda hexed: b"3003020101", WHOLE),
    "a program's notation": Wrong(lambda hexed: b"0x" + hexed, "Expected hexadecimal"),
    "too large": Wrong(lambda hexed: hexed.ljust(1024 * 1024 + 1), "at most 1048576"),
}


@pytest.mark.parametrize("row", WRONG)
def test_any_other_file_is_refused(reply: bytes, recipient: Any, row: str) -> None:
    with pytest.raises(BadReply, match=WRONG[row].said) as caught:
        decrypt(WRONG[row].make(reply.hex().encode()), [recipient])
    assert type(caught.value) is BadReply
    assert caught.value.advice


def test_an_answer_for_another_is_refused(reply: bytes, recipient: Any, others: Recipients) -> None:
    for recipients, count in ((others, 2), ([], 0), ([(recipient[0], EC)], 1)):
        with pytest.raises(ReplyForAnother, match=f"none of the {count}"):
            decrypt(reply.hex().encode(), recipients)


def test_the_wrong_key_and_the_wrong_content_are_refused(
    signed: SignedRequest, reply: bytes, recipient: Any, others: Recipients
) -> None:
    with pytest.raises(BadReply):
        decrypt(reply, [(recipient[0], others[0][1])])
    for content in (b"", b"hello", signed.to_file()[:-40]):
        with pytest.raises(BadReply, match="what is in it cannot be used"):
            decrypt(cms.encrypt(content, recipients=[recipient[0]]), [recipient])


DES = ("-des", "-provider", "legacy", "-provider", "default")
"""What Go's library for CMS encrypts with unless told otherwise."""


@pytest.mark.parametrize("cipher", [("-aes128",), ("-aes256",), ("-des3",), DES], ids=lambda cipher: cipher[0])
def test_what_openssl_encrypts_is_opened(
    signed: SignedRequest, recipient: Any, openssl: OpenSSL, tmp_path: Path, cipher: tuple[str, ...]
) -> None:
    """With definite lengths, and as a service that streams would write it."""
    (tmp_path / "to.pem").write_bytes(recipient[0].public_bytes(Encoding.PEM))
    (tmp_path / "request").write_bytes(signed.to_file())
    encrypt = ("cms", "-encrypt", *cipher, "-in", tmp_path / "request", "-binary", "-outform", "DER", "-out", tmp_path / "reply")
    for options, second_octet in (((), 0x82), (("-stream",), 0x80)):
        openssl(*encrypt, *options, tmp_path / "to.pem")
        reply = (tmp_path / "reply").read_bytes()
        assert reply[1] == second_octet
        for written in (wrapped(reply.hex().encode(), b"\r\n"), reply):
            assert decrypt(written, [recipient]) == signed.to_file()


def test_a_key_transport_that_is_not_read_is_said(
    signed: SignedRequest, recipient: Any, openssl: OpenSSL, tmp_path: Path
) -> None:
    (tmp_path / "to.pem").write_bytes(recipient[0].public_bytes(Encoding.PEM))
    to = ("-recip", tmp_path / "to.pem", "-keyopt", "rsa_padding_mode:oaep")
    openssl("cms", "-encrypt", "-aes256", *to, "-outform", "DER", "-out", tmp_path / "reply", stdin=signed.to_file())
    with pytest.raises(BadReply, match="RSAES-PKCS1-v1_5"):
        decrypt((tmp_path / "reply").read_bytes(), [recipient])
