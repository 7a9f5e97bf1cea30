"""Timestamps in signed archives: OpenSSL is the authority, verifies both signatures, and takes the token out again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bramley.pki import certificates, cms, oids, timestamps, xar
from bramley.pki.cms.signed_data import unsigned_values
from bramley.pki.cms.signing import with_unsigned_attribute
from bramley.pki.timestamps import LARGEST_TOKEN, VerifiedTimestamp
from tests.pki.conftest import NOW, Hierarchy
from tests.pki.timestamps.authority import AFTER, BEFORE, Authority, Forge, make_authority, make_signer, run
from tests.pki.xar.building import FILES, at, build
from tests.pki.xar.test_signing import contents, seal


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    root = make_signer("Timestamp Root", ca=True)
    return make_authority(tmp_path_factory.mktemp("tsa") / "tsa", make_signer(below=root))


def asking(authority: Authority) -> xar.Stamp:
    def stamp(signature: bytes) -> VerifiedTimestamp:
        asked = timestamps.request(signature)
        return timestamps.accept(authority.reply(asked.der), asked)

    return stamp


def sign(identity: xar.Identity, stamp: xar.Stamp | None, data: bytes = b"") -> tuple[bytes, VerifiedTimestamp | None]:
    target = io.BytesIO()
    opened = xar.read(io.BytesIO(data or build()))
    stamped = xar.sign(opened, target, identity, now=NOW, replace=True, stamp=stamp, progress=lambda _: None)
    return target.getvalue(), stamped


@pytest.fixture(scope="module")
def stamped(identity: xar.Identity, authority: Authority) -> bytes:
    return sign(identity, asking(authority))[0]


def verify(data: bytes) -> xar.Verification:
    return xar.verify(xar.read(io.BytesIO(data)), progress=lambda _: None)


def proof(data: bytes) -> xar.Proof:
    found = verify(data).cms
    assert found is not None
    return found


def in_place(data: bytes, message: bytes) -> bytes:
    """The archive with another message in the room of the CMS signature."""
    start, room = at(data, "x-signature"), len(seal(data, "x-signature"))
    assert len(message) <= room
    return data[:start] + message.ljust(room, b"\0") + data[start + room :]


def without_zeros(data: bytes) -> bytes:
    element = seal(data, "x-signature")
    return element[: 4 + int.from_bytes(element[2:4], "big")]


def plain(data: bytes, identity: xar.Identity) -> bytes:
    """The CMS signature of an archive as it was before it had a timestamp."""
    digest, leaf = seal(data, "checksum"), identity.chain[0]
    return cms.sign(digest, key=identity.key, certificate=leaf, others=identity.chain[1:], detached=True, signing_time=NOW)


def test_what_the_authority_gave_is_what_verifying_finds(identity: xar.Identity, authority: Authority) -> None:
    data, given = sign(identity, asking(authority))
    assert given is not None
    assert given.certificate == authority.signer.certificate
    found = verify(data)
    assert found.checksum_holds
    assert found.altered == ()
    assert found.rsa == xar.Proof("", identity.chain)
    assert found.cms == xar.Proof("", identity.chain, NOW, given)
    assert [content for _, content in contents(data)] == list(FILES.values())


def test_the_room_is_filled_up_with_zeros_and_is_there_only_for_a_timestamp(identity: xar.Identity, stamped: bytes) -> None:
    element, message = seal(stamped, "x-signature"), without_zeros(stamped)
    assert element == message.ljust(len(element), b"\0")
    bare, none = sign(identity, None)
    assert none is None
    assert len(element) == len(seal(bare, "x-signature")) + LARGEST_TOKEN + 64
    assert seal(bare, "x-signature") == without_zeros(bare)


def test_openssl_accepts_the_signatures_and_the_timestamp(
    stamped: bytes, authority: Authority, hierarchy: Hierarchy, tmp_path: Path
) -> None:
    (signer,) = cms.parse_signed_data(without_zeros(stamped)).signers
    (token,) = unsigned_values(signer, oids.TIME_STAMP_TOKEN)
    for name, content in {
        "digest": seal(stamped, "checksum"),
        "cms": without_zeros(stamped),
        "padded": seal(stamped, "x-signature"),
        "token": token,
        "signature": signer.signature,
        "root.pem": certificates.pem(hierarchy.root.certificate),
        "tsa.pem": certificates.pem(authority.signer.cas[0]),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("cms", "padded"):
        run(
            *("cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / name, "-content", tmp_path / "digest"),
            *("-CAfile", tmp_path / "root.pem", "-purpose", "any", "-attime", int(NOW.timestamp()), "-out", tmp_path / "out"),
        )
        assert (tmp_path / "out").read_bytes() == seal(stamped, "checksum")
    given = ("-data", tmp_path / "signature", "-in", tmp_path / "token", "-token_in", "-CAfile", tmp_path / "tsa.pem")
    assert "Verification: OK" in run("ts", "-verify", *given)


def test_one_changed_octet_of_the_timestamp_is_noticed_and_the_signature_holds(identity: xar.Identity, stamped: bytes) -> None:
    (signer,) = cms.parse_signed_data(without_zeros(stamped)).signers
    (token,) = unsigned_values(signer, oids.TIME_STAMP_TOKEN)
    inside = cms.parse_signed_data(token)
    assert inside.content is not None
    for start in (token.index(inside.content) + 10, token.index(inside.signers[0].signature)):
        changed = token[:start] + bytes((token[start] ^ 1,)) + token[start + 1 :]
        found = proof(in_place(stamped, with_unsigned_attribute(plain(stamped, identity), oids.TIME_STAMP_TOKEN, changed)))
        assert (found.fault, found.timestamp) == ("", None)
        assert found.timestamp_fault


def test_the_timestamp_of_another_signature_does_not_pass(identity: xar.Identity, stamped: bytes) -> None:
    """Somebody takes a timestamp from an old package to make a new one look old."""
    other = build({"PackageInfo": b"new"})
    old = proof(stamped).timestamp
    assert old is not None
    data, _ = sign(identity, lambda _: old, other)
    found = proof(data)
    assert (found.fault, found.timestamp) == ("", None)
    assert "over something else" in found.timestamp_fault


def test_two_timestamps_or_what_is_none_prove_nothing(identity: xar.Identity, stamped: bytes) -> None:
    (signer,) = cms.parse_signed_data(without_zeros(stamped)).signers
    (token,) = unsigned_values(signer, oids.TIME_STAMP_TOKEN)
    for value, words in ((token + token, "there are 2"), (b"\x05\x00", "octet 2"), (b"\x30\x03\x02\x01\x05", "octet 5")):
        # the value may be several elements: the SET is as long as they are
        data = in_place(stamped, with_unsigned_attribute(plain(stamped, identity), oids.TIME_STAMP_TOKEN, value))
        found = proof(data)
        assert (found.fault, found.timestamp) == ("", None)
        assert words in found.timestamp_fault


def test_whatever_follows_the_message_but_zeros_is_refused(stamped: bytes) -> None:
    start, room = at(stamped, "x-signature"), len(seal(stamped, "x-signature"))
    end = start + room - 1
    assert proof(stamped[:end] + b"\1" + stamped[end + 1 :]).fault


def test_what_the_authority_does_not_give_stops_everything_before_a_byte_is_written(identity: xar.Identity) -> None:
    def stamp(_: bytes) -> VerifiedTimestamp:
        raise timestamps.Declined("not today")

    target = io.BytesIO()
    with pytest.raises(timestamps.Declined):
        xar.sign(xar.read(io.BytesIO(build())), target, identity, now=NOW, stamp=stamp, progress=lambda _: None)
    assert target.getvalue() == b""


def test_the_largest_timestamp_there_may_be_has_room(identity: xar.Identity) -> None:
    """Its octets come from an extension of one of the certificates that it brings."""
    signer = make_signer()

    def of_size(signature: bytes, filling: int) -> bytes:
        value = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(filling))
        key, name = signer.key, signer.certificate.subject
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7, BEFORE, AFTER).add_extension(value, critical=False)
        return Forge(signer, signature, None, NOW, sign={"others": [builder.sign(key, hashes.SHA256())]}).token()

    largest = LARGEST_TOKEN - len(of_size(b"", 10_000)) + 10_000

    def stamp(signature: bytes) -> VerifiedTimestamp:
        return timestamps.verify(of_size(signature, largest), signature, policy=cms.STRICT)

    data, given = sign(identity, stamp)
    assert given is not None
    assert len(given.token) == LARGEST_TOKEN
    assert proof(data).timestamp == given
    with pytest.raises(timestamps.BadTimestamp, match="at most 16384"):
        sign(identity, lambda signature: timestamps.verify(of_size(signature, largest + 1), signature, policy=cms.STRICT))
