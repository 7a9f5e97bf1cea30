"""EnvelopedData: what opens, what is refused before the key is used, and that nothing after it tells one failure from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bramley.pki import oids
from bramley.pki.cms import (
    DecryptionFailed,
    Limits,
    Malformed,
    NotForUs,
    Refused,
    TooLarge,
    algorithms,
    certificate_ids,
    content_info,
    decrypt,
    der,
    encrypt,
)

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity

CONTENT = b"a certification request, or a profile"
BLOCK = bytes(16)


def rsa_key(identity: Identity) -> rsa.RSAPrivateKey:
    assert isinstance(identity.key, rsa.RSAPrivateKey)
    return identity.key


def envelope(identity: Identity, **changes: Any) -> bytes:
    """An EnvelopedData built by hand, one thing in it changed: an AES-128 key of zeros around one block of zeros."""
    key = rsa_key(identity).public_key()
    parts = {
        "content_key": bytes(16),
        "transport": algorithms.identifier(oids.RSA_ENCRYPTION, der.null()),
        "cipher": oids.AES_128_CBC,
        "iv": der.octet_string(BLOCK),
        "encrypted": der.context(0, BLOCK, constructed=False),
    } | changes
    recipient = der.sequence(
        der.integer(0),
        certificate_ids.write_issuer_and_serial(identity.certificate),
        parts["transport"],
        der.octet_string(parts.get("encrypted_key", key.encrypt(parts["content_key"], padding.PKCS1v15()))),
    )
    content = der.sequence(der.oid(oids.DATA), algorithms.identifier(parts["cipher"], parts["iv"]), parts["encrypted"])
    return content_info.wrap(oids.ENVELOPED_DATA, der.sequence(der.integer(0), der.set_of([recipient]), content))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"])
def test_what_is_encrypted_opens(rsa_identity: Identity, cipher: str, size: int) -> None:
    message = encrypt(bytes(size), recipients=[rsa_identity.certificate], cipher=cipher)
    opened = decrypt(message, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate)
    assert (opened.content, opened.cipher, opened.content_type) == (bytes(size), cipher, oids.DATA)


def test_asn1crypto_reads_the_envelope_as_the_rfc_has_it(rsa_identity: Identity) -> None:
    message = cms.ContentInfo.load(encrypt(CONTENT, recipients=[rsa_identity.certificate]), strict=True)
    assert message["content_type"].native == "enveloped_data"
    assert message["content"]["version"].native == "v0"
    (recipient,) = message["content"]["recipient_infos"]
    assert recipient.chosen["version"].native == "v0"
    assert recipient.chosen["rid"].chosen["serial_number"].native == rsa_identity.certificate.serial_number
    assert recipient.chosen["rid"].chosen["issuer"].dump() == rsa_identity.certificate.issuer.public_bytes()
    assert recipient.chosen["key_encryption_algorithm"]["algorithm"].native == "rsaes_pkcs1v15"
    content = message["content"]["encrypted_content_info"]
    assert content["content_type"].native == "data"
    assert content["content_encryption_algorithm"]["algorithm"].native == "aes256_cbc"


def test_the_same_content_is_never_encrypted_alike(rsa_identity: Identity) -> None:
    """A vector that is used twice shows which messages begin alike; a content key that is used twice opens both."""
    vectors, content_keys = set(), set()
    for _ in range(3):
        enveloped = cms.ContentInfo.load(encrypt(CONTENT, recipients=[rsa_identity.certificate]))["content"]
        vectors.add(enveloped["encrypted_content_info"]["content_encryption_algorithm"]["parameters"].native)
        transported = enveloped["recipient_infos"][0].chosen["encrypted_key"].native
        content_keys.add(rsa_key(rsa_identity).decrypt(transported, padding.PKCS1v15()))
    assert (len(vectors), len(content_keys)) == (3, 3)


def test_a_message_for_another_certificate_is_not_for_us(rsa_identity: Identity, other_rsa: Identity) -> None:
    message = encrypt(CONTENT, recipients=[other_rsa.certificate])
    with pytest.raises(NotForUs):
        decrypt(message, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate)


def test_nor_is_one_for_the_same_number_of_another_issuer(rsa_identity: Identity, other_rsa: Identity) -> None:
    ours, key = rsa_identity.certificate, rsa_key(rsa_identity)
    dates = (ours.not_valid_before_utc, ours.not_valid_after_utc)
    builder = x509.CertificateBuilder(other_rsa.certificate.subject, ours.subject, key.public_key(), ours.serial_number, *dates)
    message = encrypt(CONTENT, recipients=[builder.sign(key, hashes.SHA256())])
    with pytest.raises(NotForUs):
        decrypt(message, key=key, certificate=ours)


def test_every_failure_after_the_key_transport_looks_the_same(rsa_identity: Identity, other_rsa: Identity) -> None:
    bad_messages = [
        envelope(rsa_identity),  # the right key, padding wrong
        envelope(rsa_identity, content_key=bytes(24)),
        envelope(rsa_identity, content_key=b"\x01"),
        envelope(rsa_identity, encrypted_key=bytes(256)),
        envelope(rsa_identity, encrypted_key=b"\xff" * 256),
        envelope(rsa_identity, encrypted_key=b"short"),
        envelope(rsa_identity, encrypted_key=rsa_key(other_rsa).public_key().encrypt(bytes(16), padding.PKCS1v15())),
    ]
    seen = set()
    for message in bad_messages:
        # a random key opens one block in 256 by chance, by design: so try until it does not
        for _ in range(20):
            try:
                decrypt(message, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate)
            except DecryptionFailed as error:
                seen.add((type(error), str(error), error.__cause__, error.__suppress_context__))
                break
        else:
            pytest.fail("a bad message opened twenty times")
    assert len(seen) == 1


def test_single_des_needs_leave(rsa_identity: Identity) -> None:
    one: dict[str, Any] = {"key": rsa_key(rsa_identity), "certificate": rsa_identity.certificate}
    with pytest.raises(Refused):
        encrypt(CONTENT, recipients=[rsa_identity.certificate], cipher="des-cbc")
    message = encrypt(CONTENT, recipients=[rsa_identity.certificate], cipher="des-cbc", allow_single_des=True)
    with pytest.raises(Malformed, match="des-cbc"):
        decrypt(message, **one)
    assert decrypt(message, **one, allow_single_des=True).content == CONTENT


@pytest.mark.parametrize(
    "changes",
    [
        {"cipher": "2.16.840.1.101.3.4.1.6"},
        {"cipher": oids.AES_256_CBC, "iv": b""},
        {"iv": der.octet_string(bytes(8))},
        {"iv": der.null()},
        {"iv": der.octet_string(BLOCK) * 2},
        {"encrypted": der.context(0, b"", constructed=False)},
        {"encrypted": der.context(0, bytes(17), constructed=False)},
        {"encrypted": der.octet_string(BLOCK)},
        {"encrypted": b""},
        {"encrypted": der.context(0, BLOCK, constructed=False) * 2},
        {"transport": algorithms.identifier("1.2.840.113549.1.1.7", der.sequence())},
        {"transport": algorithms.identifier(oids.RSA_ENCRYPTION, der.sequence())},
    ],
)
def test_what_can_be_judged_without_the_key_is_malformed(rsa_identity: Identity, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decrypt(envelope(rsa_identity, **changes), key=rsa_key(rsa_identity), certificate=rsa_identity.certificate)


def test_content_in_pieces_and_other_kinds_of_recipient_are_read(rsa_identity: Identity) -> None:
    message = cms.ContentInfo.load(encrypt(CONTENT, recipients=[rsa_identity.certificate], cipher="aes-128-cbc"))
    recipient = message["content"]["recipient_infos"][0].dump()
    content = message["content"]["encrypted_content_info"]
    encrypted = content["encrypted_content"].contents
    pieces = b"\xa0\x80" + der.octet_string(encrypted[:20]) + der.octet_string(encrypted[20:]) + b"\x00\x00"
    rebuilt = content_info.wrap(
        oids.ENVELOPED_DATA,
        der.sequence(
            der.integer(2),
            der.context(0, b""),
            der.element(0x31, der.context(1, der.integer(3)) + recipient),
            der.sequence(der.oid(oids.DATA), content["content_encryption_algorithm"].dump(), pieces),
            der.context(1, b""),
        ),
    )
    assert decrypt(rebuilt, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate).content == CONTENT


def test_a_recipient_by_key_identifier_is_found(rsa_identity: Identity, other_rsa: Identity) -> None:
    identifier = certificate_ids.require_subject_key_identifier(rsa_identity.certificate)
    message = encrypt(CONTENT, recipients=[rsa_identity.certificate])
    parsed = cms.ContentInfo.load(message)
    info = parsed["content"]["recipient_infos"][0].chosen
    recipient = der.sequence(
        der.integer(2),
        der.context(0, identifier, constructed=False),
        info["key_encryption_algorithm"].dump(),
        info["encrypted_key"].dump(),
    )
    content = parsed["content"]["encrypted_content_info"].dump()
    by_key = content_info.wrap(oids.ENVELOPED_DATA, der.sequence(der.integer(2), der.set_of([recipient]), content))
    assert decrypt(by_key, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate).content == CONTENT
    with pytest.raises(NotForUs):
        decrypt(by_key, key=rsa_key(other_rsa), certificate=other_rsa.certificate)


def test_encryption_refuses_what_it_cannot_do(rsa_identity: Identity, ec_identity: Identity) -> None:
    with pytest.raises(Refused, match="not RSA"):
        encrypt(CONTENT, recipients=[rsa_identity.certificate, ec_identity.certificate])
    with pytest.raises(Refused, match="recipient"):
        encrypt(CONTENT, recipients=[])
    with pytest.raises(Refused, match="rc2-cbc"):
        encrypt(CONTENT, recipients=[rsa_identity.certificate], cipher="rc2-cbc")


def test_a_message_over_the_limit_is_refused(rsa_identity: Identity) -> None:
    message = encrypt(bytes(2000), recipients=[rsa_identity.certificate])
    with pytest.raises(TooLarge):
        decrypt(message, key=rsa_key(rsa_identity), certificate=rsa_identity.certificate, limits=Limits(size=1000))


def test_a_signed_message_is_not_an_envelope(rsa_identity: Identity) -> None:
    with pytest.raises(Malformed, match="content type"):
        decrypt(
            content_info.wrap(oids.SIGNED_DATA, der.sequence()), key=rsa_key(rsa_identity), certificate=rsa_identity.certificate
        )
