"""Checking signatures: what is accepted under which policy, and every way in which a message can prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import oids
from bramley.pki.cms import (
    DEVICE,
    SCEP_REQUEST,
    STRICT,
    CMSError,
    Malformed,
    Refused,
    SignatureInvalid,
    SignaturePolicy,
    SignatureReason,
    TooDeep,
    TooLarge,
    algorithms,
    certificate_ids,
    content_info,
    der,
    parse_signed_data,
    sign,
    verify,
)
from bramley.pki.keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity

BODY = b"<plist><dict><key>Status</key><string>Idle</string></dict></plist>"
TIME = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SHA256 = algorithms.DIGESTS["sha256"]
TRANSACTION = (oids.SCEP_TRANSACTION_ID, der.printable_string("A1309076"))


def attribute(kind: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of(values))


def honest(content: bytes = BODY) -> list[bytes]:
    return [
        attribute(oids.CONTENT_TYPE, der.oid(oids.DATA)),
        attribute(oids.MESSAGE_DIGEST, der.octet_string(SHA256.new(content).digest())),
    ]


@dataclass(frozen=True)
class Forge:
    """A SignedData built by hand, with a good signature over whatever it says: for messages that `sign` refuses to make."""

    key: PrivateKey
    certificate: x509.Certificate
    attributes: Sequence[bytes] | None = field(default_factory=honest)
    content: bytes | None = BODY
    content_type: str = oids.DATA
    digest_algorithm: bytes = algorithms.identifier(oids.SHA256, der.null())
    signature_algorithm: bytes = algorithms.identifier(oids.RSA_ENCRYPTION, der.null())
    signers: int = 1
    attributes_tlv: bytes | None = None
    enclosed: Sequence[bytes] | None = None

    def message(self) -> bytes:
        attributes = b"" if self.attributes is None else b"".join(self.attributes)
        covered = (self.content or b"") if self.attributes is None else der.element(0x31, attributes)
        sent = b"" if self.attributes is None else b"\xa0" + covered[1:]
        if self.attributes_tlv is not None:
            sent, covered = self.attributes_tlv, b"\x31" + self.attributes_tlv[1:]
        signer = der.sequence(
            der.integer(1),
            certificate_ids.write_issuer_and_serial(self.certificate),
            self.digest_algorithm,
            sent,
            self.signature_algorithm,
            der.octet_string(algorithms.sign(self.key, covered, SHA256)),
        )
        own = [self.certificate.public_bytes(Encoding.DER)]
        content = b"" if self.content is None else der.context(0, der.octet_string(self.content))
        return content_info.wrap(
            oids.SIGNED_DATA,
            der.sequence(
                der.integer(1),
                der.set_of([algorithms.identifier(oids.SHA256, der.null())]),
                der.sequence(der.oid(self.content_type), content),
                der.set_in_order(own if self.enclosed is None else self.enclosed, tag=0xA0),
                der.element(0x31, signer * self.signers),
            ),
        )


@pytest.fixture(scope="session")
def forge(rsa_identity: Identity) -> Forge:
    return Forge(rsa_identity.key, rsa_identity.certificate)


def refusal(message: bytes, **options: Any) -> SignatureReason:
    options.setdefault("policy", DEVICE)
    with pytest.raises(SignatureInvalid) as caught:
        verify(parse_signed_data(message), **options)
    return caught.value.reason


def test_what_is_signed_is_verified_with_its_attributes_and_time(rsa_identity: Identity) -> None:
    message = sign(
        BODY,
        key=rsa_identity.key,
        certificate=rsa_identity.certificate,
        attributes=[TRANSACTION],
        signing_time=TIME,
    )
    proof = verify(parse_signed_data(message), policy=STRICT)
    assert (proof.certificate, proof.content, proof.digest, proof.signing_time) == (rsa_identity.der, BODY, "sha256", TIME)
    assert proof.attributes[oids.SCEP_TRANSACTION_ID] == (TRANSACTION[1],)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("signer", ["rsa_identity", "ec_identity", "ec384_identity"])
@pytest.mark.parametrize("signed_attributes", [True, False])
def test_every_key_and_digest_signs_detached(
    signer: str, digest: str, signed_attributes: bool, request: pytest.FixtureRequest
) -> None:
    one = request.getfixturevalue(signer)
    message = sign(
        BODY,
        key=one.key,
        certificate=one.certificate,
        digest=digest,
        detached=True,
        signed_attributes=signed_attributes,
        signer_id="ski",
    )
    proof = verify(parse_signed_data(message), content=BODY, policy=DEVICE)
    assert (proof.certificate, proof.digest) == (one.der, digest)
    assert refusal(message, content=BODY + b" ") == (
        SignatureReason.DIGEST_MISMATCH if signed_attributes else SignatureReason.BAD_SIGNATURE
    )


def test_certificates_keep_the_callers_order(rsa_identity: Identity, ec_identity: Identity) -> None:
    one: dict[str, Any] = {"key": rsa_identity.key, "certificate": rsa_identity.certificate}
    appended = sign(BODY, **one, others=[ec_identity.certificate])
    assert parse_signed_data(appended).certificates == (rsa_identity.der, ec_identity.der)
    replaced = sign(BODY, **one, certificates=[ec_identity.certificate, rsa_identity.certificate])
    assert parse_signed_data(replaced).certificates == (ec_identity.der, rsa_identity.der)


def test_a_certificate_outside_the_message_may_be_the_signers(rsa_identity: Identity, other_rsa: Identity) -> None:
    message = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate, certificates=[])
    assert refusal(message) == SignatureReason.SIGNER_CERTIFICATE_MISSING
    assert refusal(message, extra_certificates=[other_rsa.der]) == SignatureReason.SIGNER_CERTIFICATE_MISSING
    proof = verify(parse_signed_data(message), policy=STRICT, extra_certificates=[other_rsa.der, rsa_identity.der])
    assert proof.certificate == rsa_identity.der


def test_a_cached_public_key_is_asked_for_by_certificate_and_used(rsa_identity: Identity, other_rsa: Identity) -> None:
    signed = parse_signed_data(sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate))
    asked: list[bytes] = []

    def answer(key: PrivateKey) -> Callable[[bytes], PublicKey]:
        def public_key_of(certificate: bytes) -> PublicKey:
            asked.append(certificate)
            return key.public_key()

        return public_key_of

    assert verify(signed, policy=STRICT, public_key_of=answer(rsa_identity.key)).certificate == rsa_identity.der
    with pytest.raises(SignatureInvalid) as caught:
        verify(signed, policy=STRICT, public_key_of=answer(other_rsa.key))
    assert caught.value.reason == SignatureReason.BAD_SIGNATURE
    assert asked == [rsa_identity.der] * 2


def test_content_comes_from_exactly_one_place(rsa_identity: Identity) -> None:
    one: dict[str, Any] = {"key": rsa_identity.key, "certificate": rsa_identity.certificate}
    assert refusal(sign(BODY, **one), content=BODY) == SignatureReason.CONTENT_TWICE
    assert refusal(sign(BODY, **one, detached=True)) == SignatureReason.NO_CONTENT
    empty = sign(b"", **one, detached=True)
    assert verify(parse_signed_data(empty), content=b"", policy=STRICT).content == b""


def test_a_forged_message_built_honestly_verifies(forge: Forge) -> None:
    assert verify(parse_signed_data(forge.message()), policy=STRICT).content == BODY


def test_there_must_be_one_signer(forge: Forge) -> None:
    assert refusal(replace(forge, signers=0).message()) == SignatureReason.NO_SIGNER
    assert refusal(replace(forge, signers=2).message()) == SignatureReason.SEVERAL_SIGNERS


def test_the_content_type_is_the_expected_one_and_the_signed_one(rsa_identity: Identity, forge: Forge) -> None:
    enveloped = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate, content_type=oids.ENVELOPED_DATA)
    assert refusal(enveloped) == SignatureReason.CONTENT_TYPE_MISMATCH
    assert verify(parse_signed_data(enveloped), policy=STRICT, content_type=None).content == BODY
    assert verify(parse_signed_data(enveloped), policy=STRICT, content_type=oids.ENVELOPED_DATA).content == BODY
    # the attribute says data, the message says something else
    relabelled = replace(forge, content_type=oids.ENVELOPED_DATA).message()
    assert refusal(relabelled, content_type=None) == SignatureReason.CONTENT_TYPE_MISMATCH


@pytest.mark.parametrize("missing", [0, 1])
def test_both_obligatory_attributes_are_needed(forge: Forge, missing: int) -> None:
    attributes = honest()
    del attributes[missing]
    assert refusal(replace(forge, attributes=attributes).message()) == SignatureReason.ATTRIBUTES_INVALID
    assert refusal(replace(forge, attributes=[]).message()) == SignatureReason.ATTRIBUTES_INVALID


def test_an_obligatory_attribute_has_one_value(forge: Forge) -> None:
    digest = der.octet_string(SHA256.new(BODY).digest())
    kind, _ = honest()
    two = attribute(oids.MESSAGE_DIGEST, digest, der.octet_string(bytes(32)))
    assert refusal(replace(forge, attributes=[kind, two]).message()) == SignatureReason.ATTRIBUTES_INVALID
    none = replace(forge, attributes=[kind, attribute(oids.MESSAGE_DIGEST)]).message()
    with pytest.raises(Malformed):
        parse_signed_data(none)


def test_an_attribute_type_occurs_once(forge: Forge) -> None:
    twice = replace(forge, attributes=[*honest(), attribute(*TRANSACTION), attribute(*TRANSACTION)]).message()
    with pytest.raises(Malformed, match="once"):
        parse_signed_data(twice)


def test_attributes_need_not_be_sorted(forge: Forge) -> None:
    attributes = [attribute(*TRANSACTION), *reversed(honest())]
    assert b"".join(attributes) != b"".join(sorted(attributes))
    assert verify(parse_signed_data(replace(forge, attributes=attributes).message()), policy=STRICT).content == BODY


@pytest.mark.parametrize(
    "value",
    [
        bytes.fromhex("24 80 04 01 61 04 01 62 00 00"),
        bytes.fromhex("24 06 04 01 61 04 01 62"),
        bytes.fromhex("04 81 02 61 62"),
        bytes.fromhex("04 82 00 02 61 62"),
        bytes.fromhex("30 80 04 01 61 00 00"),
        bytes.fromhex("30 04 04 81 01 61"),
        bytes.fromhex("30 03 04 02 61"),
        bytes.fromhex("04"),
    ],
)
def test_attributes_in_ber_are_refused(forge: Forge, value: bytes) -> None:
    message = replace(forge, attributes=[*honest(), attribute(oids.SCEP_SENDER_NONCE, value)]).message()
    with pytest.raises(Malformed):
        parse_signed_data(message)


def test_the_set_of_attributes_itself_must_be_der(forge: Forge) -> None:
    content = b"".join(honest())
    for tlv in (b"\xa0\x80" + content + b"\x00\x00", b"\xa0\x82" + len(content).to_bytes(2, "big") + content):
        with pytest.raises(Malformed):
            parse_signed_data(replace(forge, attributes_tlv=tlv).message())


def test_attributes_are_bounded_in_depth_and_size(forge: Forge) -> None:
    nested = b""
    for _ in range(10_000):
        nested = der.sequence(nested)
    for value, error in ((nested, TooDeep), (der.octet_string(bytes(70_000)), TooLarge)):
        message = replace(forge, attributes=[*honest(), attribute(oids.SCEP_SENDER_NONCE, value)]).message()
        with pytest.raises(error):
            parse_signed_data(message)


def test_without_attributes_only_where_the_policy_says_so(rsa_identity: Identity, forge: Forge) -> None:
    bare = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate, signed_attributes=False)
    assert verify(parse_signed_data(bare), policy=DEVICE).attributes == {}
    for policy in (STRICT, SCEP_REQUEST):
        assert refusal(bare, policy=policy) == SignatureReason.ATTRIBUTES_MISSING
    other_type = replace(forge, attributes=None, content_type=oids.ENVELOPED_DATA).message()
    assert refusal(other_type, content_type=None) == SignatureReason.ATTRIBUTES_MISSING


def test_signed_attributes_cannot_be_passed_off_as_content(rsa_identity: Identity) -> None:
    honest_message = parse_signed_data(sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate))
    (signer,) = honest_message.signers
    stolen = replace(
        honest_message,
        content=signer.signed_attributes_raw,
        signers=(replace(signer, signed_attributes=None, signed_attributes_raw=None),),
    )
    with pytest.raises(SignatureInvalid, match="attributes of another message"):
        verify(stolen, policy=DEVICE)


def test_sha1_is_accepted_where_allow_listed_and_md5_never(rsa_identity: Identity, forge: Forge) -> None:
    old = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate, digest="sha1", allow_sha1=True)
    assert verify(parse_signed_data(old), policy=DEVICE).digest == "sha1"
    assert verify(parse_signed_data(old), policy=SCEP_REQUEST).digest == "sha1"
    assert refusal(old, policy=STRICT) == SignatureReason.ALGORITHM_NOT_ALLOWED
    md5 = replace(forge, digest_algorithm=algorithms.identifier("1.2.840.113549.2.5", der.null())).message()
    assert refusal(md5) == SignatureReason.ALGORITHM_NOT_ALLOWED


def test_the_signature_algorithm_goes_with_key_and_digest(forge: Forge) -> None:
    def with_algorithm(oid: str) -> bytes:
        return replace(forge, signature_algorithm=algorithms.identifier(oid, der.null())).message()

    assert verify(parse_signed_data(with_algorithm(oids.SHA256_WITH_RSA)), policy=STRICT).content == BODY
    for oid in (oids.SHA1_WITH_RSA, oids.SHA512_WITH_RSA, oids.ECDSA_WITH_SHA256, "1.2.840.113549.1.1.10"):
        assert refusal(with_algorithm(oid)) == SignatureReason.ALGORITHM_NOT_ALLOWED


def test_so_does_that_of_an_elliptic_key(ec_identity: Identity) -> None:
    def with_algorithm(oid: str) -> bytes:
        return Forge(ec_identity.key, ec_identity.certificate, signature_algorithm=algorithms.identifier(oid)).message()

    assert verify(parse_signed_data(with_algorithm(oids.ECDSA_WITH_SHA256)), policy=STRICT).content == BODY
    for oid in (oids.ECDSA_WITH_SHA1, oids.ECDSA_WITH_SHA512, oids.SHA256_WITH_RSA, oids.RSA_ENCRYPTION):
        assert refusal(with_algorithm(oid)) == SignatureReason.ALGORITHM_NOT_ALLOWED


def test_unexpected_parameters_are_refused(forge: Forge) -> None:
    absent = replace(forge, digest_algorithm=algorithms.identifier(oids.SHA256)).message()
    assert verify(parse_signed_data(absent), policy=STRICT).content == BODY
    for parameters in (der.integer(1), b"\x05\x01\x00", der.null() * 2, der.octet_string(bytes(40))):
        with pytest.raises(Malformed):
            parse_signed_data(replace(forge, digest_algorithm=algorithms.identifier(oids.SHA256, parameters)).message())


def test_a_weak_key_is_refused(rsa_identity: Identity, ec_identity: Identity) -> None:
    demanding = SignaturePolicy(
        digests=frozenset({"sha256"}),
        allow_without_attributes=False,
        minimum_rsa_bits=3072,
        curves=frozenset({"secp384r1"}),
    )
    for one in (rsa_identity, ec_identity):
        message = sign(BODY, key=one.key, certificate=one.certificate)
        assert refusal(message, policy=demanding) == SignatureReason.WEAK_KEY


def test_a_giant_key_is_refused_since_checking_it_would_keep_the_server_busy(rsa_identity: Identity) -> None:
    policy = SignaturePolicy(
        digests=frozenset({"sha256"}), allow_without_attributes=False, minimum_rsa_bits=1024, maximum_rsa_bits=1536
    )
    message = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate)
    assert refusal(message, policy=policy) == SignatureReason.WEAK_KEY


@pytest.mark.parametrize("policy", [STRICT, DEVICE, SCEP_REQUEST])
def test_no_use_accepts_weak_keys_or_giant_ones(policy: SignaturePolicy) -> None:
    assert (policy.minimum_rsa_bits, policy.maximum_rsa_bits) == (2048, 8192)
    assert policy.curves == {"secp256r1", "secp384r1", "secp521r1"}


def _twin(identity: Identity, issuer: x509.Name) -> bytes:
    """Another certificate of the same key, name and serial number, by this issuer."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(identity.certificate.subject)
        .issuer_name(issuer)
        .public_key(identity.key.public_key())
        .serial_number(identity.certificate.serial_number)
        .not_valid_before(TIME)
        .not_valid_after(TIME)
    )
    return builder.sign(identity.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_the_signers_certificate_is_the_one_of_the_issuer_that_is_named(
    rsa_identity: Identity, other_rsa: Identity, forge: Forge
) -> None:
    elsewhere = _twin(rsa_identity, other_rsa.certificate.subject)
    assert refusal(replace(forge, enclosed=[elsewhere]).message()) == SignatureReason.SIGNER_CERTIFICATE_MISSING
    both = replace(forge, enclosed=[elsewhere, rsa_identity.der]).message()
    assert verify(parse_signed_data(both), policy=STRICT).certificate == rsa_identity.der


def test_two_certificates_of_one_name_and_number_are_ambiguous(rsa_identity: Identity, forge: Forge) -> None:
    twin = _twin(rsa_identity, rsa_identity.certificate.issuer)
    ambiguous = replace(forge, enclosed=[rsa_identity.der, twin]).message()
    assert refusal(ambiguous) == SignatureReason.SIGNER_CERTIFICATE_AMBIGUOUS
    repeated = replace(forge, enclosed=[rsa_identity.der, rsa_identity.der]).message()
    assert verify(parse_signed_data(repeated), policy=STRICT).certificate == rsa_identity.der


def test_a_certificate_whose_extensions_nobody_reads_is_refused(rsa_identity: Identity) -> None:
    """Who names the signer by key identifier has us read them: an X.400 address among the names, say."""
    name, key = rsa_identity.certificate.subject, rsa_identity.key
    address = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), der.sequence(der.context(3, b"")))
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, TIME, TIME).add_extension(address, critical=False)
    odd = builder.sign(key, hashes.SHA256())
    message = sign(BODY, key=key, certificate=rsa_identity.certificate, signer_id="ski", certificates=[odd])
    with pytest.raises(Malformed, match="extensions"):
        verify(parse_signed_data(message), policy=STRICT)


def test_what_is_no_certificate_is_refused(forge: Forge) -> None:
    # ours by issuer and serial number, and nothing else in it
    certificate = forge.certificate
    hollow = der.sequence(der.sequence(der.integer(certificate.serial_number), der.sequence(), certificate.issuer.public_bytes()))
    for junk in (hollow, der.sequence(), der.sequence(der.integer(1)), b"\x30\x80\x00\x00"):
        with pytest.raises(Malformed):
            verify(parse_signed_data(replace(forge, enclosed=[junk]).message()), policy=STRICT)
    with pytest.raises(Malformed):
        parse_signed_data(replace(forge, enclosed=[der.integer(1)]).message())


def test_changing_any_one_octet_of_signature_digest_or_attributes_is_noticed(rsa_identity: Identity) -> None:
    message = sign(BODY, key=rsa_identity.key, certificate=rsa_identity.certificate, signing_time=TIME)
    (signer,) = parse_signed_data(message).signers
    assert signer.signed_attributes_raw is not None
    for part in (signer.signature, signer.signed_attributes_raw[1:], BODY):
        start = message.index(part)
        for at in range(start, start + len(part), 5):
            changed = message[:at] + bytes((message[at] ^ 0x01,)) + message[at + 1 :]
            with pytest.raises(CMSError):
                verify(parse_signed_data(changed), policy=DEVICE)


def test_signing_refuses_what_the_rules_forbid(rsa_identity: Identity, other_rsa: Identity, ec_identity: Identity) -> None:
    one: dict[str, Any] = {"key": rsa_identity.key, "certificate": rsa_identity.certificate}
    refused: tuple[dict[str, Any], ...] = (
        {**one, "digest": "sha1"},
        {**one, "digest": "md5", "allow_sha1": True},
        {**one, "certificate": ec_identity.certificate},
        {**one, "signed_attributes": False, "content_type": oids.ENVELOPED_DATA},
        {**one, "signed_attributes": False, "attributes": [TRANSACTION]},
        {**one, "signed_attributes": False, "signing_time": TIME},
        {**one, "attributes": [TRANSACTION, TRANSACTION]},
        {**one, "attributes": [(oids.MESSAGE_DIGEST, der.octet_string(bytes(32)))]},
        {"key": other_rsa.key, "certificate": other_rsa.certificate, "signer_id": "ski"},
    )
    for options in refused:
        with pytest.raises(Refused):
            sign(BODY, **options)
