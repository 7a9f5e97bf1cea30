"""Apple's roots and the way up to one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bramley.apple.push_certificate import APPLE_ROOTS, BadChain, MissingIssuer, build_chain, read_cas
from bramley.errors import BadInput
from bramley.pki import certificates
from tests.apple.push_certificate.conftest import KeyOf, OpenSSL
from tests.apple.push_certificate.making import DAY, LEAF, MARK, WWDR, YEAR, AppleLike, authority, certify, name
from tests.conftest import NOW


def test_apples_root_is_pinned(vectors: Path, openssl: OpenSSL, tmp_path: Path) -> None:
    """The one root of which a copy is at hand; OpenSSL takes its fingerprint."""
    root = certificates.load_chain((vectors / "apple-ca" / "apple-iphone-device-ca-chain.pem").read_bytes())[2]
    (tmp_path / "root.pem").write_bytes(certificates.pem(root))
    said = openssl("x509", "-subject", "-fingerprint", "-sha256", "-noout", "-nameopt", "RFC2253", "-in", tmp_path / "root.pem")
    assert "CN=Apple Root CA,OU=Apple Certification Authority,O=Apple Inc." in said
    assert said.strip().rpartition("=")[2].replace(":", "").lower() in APPLE_ROOTS


def test_a_chain_of_apples_own_from_2007_is_too_weak(vectors: Path) -> None:
    """Under the pinned root, at a time when all of it was in force: the intermediate is signed with SHA-1."""
    leaf, middle, root = certificates.load_chain((vectors / "apple-ca" / "apple-iphone-device-ca-chain.pem").read_bytes())
    with pytest.raises(BadChain, match=r"signed with 1\.2.840.113549.1.1.5; expected SHA-256 or stronger"):
        build_chain(middle, [leaf, root], roots=APPLE_ROOTS, now=middle.not_valid_before_utc + DAY)


def test_the_generation_is_chosen_among_equal_names(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    a = apple_like
    pool = [a.twin, a.g4, a.root, a.g3]
    for candidates in (pool, pool[::-1], pool * 2):
        found = build_chain(a.vendor.certificate, [each.certificate for each in candidates], roots=a.roots, now=NOW)
        assert found == a.chain
    by_g4 = certify(name("MDM Vendor: Orchard"), rsa_key("vendor"), a.g4, LEAF, MARK).certificate
    found = build_chain(by_g4, [each.certificate for each in pool], roots=a.roots, now=NOW)
    assert found == (by_g4, a.g4.certificate, a.root.certificate)


def test_of_two_certificates_of_one_ca_the_one_in_force_is_taken(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    a = apple_like
    old = authority(name(WWDR, unit="G3"), rsa_key("g3"), a.root, begin=NOW - YEAR, end=NOW - DAY).certificate
    for candidates in ([old, *a.chain[1:]], [*a.chain[1:], old]):
        assert build_chain(a.vendor.certificate, candidates, roots=a.roots, now=NOW) == a.chain


def test_the_key_identifier_decides_between_certificates_of_one_key(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    a = apple_like
    other = x509.SubjectKeyIdentifier(b"another way to count")
    builder = x509.CertificateBuilder(a.root.certificate.subject, a.g3.certificate.subject, rsa_key("g3").public_key(), 8)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).add_extension(other, critical=False)
    renamed = builder.sign(rsa_key("root"), hashes.SHA256())
    assert build_chain(a.vendor.certificate, [renamed, *a.chain[1:]], roots=a.roots, now=NOW) == a.chain


def test_without_key_identifiers_the_signature_decides(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    a = apple_like
    bare = (
        x509.CertificateBuilder(a.g3.certificate.subject, name("MDM Vendor: Bare"), rsa_key("vendor").public_key(), 7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(rsa_key("g3"), hashes.SHA256())
    )
    candidates = [each.certificate for each in (a.twin, a.g4, a.g3, a.root)]
    assert build_chain(bare, candidates, roots=a.roots, now=NOW) == (bare, *a.chain[1:])


MISSING: dict[str, tuple[Callable[[AppleLike], list[x509.Certificate]], type[BadChain], str]] = {
    "nothing": (lambda a: [], MissingIssuer, r"OU=G3"),
    "no intermediate": (lambda a: [a.root.certificate], MissingIssuer, r"OU=G3,CN=Orchard Worldwide.*certificateauthority"),
    "no root": (lambda a: [a.g3.certificate], MissingIssuer, r"is missing: O=Orchard Inc.,CN=Orchard Root CA"),
    "another generation": (lambda a: [a.g4.certificate, a.root.certificate], MissingIssuer, "OU=G3"),
    "same name, another key": (lambda a: [a.twin.certificate, a.root.certificate], MissingIssuer, "1 of that name came"),
}


@pytest.mark.parametrize("row", MISSING)
def test_what_is_missing_is_named(apple_like: AppleLike, row: str) -> None:
    candidates, error, said = MISSING[row]
    with pytest.raises(BadChain, match=said) as caught:
        build_chain(apple_like.vendor.certificate, candidates(apple_like), roots=apple_like.roots, now=NOW)
    assert type(caught.value) is error
    assert isinstance(caught.value, BadInput)


def test_a_chain_to_another_root_is_refused(apple_like: AppleLike) -> None:
    candidates = apple_like.chain[1:]
    with pytest.raises(BadChain, match="none of the roots that count"):
        build_chain(apple_like.vendor.certificate, candidates, roots=APPLE_ROOTS, now=NOW)
    with pytest.raises(BadChain, match="has 1"):
        build_chain(apple_like.root.certificate, candidates, roots=apple_like.roots, now=NOW)


def test_a_ring_of_cas_ends(apple_like: AppleLike, rsa_key: KeyOf) -> None:
    one, two = name("One"), name("Two")
    first = authority(one, rsa_key("g3"))
    second = authority(two, rsa_key("g4"), first)
    back = authority(one, rsa_key("g3"), second)
    leaf = certify(name("MDM Vendor: Ring"), rsa_key("vendor"), second, LEAF, MARK).certificate
    with pytest.raises(BadChain, match="none of the roots"):
        build_chain(leaf, [second.certificate, back.certificate], roots=apple_like.roots, now=NOW)


def test_dates_of_every_certificate_count(apple_like: AppleLike) -> None:
    for certificate, said in ((apple_like.chain[0], "MDM Vendor.*expired"), (apple_like.chain[1], "expired")):
        with pytest.raises(BadChain, match=said):
            build_chain(
                apple_like.chain[0], apple_like.chain[1:], roots=apple_like.roots, now=certificate.not_valid_after_utc + DAY
            )
    with pytest.raises(BadChain, match="valid from"):
        build_chain(apple_like.chain[0], apple_like.chain[1:], roots=apple_like.roots, now=NOW - 2 * DAY)


def test_files_of_cas_are_read(apple_like: AppleLike) -> None:
    several = apple_like.chain[1:]
    assert read_cas(b"".join(map(certificates.pem, several))) == several
    assert read_cas(b"".join(map(certificates.pem, several)).replace(b"\n", b"\r\n")) == several
    assert read_cas(certificates.der(several[0])) == several[:1]


def test_a_file_has_a_largest_size(apple_like: AppleLike) -> None:
    pem = certificates.pem(apple_like.root.certificate)
    assert read_cas(pem.ljust(256 * 1024, b"\n")) == apple_like.chain[2:]
    with pytest.raises(BadChain, match="at most 262144"):
        read_cas(pem.ljust(256 * 1024 + 1, b"\n"))


@pytest.mark.parametrize(
    "data",
    [b"", b"<html></html>", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82"],
    ids=["empty", "HTML", "PEM cut off", "DER cut off"],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(BadChain) as caught:
        read_cas(data)
    assert "certificateauthority" in caught.value.advice
