"""What verifying says of archives that were changed after they were signed, each in one way."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, cms, keys, xar
from bramley.pki.cms import ber
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.xar import signing
from tests.pki.conftest import NOW
from tests.pki.xar.building import at, build, unpacked
from tests.pki.xar.conftest import Sign


def verify(data: bytes) -> xar.Verification:
    return xar.verify(xar.read(io.BytesIO(data)), progress=lambda _: None)


def faults(data: bytes) -> tuple[bool, tuple[str, ...], str, str]:
    found = verify(data)
    assert found.rsa is not None
    assert found.cms is not None
    return found.checksum_holds, found.altered, found.rsa.fault, found.cms.fault


def indefinite(message: bytes) -> bytes:
    """The message with indefinite lengths outside: a ContentInfo is an identifier, and a SignedData under [0]."""
    root = ber.parse(message)
    kind, content = root.children
    return b"\x30\x80" + kind.raw + b"\xa0\x80" + content.content + bytes(4)


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


@pytest.fixture(scope="module")
def signed(sign: Sign) -> bytes:
    return sign(build())


def test_what_we_sign_holds_and_says_whose_and_when(signed: bytes, identity: xar.Identity) -> None:
    found = verify(signed)
    assert found.checksum_holds
    assert found.altered == ()
    assert found.rsa == xar.Proof("", identity.chain)
    assert found.cms == xar.Proof("", identity.chain, NOW)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("checksum", (False, (), "", "")),
        ("signature", (True, (), "The signature does not match", "")),
        ("x-signature", (True, (), "", "")),
        ("the last file", (True, ("Résources/é&<.txt",), "", "")),
    ],
)
def test_one_changed_octet_breaks_what_it_belongs_to(
    place: str, expected: tuple[bool, tuple[str, ...], str, str], signed: bytes
) -> None:
    position = len(signed) - 1 if place == "the last file" else at(signed, place)
    found = faults(flipped(signed, position))
    assert found[:2] == expected[:2]
    assert found[2].startswith(expected[2])
    assert bool(found[2]) == bool(expected[2])
    assert bool(found[3]) == (place == "x-signature")


def test_a_changed_table_breaks_both_signatures_even_under_a_new_checksum(signed: bytes) -> None:
    """Somebody changes a name and makes size and checksum fit again: only the signatures tell."""
    xml, base, compressed = unpacked(signed)
    changed = zlib.compress(xml.replace("Payload", "Paylord").encode())
    header = struct.pack(">4sHHQQI", b"xar!", 28, 1, len(changed), len(xml.encode()), 3)
    heap = hashlib.sha256(changed).digest() + signed[base + 32 :]
    sound, altered, rsa_fault, cms_fault = faults(header + changed + heap)
    assert (sound, altered) == (True, ())
    assert rsa_fault
    assert cms_fault
    # and with the old checksum in place it is the checksum that does not hold
    assert not verify(header + changed + signed[base:]).checksum_holds
    assert compressed != changed


def test_a_signature_by_another_key_does_not_pass_for_the_certificates(sign: Sign, identity: xar.Identity) -> None:
    other = keys.generate(KeyAlgorithm.RSA_2048)
    assert isinstance(other, rsa.RSAPrivateKey)
    with pytest.raises(cms.Refused):
        sign(build(), by=replace(identity, key=other))


@pytest.mark.parametrize("options", [(), ("-nocerts",)])
def test_messages_of_openssl_and_zeros_behind_them_are_taken(
    options: tuple[str, ...],
    signed: bytes,
    identity: xar.Identity,
    openssl: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """Apple's tools write BER with indefinite lengths, and zeros after it."""
    base, size = at(signed, "x-signature"), len(signing._cms(identity, bytes(32), NOW))
    digest = signed[at(signed, "checksum") :][:32]
    (tmp_path / "key.pem").write_bytes(identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "leaf.pem").write_bytes(certificates.pem(identity.chain[0]))
    (tmp_path / "digest").write_bytes(digest)
    openssl(
        *("cms", "-sign", "-binary", "-in", tmp_path / "digest", "-signer", tmp_path / "leaf.pem"),
        *("-inkey", tmp_path / "key.pem", "-outform", "DER", "-out", tmp_path / "cms", "-nosmimecap", "-md", "sha1"),
        *options,
    )
    message = indefinite((tmp_path / "cms").read_bytes())
    padded = message + bytes(size - len(message))
    assert len(message) < size == len(padded)
    found = verify(signed[:base] + padded + signed[base + size :])
    assert found.cms is not None
    assert found.cms.fault == ""
    assert found.cms.certificates == identity.chain
    # anything but zeros behind a message is not padding
    found = verify(signed[:base] + padded[:-1] + b"\1" + signed[base + size :])
    assert found.cms is not None
    assert found.cms.fault


@pytest.mark.parametrize("certificate", ["", "<X509Certificate>AAAA</X509Certificate>"])
def test_a_signature_without_a_readable_certificate_proves_nothing(certificate: str) -> None:
    key = f"<KeyInfo><X509Data>{certificate}</X509Data></KeyInfo>"
    made = build(
        {"a": bytes(300)},
        edit=lambda xml: xml.replace("<length>300</length><offset>20<", "<length>30</length><offset>290<").replace(
            "</toc>", f'<signature style="RSA"><offset>20</offset><size>256</size>{key}</signature></toc>'
        ),
    )
    proof = verify(made).rsa
    assert proof is not None
    assert proof.fault
    assert proof.certificates == ()
