"""OpenSSL as the oracle, both ways: it reads what we make, and we read what it makes, in every shape that it can write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from bramley.pki import oids
from bramley.pki.cms import (
    DEVICE,
    SignatureInvalid,
    SignatureReason,
    certs_only,
    decrypt,
    der,
    encrypt,
    parse_certs_only,
    parse_signed_data,
    sign,
    verify,
)

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity, OpenSSL

BODY = b"".join(b"line %d of a body that takes several pieces when it is streamed\r\n" % n for n in range(400))
CIPHERS = ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc", "des-cbc"]


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize("signer", ["rsa_identity", "ec_identity", "ec384_identity"])
@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-noattr"],
        ["-keyid"],
        ["-md", "sha1"],
        ["-md", "sha1", "-noattr", "-stream"],
        ["-md", "sha384"],
        ["-md", "sha512", "-keyid", "-stream"],
        ["-nosmimecap"],
        ["-indef"],
        ["-nocerts"],
    ],
    ids=" ".join,
)
def test_we_verify_what_openssl_signs(
    openssl: OpenSSL,
    body: Path,
    signer: str,
    detached: bool,
    options: list[str],
    request: pytest.FixtureRequest,
) -> None:
    one: Identity = request.getfixturevalue(signer)
    message = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-in", body),
        *("-signer", one.certificate_file, "-inkey", one.key_file),
        *([] if detached else ["-nodetach"]),
        *options,
    )
    # OpenSSL encloses the content whenever it streams, whatever is asked
    detached = detached and not {"-stream", "-indef"} & {*options}
    signed = parse_signed_data(message)
    extra = [one.der] if "-nocerts" in options else []
    proof = verify(signed, content=BODY if detached else None, policy=DEVICE, extra_certificates=extra)
    assert (proof.certificate, proof.content) == (one.der, BODY)
    assert (proof.signing_time is None) == ("-noattr" in options)
    if detached:
        with pytest.raises(SignatureInvalid):
            verify(signed, content=BODY[1:], policy=DEVICE, extra_certificates=extra)


def test_a_streamed_message_has_its_content_in_pieces(openssl: OpenSSL, body: Path, rsa_identity: Identity) -> None:
    message = openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-stream", "-outform", "DER", "-in", body),
        *("-signer", rsa_identity.certificate_file, "-inkey", rsa_identity.key_file),
    )
    assert message[:2] == b"\x30\x80"
    assert BODY not in message
    assert parse_signed_data(message).content == BODY


def test_two_signers_of_openssl_are_refused(openssl: OpenSSL, body: Path, rsa_identity: Identity, ec_identity: Identity) -> None:
    message = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-in", body),
        *("-signer", rsa_identity.certificate_file, "-inkey", rsa_identity.key_file),
        *("-signer", ec_identity.certificate_file, "-inkey", ec_identity.key_file),
    )
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(message), content=BODY, policy=DEVICE)
    assert caught.value.reason == SignatureReason.SEVERAL_SIGNERS


def test_a_pss_signature_is_refused(openssl: OpenSSL, body: Path, rsa_identity: Identity) -> None:
    message = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-in", body),
        *("-signer", rsa_identity.certificate_file, "-inkey", rsa_identity.key_file, "-keyopt", "rsa_padding_mode:pss"),
    )
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(message), content=BODY, policy=DEVICE)
    assert caught.value.reason == SignatureReason.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("signer", ["rsa_identity", "ec_identity", "ec384_identity"])
@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("signed_attributes", [True, False])
@pytest.mark.parametrize("signer_id", ["issuer-serial", "ski"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_openssl_verifies_what_we_sign(
    openssl: OpenSSL,
    tmp_path: Path,
    body: Path,
    signer: str,
    detached: bool,
    signed_attributes: bool,
    signer_id: Literal["issuer-serial", "ski"],
    digest: str,
    request: pytest.FixtureRequest,
) -> None:
    one: Identity = request.getfixturevalue(signer)
    message = tmp_path / "message"
    message.write_bytes(
        sign(
            BODY,
            key=one.key,
            certificate=one.certificate,
            digest=digest,
            detached=detached,
            signed_attributes=signed_attributes,
            signer_id=signer_id,
            attributes=[(oids.SCEP_MESSAGE_TYPE, der.printable_string("3"))] if signed_attributes else [],
            allow_sha1=True,
        )
    )
    read = openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", message, "-purpose", "any", "-CAfile", one.certificate_file),
        *(("-content", body) if detached else ()),
    )
    assert read == BODY


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("options", [[], ["-stream"], ["-keyid"]], ids=" ".join)
def test_we_open_what_openssl_encrypts(
    openssl: OpenSSL, body: Path, rsa_identity: Identity, cipher: str, options: list[str]
) -> None:
    message = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", "-in", body),
        *(f"-{cipher}", *options),
        *(["-provider", "default", "-provider", "legacy"] if cipher == "des-cbc" else []),
        rsa_identity.certificate_file,
    )
    assert isinstance(rsa_identity.key, rsa.RSAPrivateKey)
    opened = decrypt(message, key=rsa_identity.key, certificate=rsa_identity.certificate, allow_single_des=cipher == "des-cbc")
    assert (opened.content, opened.cipher, opened.content_type) == (BODY, cipher, oids.DATA)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_openssl_opens_what_we_encrypt_for_each_recipient(
    openssl: OpenSSL, tmp_path: Path, rsa_identity: Identity, other_rsa: Identity, cipher: str
) -> None:
    message = tmp_path / "message"
    recipients = [rsa_identity.certificate, other_rsa.certificate]
    message.write_bytes(encrypt(BODY, recipients=recipients, cipher=cipher, allow_single_des=True))
    for one in (rsa_identity, other_rsa):
        read = openssl(
            *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", message),
            *(["-provider", "default", "-provider", "legacy"] if cipher == "des-cbc" else []),
            *("-recip", one.certificate_file, "-inkey", one.key_file),
        )
        assert read == BODY


def test_openssl_reads_our_certificates_in_our_order_and_we_read_its_own(
    openssl: OpenSSL, tmp_path: Path, rsa_identity: Identity, ec_identity: Identity
) -> None:
    # the longer first, against the order of DER
    longer, shorter = sorted((rsa_identity, ec_identity), key=lambda one: -len(one.der))
    ours = tmp_path / "ours"
    ours.write_bytes(certs_only([longer.certificate, shorter.certificate]))
    printed = openssl("pkcs7", "-inform", "DER", "-in", ours, "-print_certs")
    read = x509.load_pem_x509_certificates(printed)
    assert [one.public_bytes(Encoding.DER) for one in read] == [longer.der, shorter.der]
    theirs = openssl(
        *("crl2pkcs7", "-nocrl", "-outform", "DER"),
        *("-certfile", rsa_identity.certificate_file, "-certfile", ec_identity.certificate_file),
    )
    assert set(parse_certs_only(theirs)) == {rsa_identity.der, ec_identity.der}


def test_openssl_agrees_on_the_key_behind_a_verified_certificate(openssl: OpenSSL, rsa_identity: Identity) -> None:
    proof = verify(parse_signed_data(sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate)), policy=DEVICE)
    printed = openssl("x509", "-inform", "DER", "-noout", "-pubkey", stdin=proof.certificate)
    assert load_pem_public_key(printed) == rsa_identity.key.public_key()
