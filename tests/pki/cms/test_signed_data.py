"""SignedData whose structure is wrong: every part missing, doubled, out of order or of another kind is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import oids
from bramley.pki.cms import (
    DEVICE,
    Malformed,
    Refused,
    SignatureInvalid,
    SignatureReason,
    algorithms,
    ber,
    certificate_ids,
    content_info,
    der,
    parse_signed_data,
    sign,
    verify,
)
from bramley.pki.cms.signed_data import unsigned_values
from bramley.pki.cms.signing import with_unsigned_attribute

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity

VERSION = der.integer(1)
DIGESTS = der.set_of([algorithms.identifier(oids.SHA256)])
CONTENT = der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(b"content")))
CERTIFICATES = der.context(0, der.sequence())
CRLS = der.context(1, b"")
NO_SIGNERS = der.set_of([])

NAME = der.sequence(der.sequence(), der.integer(7))
SHA256 = algorithms.identifier(oids.SHA256, der.null())
RSA = algorithms.identifier(oids.RSA_ENCRYPTION, der.null())
SIGNATURE = der.octet_string(bytes(256))
UNSIGNED = der.context(1, b"")


def signed_data(*parts: bytes) -> bytes:
    return content_info.wrap(oids.SIGNED_DATA, der.sequence(*parts))


def with_signer(*parts: bytes) -> bytes:
    return signed_data(VERSION, DIGESTS, CONTENT, der.set_of([der.sequence(*parts)]))


def test_the_parts_in_their_order_are_read() -> None:
    signed = parse_signed_data(signed_data(VERSION, DIGESTS, CONTENT, CERTIFICATES, CRLS, NO_SIGNERS))
    assert (signed.content, signed.certificates, signed.signers) == (b"content", (der.sequence(),), ())
    (signer,) = parse_signed_data(with_signer(VERSION, NAME, SHA256, RSA, SIGNATURE, UNSIGNED)).signers
    assert (signer.issuer, signer.serial, signer.ski, signer.signed_attributes) == (der.sequence(), 7, None, None)
    (signer,) = parse_signed_data(with_signer(VERSION, der.context(0, b"key", constructed=False), SHA256, RSA, SIGNATURE)).signers
    assert (signer.issuer, signer.serial, signer.ski) == (None, None, b"key")


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (VERSION, DIGESTS, CONTENT),
        (DIGESTS, CONTENT, NO_SIGNERS),
        (VERSION, CONTENT, DIGESTS, NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, CRLS, CERTIFICATES, NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, CERTIFICATES, CERTIFICATES, NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, NO_SIGNERS, NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, CERTIFICATES),
        (VERSION, DIGESTS, der.sequence(), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.integer(1)), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.octet_string(b"bare")), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.context(0, b"")), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.context(0, der.sequence())), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(b"") * 2)), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.context(1, der.octet_string(b""))), NO_SIGNERS),
        (VERSION, DIGESTS, der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(b"")) * 2), NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, der.context(0, der.octet_string(b"")), NO_SIGNERS),
        (VERSION, DIGESTS, CONTENT, der.set_of([der.integer(1)])),
    ],
)
def test_any_other_arrangement_is_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        parse_signed_data(signed_data(*parts))


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (VERSION, NAME, SHA256, RSA),
        (NAME, NAME, SHA256, RSA, SIGNATURE),
        (VERSION, VERSION, SHA256, RSA, SIGNATURE),
        (VERSION, der.sequence(der.sequence()), SHA256, RSA, SIGNATURE),
        (VERSION, der.sequence(der.integer(7), der.sequence()), SHA256, RSA, SIGNATURE),
        (VERSION, der.sequence(der.sequence(), der.integer(7), der.integer(7)), SHA256, RSA, SIGNATURE),
        (VERSION, der.sequence(der.sequence(), der.element(0x02, b"")), SHA256, RSA, SIGNATURE),
        (VERSION, NAME, der.oid(oids.SHA256), RSA, SIGNATURE),
        (VERSION, NAME, der.sequence(), RSA, SIGNATURE),
        (VERSION, NAME, SHA256, der.sequence(der.null()), SIGNATURE),
        (VERSION, NAME, SHA256, RSA, der.element(0x03, bytes(257))),
        (VERSION, NAME, SHA256, RSA, SIGNATURE, SIGNATURE),
        (VERSION, NAME, SHA256, RSA, SIGNATURE, UNSIGNED, UNSIGNED),
        (VERSION, NAME, SHA256, der.context(0, der.null()), RSA, SIGNATURE),
        (VERSION, NAME, SHA256, der.context(0, der.sequence()), RSA, SIGNATURE),
        (VERSION, NAME, SHA256, der.context(0, der.sequence(der.oid(oids.DATA), der.null())), RSA, SIGNATURE),
    ],
)
def test_any_other_signer_is_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        parse_signed_data(with_signer(*parts))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        der.sequence(),
        der.sequence(der.oid(oids.SIGNED_DATA)),
        der.sequence(der.oid(oids.SIGNED_DATA), der.context(0, b"")),
        der.sequence(der.oid(oids.SIGNED_DATA), der.context(1, der.sequence())),
        der.sequence(der.oid(oids.SIGNED_DATA), der.context(0, der.sequence() * 2)),
        der.sequence(der.oid(oids.SIGNED_DATA), der.context(0, der.sequence()), der.null()),
        content_info.wrap(oids.DATA, der.sequence()),
        signed_data(VERSION, DIGESTS, CONTENT, NO_SIGNERS) + b"\x00",
    ],
)
def test_any_other_content_info_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        parse_signed_data(message)


def test_a_signer_whose_key_is_neither_rsa_nor_ec_is_refused(rsa_identity: Identity) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = rsa_identity.certificate.subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .sign(key, None)
    )
    signer = der.sequence(VERSION, certificate_ids.write_issuer_and_serial(certificate), SHA256, RSA, SIGNATURE)
    enclosed = der.context(0, certificate.public_bytes(Encoding.DER))
    message = signed_data(VERSION, DIGESTS, CONTENT, enclosed, der.set_of([signer]))
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(message), policy=DEVICE)
    assert caught.value.reason == SignatureReason.ALGORITHM_NOT_ALLOWED


def test_content_that_only_begins_like_attributes_is_content(rsa_identity: Identity) -> None:
    for content in (b"1", b"1 is a number", der.set_of([der.integer(1)]), der.set_of([der.sequence()])):
        message = sign(content, key=rsa_identity.key, certificate=rsa_identity.certificate, signed_attributes=False)
        assert verify(parse_signed_data(message), policy=DEVICE).content == content


def test_a_key_identifier_is_not_looked_for_in_what_is_no_certificate() -> None:
    message = signed_data(
        VERSION,
        DIGESTS,
        CONTENT,
        CERTIFICATES,
        der.set_of([der.sequence(VERSION, der.context(0, b"key", constructed=False), SHA256, RSA, SIGNATURE)]),
    )
    with pytest.raises(Malformed, match="not valid DER"):
        verify(parse_signed_data(message), policy=DEVICE)


MADE_UP = "1.2.3.4"


def test_an_unsigned_attribute_is_added_beside_a_signature_that_stays(rsa_identity: Identity) -> None:
    message = sign(b"content", key=rsa_identity.key, certificate=rsa_identity.certificate)
    value = der.sequence(der.integer(5), der.octet_string(bytes(70_000)))
    added = with_unsigned_attribute(message, MADE_UP, value)
    before, after = parse_signed_data(message), parse_signed_data(added)
    assert verify(after, policy=DEVICE) == verify(before, policy=DEVICE)
    assert unsigned_values(after.signers[0], MADE_UP) == (value,)
    assert unsigned_values(after.signers[0], oids.SIGNING_TIME) == unsigned_values(before.signers[0], MADE_UP) == ()
    (signer,) = asn1_cms.ContentInfo.load(added, strict=True)["content"]["signer_infos"]
    (attribute,) = signer["unsigned_attrs"]
    assert attribute["type"].dotted == MADE_UP
    assert attribute["values"].contents == value
    with pytest.raises(Refused, match="already"):
        with_unsigned_attribute(added, MADE_UP, value)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        (b"", ()),
        (der.sequence(der.oid(MADE_UP), der.set_of([])), ()),
        (der.sequence(der.oid(MADE_UP), der.set_in_order([der.null(), der.integer(3)])), (der.null(), der.integer(3))),
        (der.sequence(der.oid(MADE_UP), der.set_of([der.null()])) * 2, (der.null(), der.null())),
        # BER may say it in another way
        (b"\x30\x80" + der.oid(MADE_UP) + b"\x31\x80" + der.null() + bytes(4), (der.null(),)),
        (der.sequence(der.oid(MADE_UP)), None),
        (der.sequence(der.oid(MADE_UP), der.null()), None),
        (der.sequence(der.oid(MADE_UP), der.set_of([]), der.null()), None),
        (der.sequence(der.null(), der.set_of([])), None),
        (der.integer(1), None),
    ],
)
def test_unsigned_attributes_are_read_when_asked_for_and_damage_nothing_else(
    attributes: bytes, found: tuple[bytes, ...] | None, rsa_identity: Identity
) -> None:
    message = with_unsigned_attribute(
        sign(b"content", key=rsa_identity.key, certificate=rsa_identity.certificate), MADE_UP, der.null()
    )
    old = der.context(1, der.sequence(der.oid(MADE_UP), der.set_of([der.null()])))
    *head, signers = ber.parse(message).children[1].children[0].children
    inside = signers.children[0].content
    assert inside.endswith(old)
    changed = der.sequence(inside.removesuffix(old), der.context(1, attributes))
    signed = parse_signed_data(signed_data(*[part.raw for part in head], der.set_of([changed])))
    assert verify(signed, policy=DEVICE).content == b"content"
    if found is None:
        with pytest.raises(Malformed):
            unsigned_values(signed.signers[0], MADE_UP)
    else:
        assert unsigned_values(signed.signers[0], MADE_UP) == found
