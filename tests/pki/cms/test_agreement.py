"""Our reader and asn1crypto on ten thousand messages: whatever we accept, it accepts, and both read the same from it.

Half are good messages of every shape, re-encoded as loosely as BER allows; half have been damaged. The oracle is lenient where
we are not, so that the other direction (it accepts, we refuse) is no fault.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from asn1crypto import cms, core, parser
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bramley.pki import oids
from bramley.pki.cms import (
    DEVICE,
    CMSError,
    SignedData,
    SignerInfo,
    certs_only,
    decrypt,
    der,
    encrypt,
    parse_signed_data,
    sign,
    verify,
)

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity

SCEP_TYPE = (oids.SCEP_MESSAGE_TYPE, der.printable_string("19"))
SCEP_NONCE = (oids.SCEP_SENDER_NONCE, der.octet_string(bytes(range(16))))
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}

# everything about an example follows from its seed: drawing each choice from hypothesis takes longer than reading the message
seeds = st.integers(0, 2**64 - 1)
thousands = settings(
    max_examples=5000,
    deadline=None,
    # a smaller seed is not a simpler message
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="session")
def identities(rsa_identity: Identity, ec_identity: Identity, ec384_identity: Identity) -> list[Identity]:
    return [rsa_identity, ec_identity, ec384_identity]


@dataclass(frozen=True)
class Shape:
    """How a message is made: indexes, switches, and the seed of its content and encoding."""

    signer: int
    digest: str
    detached: bool
    attributed: bool
    by_key: bool
    others: int
    extra: int
    size: int
    seed: int

    @classmethod
    def of(cls, seed: int) -> Shape:
        dice = random.Random(seed)
        return cls(
            signer=dice.choice([0, 1, 0, 1, 0, 1, 2]),  # P-384 is slow
            digest=dice.choice(sorted(HASHES)),
            detached=dice.random() < 0.5,
            attributed=dice.random() < 0.7,
            by_key=dice.random() < 0.3,
            others=dice.randrange(3),
            extra=dice.randrange(3),
            size=dice.choice([0, 1, 40, 127, 128, 300]),
            seed=seed,
        )


def make(shape: Shape, identities: list[Identity]) -> tuple[bytes, bytes]:
    """A message in DER, and its content."""
    one = identities[shape.signer]
    content = random.Random(shape.seed).randbytes(shape.size)
    message = sign(
        content,
        key=one.key,
        certificate=one.certificate,
        others=[other.certificate for other in identities if other is not one][: shape.others],
        digest=shape.digest,
        detached=shape.detached,
        signed_attributes=shape.attributed,
        attributes=[SCEP_TYPE, SCEP_NONCE][: shape.extra] if shape.attributed else [],
        signer_id="ski" if shape.by_key else "issuer-serial",
        allow_sha1=True,
    )
    return message, content


def split(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, contents and whole of each DER element; written apart from the reader that is on trial."""
    while content:
        count = content[1] & 0x7F if content[1] & 0x80 else 0
        size = int.from_bytes(content[2 : 2 + count], "big") if count else content[1]
        end = 2 + count + size
        yield content[0], content[2 + count : end], content[:end]
        content = content[end:]


class Loosener:
    """Encodes the same values as BER allows it: lengths with needless octets or indefinite, strings in pieces."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def element(self, tag: int, content: bytes) -> bytes:
        style = self._random.randrange(3)
        if style == 1 and tag & 0x20:
            return bytes((tag, 0x80)) + content + b"\x00\x00"
        if style == 2:
            count = self._random.randint((len(content).bit_length() + 7) // 8 or 1, 6)
            return bytes((tag, 0x80 | count)) + len(content).to_bytes(count, "big") + content
        return der.element(tag, content)

    def octet_string(self, content: bytes, depth: int = 0) -> bytes:
        """In one piece, or in pieces under an indefinite length: asn1crypto reads no others, and not many levels of them."""
        if depth > 2 or self._random.random() < 0.5:
            return self.element(0x04, content)
        cut = self._random.randint(0, len(content))
        pieces = self.element(0x04, content[:cut]) + self.octet_string(content[cut:], depth + 1)
        return b"\x24\x80" + pieces + b"\x00\x00"

    def message(self, message: bytes) -> bytes:
        ((_, info, _),) = split(message)
        (_, _, kind), (_, explicit, _) = split(info)
        ((_, signed_data, _),) = split(explicit)
        parts = b"".join(self._part(tag, content, whole) for tag, content, whole in split(signed_data))
        return self.element(0x30, kind + self.element(0xA0, self.element(0x30, parts)))

    def _part(self, tag: int, content: bytes, whole: bytes) -> bytes:
        match tag:
            case 0x30:
                (_, _, kind), *rest = split(content)
                return self.element(0x30, kind + b"".join(self._content(inner) for _, inner, _ in rest))
            case 0xA0:  # certificates stay as they are, what holds them does not
                return self.element(0xA0, content)
            case 0x31:
                return self.element(0x31, b"".join(self._set_member(inner) for _, inner, _ in split(content)))
            case _:
                return whole

    def _content(self, explicit: bytes) -> bytes:
        ((_, content, _),) = split(explicit)
        return self.element(0xA0, self.octet_string(content))

    def _set_member(self, content: bytes) -> bytes:
        """A digest algorithm or a SignerInfo. The signer's identifier stays as it is: asn1crypto reads a CHOICE in DER only."""
        members = [
            self.octet_string(inner) if tag == 0x04 else self.element(0x30, inner) if tag == 0x30 and index > 1 else whole
            for index, (tag, inner, whole) in enumerate(split(content))
        ]
        return self.element(0x30, b"".join(members))


class Encapsulated(core.Sequence):  # type: ignore[misc]
    """EncapsulatedContentInfo as RFC 5652 has it; asn1crypto's own follows PKCS#7 and reads the content by its type."""

    _fields = [  # noqa: RUF012
        ("content_type", core.ObjectIdentifier),
        ("content", core.OctetString, {"explicit": 0, "optional": True}),
    ]


def elements(contents: bytes) -> Iterator[bytes]:
    """The elements of a SET OF as they stand; asn1crypto's own CertificateSet opens them, which we leave to `verify`."""
    while contents:
        size = parser.peek(contents)
        yield contents[:size]
        contents = contents[size:]


def as_asn1crypto_reads(message: bytes) -> SignedData:
    """The same values out of asn1crypto. Attributes are compared raw: it judges their values, which we leave to `verify`."""
    signed = cms.ContentInfo.load(message, strict=True)["content"]
    encapsulated = Encapsulated.load(der.sequence(signed["encap_content_info"].contents), strict=True)
    return SignedData(
        content_type=encapsulated["content_type"].dotted,
        content=encapsulated["content"].native,
        certificates=tuple(one for one in elements(signed["certificates"].contents or b"") if one[0] == 0x30),
        signers=tuple(_signer(signer) for signer in signed["signer_infos"]),
    )


def _signer(signer: Any) -> SignerInfo:
    named = signer["sid"].name == "issuer_and_serial_number"
    sid = signer["sid"].chosen
    attributes = signer["signed_attrs"].dump()
    return SignerInfo(
        issuer=sid["issuer"].dump() if named else None,
        serial=sid["serial_number"].native if named else None,
        ski=None if named else sid.native,
        digest_algorithm=signer["digest_algorithm"]["algorithm"].dotted,
        signature_algorithm=signer["signature_algorithm"]["algorithm"].dotted,
        signed_attributes=None,
        signed_attributes_raw=b"\x31" + attributes[1:] if attributes else None,
        signature=signer["signature"].native,
    )


def without_attribute_values(signed: SignedData) -> SignedData:
    signers = tuple(
        SignerInfo(
            one.issuer,
            one.serial,
            one.ski,
            one.digest_algorithm,
            one.signature_algorithm,
            None,
            one.signed_attributes_raw,
            one.signature,
        )
        for one in signed.signers
    )
    return SignedData(signed.content_type, signed.content, signed.certificates, signers)


def asn1crypto_finds_good(message: bytes, content: bytes, identity: Identity, digest: str) -> bool:
    """Checked along another way: asn1crypto for the structure, the bare key for the signature."""
    (signer,) = cms.ContentInfo.load(message, strict=True)["content"]["signer_infos"]
    covered = content
    if not isinstance(signer["signed_attrs"], core.Void):
        attributes = {one["type"].native: one["values"] for one in signer["signed_attrs"]}
        hashed = hashes.Hash(HASHES[digest])
        hashed.update(content)
        if attributes["message_digest"][0].native != hashed.finalize() or attributes["content_type"][0].native != "data":
            return False
        covered = signer["signed_attrs"].untag().dump()
    key = identity.key.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signer["signature"].native, covered, padding.PKCS1v15(), HASHES[digest])
        else:
            key.verify(signer["signature"].native, covered, ec.ECDSA(HASHES[digest]))
    except InvalidSignature:
        return False
    return True


@thousands
@given(seed=seeds)
def test_good_messages_of_every_shape_are_read_alike_and_verify(seed: int, identities: list[Identity]) -> None:
    shape = Shape.of(seed)
    strict, content = make(shape, identities)
    message = Loosener(shape.seed).message(strict)
    signed = parse_signed_data(message)
    assert signed == parse_signed_data(strict)
    assert without_attribute_values(signed) == as_asn1crypto_reads(message)
    one = identities[shape.signer]
    proof = verify(signed, content=content if shape.detached else None, policy=DEVICE)
    assert (proof.certificate, proof.content, proof.digest) == (one.der, content, shape.digest)
    assert asn1crypto_finds_good(message, content, one, shape.digest)


class Pool:
    """Good messages to be damaged: strict and loose, of several shapes."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages


@pytest.fixture(scope="session")
def pool(identities: list[Identity]) -> Pool:
    messages = [certs_only([one.certificate for one in identities])]
    for seed in range(60):
        strict, _ = make(Shape.of(seed), identities)
        messages += [strict, Loosener(seed).message(strict)]
    return Pool(messages)


OCTETS = bytes.fromhex("00 01 02 04 24 30 31 80 81 82 84 a0 a1 ff")


def damage(message: bytes, dice: random.Random) -> bytes:
    """The message after one to three small changes, most of them where headers lie."""
    for _ in range(dice.randint(1, 3)):
        # the headers of the message are at its beginning and at its end, certificates in the middle
        at = int(dice.choice([0.15, 1.0, 1.0]) * dice.random() * len(message))
        before, after = message[:at], message[at:]
        octet = dice.choice(OCTETS) if dice.random() < 0.5 else dice.randrange(256)
        match dice.choice(["set", "set", "flip", "insert", "delete", "repeat", "cut"]):
            case "set":
                message = before + bytes((octet,)) + after[1:]
            case "flip":
                message = before + bytes(((after or b"\x00")[0] ^ 1 << octet % 8,)) + after[1:]
            case "insert":
                message = before + bytes((octet,)) * dice.randint(1, 8) + after
            case "delete":
                message = before + after[dice.randint(1, 8) :]
            case "repeat":
                message = before + after[: dice.randint(1, 40)] + after
            case _:
                message = before
    return message


@thousands
@given(seed=seeds)
@pytest.mark.filterwarnings("ignore")
def test_damaged_messages_are_refused_or_read_alike(seed: int, pool: Pool) -> None:
    dice = random.Random(seed)
    message = damage(dice.choice(pool.messages), dice)
    try:
        signed = parse_signed_data(message)
    except CMSError:
        return
    try:
        theirs = as_asn1crypto_reads(message)
    except ValueError as limit:
        # the one thing in BER that it does not read: a string in pieces under a definite length
        assert "method should have been primitive, but constructed was found" in str(limit)  # noqa: PT017
    else:
        assert without_attribute_values(signed) == theirs
    try:
        proof = verify(signed, content=b"" if signed.content is None else None, policy=DEVICE)
    except CMSError:
        return
    assert proof.certificate in signed.certificates


@settings(thousands, max_examples=1000)
@given(seed=seeds)
@pytest.mark.filterwarnings("ignore")
def test_damaged_envelopes_open_or_fail_as_cms(seed: int, rsa_identity: Identity, sealed: bytes) -> None:
    assert isinstance(rsa_identity.key, rsa.RSAPrivateKey)
    message = damage(sealed, random.Random(seed))
    try:
        opened = decrypt(message, key=rsa_identity.key, certificate=rsa_identity.certificate)
    except CMSError:
        return
    assert len(opened.content) < len(message)


@pytest.fixture(scope="session")
def sealed(rsa_identity: Identity, other_rsa: Identity) -> bytes:
    return encrypt(bytes(range(100)), recipients=[other_rsa.certificate, rsa_identity.certificate], cipher="aes-128-cbc")
