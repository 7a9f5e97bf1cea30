"""PKCS#12 archives: what OpenSSL and `cryptography` write is read, and what no program should write is refused in time."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.pki import certificates, keys, names, oids, pkcs12
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.pki.cms import ber, der
from bramley.pki.errors import BadArchive, BadKey, NoPrivateKey, PKIError, WrongPassword
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.pkcs12 import Bundle, Style

from . import kit
from .kit import PASSWORD

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]

PASSWORDS = ["secret", "", "pässwörd", "日本語", "apple 🍏 pie"]

LEGACY = ["-legacy"]
TRIPLE_DES = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]
WRITERS = {
    "openssl 1 (RC2-40 and triple DES)": LEGACY,
    "RC2-128": [*LEGACY, "-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128"],
    "triple DES": TRIPLE_DES,
    "openssl 3 (AES-256, SHA-256)": [],
    "AES-128, SHA-512": ["-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC", "-macalg", "sha512"],
    "PBES2 with triple DES": ["-keypbe", "DES-EDE3-CBC", "-certpbe", "DES-EDE3-CBC", "-macalg", "sha384"],
    "nothing encrypted": ["-keypbe", "NONE", "-certpbe", "NONE"],
    "one iteration": ["-noiter", "-nomaciter"],
    "200,000 iterations": ["-iter", "200000"],
}


@pytest.fixture(scope="session")
def bundle(hierarchy: Any) -> Bundle:
    return Bundle(hierarchy.device_key, hierarchy.device, (hierarchy.identity_ca.certificate, hierarchy.root.certificate))


@pytest.fixture
def exported(bundle: Bundle, openssl: OpenSSL, tmp_path: Path) -> Callable[..., bytes]:
    """`exported(options, password)`: the bundle as the `openssl` command exports it."""
    pem_key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem_key)
    (tmp_path / "device.pem").write_bytes(certificates.pem(bundle.certificate))
    (tmp_path / "chain.pem").write_bytes(b"".join(map(certificates.pem, bundle.others)))

    def export(options: list[str], password: str) -> bytes:
        if "-legacy" in options and openssl("list", "-providers", "-provider", "legacy", check=False).returncode:
            pytest.skip("this OpenSSL comes without its legacy module, and cannot write RC2")
        (tmp_path / "password").write_text(password + "\n", encoding="utf-8")
        openssl(
            *("pkcs12", "-export", "-out", tmp_path / "archive.p12", "-passout", f"file:{tmp_path / 'password'}"),
            *("-inkey", tmp_path / "key.pem", "-in", tmp_path / "device.pem", "-certfile", tmp_path / "chain.pem"),
            *options,
        )
        return (tmp_path / "archive.p12").read_bytes()

    return export


def same(one: Bundle, other: Bundle) -> bool:
    mine = (keys.to_pkcs8(one.key), one.certificate, set(one.others))
    return mine == (keys.to_pkcs8(other.key), other.certificate, set(other.others))


# --- what other programs write


@pytest.mark.parametrize("writer", WRITERS)
def test_openssl_writes_and_we_read(writer: str, bundle: Bundle, exported: Callable[..., bytes]) -> None:
    data = exported(WRITERS[writer], "secret")
    assert same(pkcs12.read(data, "secret"), bundle)
    with pytest.raises(WrongPassword):
        pkcs12.read(data, "Secret")


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("options", [LEGACY, []], ids=["legacy", "modern"])
def test_every_password_opens_what_it_closed(
    options: list[str], password: str, bundle: Bundle, exported: Callable[..., bytes]
) -> None:
    data = exported(options, password)
    assert same(pkcs12.read(data, password), bundle)
    for wrong in set(PASSWORDS) - {password}:
        with pytest.raises(WrongPassword):
            pkcs12.read(data, wrong)


def test_an_empty_password_may_also_be_no_octets_at_all(bundle: Bundle) -> None:
    """RFC 7292 appendix B.1 leaves both ways; some programs write no terminator either."""
    data = kit.archive(kit.plain(*kit.of(bundle)), wide=b"")
    assert same(pkcs12.read(data, ""), Bundle(bundle.key, bundle.certificate))
    with pytest.raises(WrongPassword):
        pkcs12.read(data, "0")


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P_256, KeyAlgorithm.P_384])
def test_keys_on_curves_are_read(algorithm: KeyAlgorithm, key_of: Callable[..., Any], hierarchy: Any, now: Any) -> None:
    key = key_of(algorithm)
    certificate = issue(hierarchy.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("EC"), now=now)
    data = peer.serialize_key_and_certificates(
        None, key, certificate, None, PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048).build(b"secret")
    )
    assert same(pkcs12.read(data, "secret"), Bundle(key, certificate))


# --- BER


def loose(node: ber.Node, dice: random.Random) -> bytes:
    """The element in BER: indefinite lengths, and octet strings in pieces."""
    if node.tag == ber.OCTET_STRING:
        content = node.content
        cut = dice.randint(0, len(content))
        return b"\x24\x80" + der.octet_string(content[:cut]) + der.octet_string(content[cut:]) + b"\0\0"
    if not node.tag & ber.CONSTRUCTED:
        return node.raw
    return bytes((node.tag, 0x80)) + b"".join(loose(child, dice) for child in node.children) + b"\0\0"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("style", Style)
def test_ber_reads_like_der(style: Style, seed: int, bundle: Bundle) -> None:
    data = pkcs12.write(bundle, PASSWORD, style=style)
    assert same(pkcs12.read(loose(ber.parse(data), random.Random(seed)), PASSWORD), bundle)


# --- what is in it


def test_bags_of_other_kinds_are_passed_over(bundle: Bundle) -> None:
    crl = kit.bag("1.2.840.113549.1.12.10.1.4", der.sequence())
    sdsi = kit.certificate_bag(b"(certificate)", kind="1.2.840.113549.1.9.22.2")
    data = kit.archive(kit.plain(crl, sdsi), kit.plain(*kit.of(bundle)))
    assert same(pkcs12.read(data, PASSWORD), Bundle(bundle.key, bundle.certificate))


def test_the_chain_may_hold_keys_of_any_kind_and_the_same_certificate_twice(bundle: Bundle, now: Any) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    name = names.make("Stranger")
    builder = x509.CertificateBuilder(name, name, stranger.public_key(), 1).not_valid_before(now).not_valid_after(now)
    other = builder.sign(stranger, None)
    twice = kit.certificate_bag(certificates.der(bundle.certificate))
    data = kit.archive(kit.plain(*kit.of(bundle), twice, kit.certificate_bag(certificates.der(other))))
    assert pkcs12.read(data, PASSWORD).others == (other,)


def test_certificates_alone_are_said_to_lack_a_key(bundle: Bundle) -> None:
    data = kit.archive(kit.plain(kit.certificate_bag(certificates.der(bundle.certificate))))
    with pytest.raises(NoPrivateKey, match="holds 1 certificates and no key"):
        pkcs12.read(data, PASSWORD)


def test_one_key_and_its_one_certificate_are_wanted(bundle: Bundle, hierarchy: Any, now: Any) -> None:
    key, certificate = kit.of(bundle)
    renewed = issue(hierarchy.identity_ca, DEVICE_IDENTITY, bundle.key.public_key(), subject=names.make("F2LX0001"), now=now)
    stranger = kit.certificate_bag(certificates.der(hierarchy.root.certificate))
    for parts, why in {
        (key, key, certificate): "holds 2",
        (key,): "among its 0; found 0",
        (key, stranger): "among its 1; found 0",
        (key, certificate, kit.certificate_bag(certificates.der(renewed))): "among its 2; found 2",
    }.items():
        with pytest.raises(BadArchive, match=why):
            pkcs12.read(kit.archive(kit.plain(*parts)), PASSWORD)


def test_weak_keys_are_refused_by_name(bundle: Bundle) -> None:
    _, certificate = kit.of(bundle)
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(BadKey, match="RSA, 1024 bits"):
        pkcs12.read(kit.archive(kit.plain(kit.key_bag(weak), certificate)), PASSWORD)


def test_keys_of_other_kinds_and_curves_are_refused(bundle: Bundle) -> None:
    for key in (ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()):
        der_key = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(BadArchive, match="private key should be"):
            pkcs12.read(kit.archive(kit.plain(kit.bag(kit.KEY_BAG, der_key), kit.of(bundle)[1])), PASSWORD)


def test_rsa_numbers_that_do_not_belong_together_are_refused(bundle: Bundle) -> None:
    assert isinstance(bundle.key, rsa.RSAPrivateKey)
    numbers = bundle.key.private_numbers()
    p, q = numbers.p, numbers.q + 2
    with pytest.raises(BadArchive, match="do not belong together"):
        pkcs12.read(kit.archive(kit.plain(kit.bag(kit.KEY_BAG, rsa_info(numbers.public_numbers.n, p, q)))), PASSWORD)


# --- what is meant to hurt


def rsa_info(n: int, p: int, q: int) -> bytes:
    key = der.sequence(*map(der.integer, (0, n, 65537, 3, p, q, 1, 1, 1)))
    return der.sequence(der.integer(0), der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null()), der.octet_string(key))


def refused_at_once(data: bytes, message: str) -> None:
    """It is refused, for this reason, long before any derivation or check of primes could have run."""
    started = time.process_time()
    with pytest.raises(BadArchive, match=message):
        pkcs12.read(data, PASSWORD)
    assert time.process_time() - started < 0.5


HUGE = 2**31 - 1


def test_hostile_counts_are_refused_before_they_are_spent() -> None:
    aes = kit.pbes2(HUGE)
    sha512 = kit.pbes2(HUGE, further=[der.sequence(der.oid("1.2.840.113549.2.11"), der.null())])
    for data in (
        kit.archive(kit.plain(), stated=HUGE),
        kit.archive(kit.plain(), stated=10**40),
        # more digits than Python would write out
        kit.archive(kit.plain(), stated=1 << 20_000),
        kit.archive(kit.plain(kit.shrouded(kit.pbes1(kit.TRIPLE_DES, -1 << 20_000)))),
        kit.archive(kit.plain(kit.shrouded(kit.pbes2(1 << 20_000)))),
        kit.archive(kit.plain(kit.shrouded(kit.pbes1(kit.TRIPLE_DES, HUGE)))),
        kit.archive(kit.plain(kit.shrouded(aes))),
        kit.archive(kit.encrypted(aes, bytes(16))),
        kit.archive(kit.encrypted(sha512, bytes(16))),
    ):
        refused_at_once(data, "more iterations")


def test_many_counts_that_are_each_allowed_are_refused_together() -> None:
    part = kit.sealed()
    enough = kit.archive(*[part] * 5)
    with pytest.raises(NoPrivateKey):
        pkcs12.read(enough, PASSWORD, most_iterations=6)
    with pytest.raises(BadArchive, match="asks for 1 more iterations; an archive may have 5 in all"):
        pkcs12.read(enough, PASSWORD, most_iterations=5)


def test_a_hostile_count_inside_an_encrypted_part_is_seen_too(bundle: Bundle) -> None:
    """No look at the outside of an archive finds it: only whoever has the password does."""
    data = kit.archive(kit.sealed(kit.shrouded(kit.pbes2(HUGE))))
    refused_at_once(data, "more iterations")
    assert same(pkcs12.read(kit.archive(kit.sealed(*kit.of(bundle))), PASSWORD), Bundle(bundle.key, bundle.certificate))


def test_giant_rsa_keys_are_refused_before_their_primes_are_tried() -> None:
    big, prime = (1 << 100_000) + 1, (1 << 50_000) + 1
    for info, why in (
        (rsa_info(big, prime, prime), "at most 4096 bits"),
        (rsa_info((1 << 4095) + 1, (1 << 4000) + 1, 3), "of one size"),
    ):
        data = kit.archive(kit.plain(kit.bag(kit.KEY_BAG, info)))
        refused_at_once(data, why)


def test_huge_and_deep_files_are_refused_unread() -> None:
    for data in (bytes(pkcs12.LIMITS.size + 1), b"\x30\x80" * 100_000, b"\x30\x82\xff\xff" * 5_000):
        refused_at_once(data, "cannot be read")


def test_what_is_not_pkcs12_is_told_from_a_wrong_password(bundle: Bundle) -> None:
    for data in (
        b"",
        b"hello",
        certificates.pem(bundle.certificate),
        certificates.der(bundle.certificate),
        keys.to_pkcs8(bundle.key),
        kit.archive(kit.plain(), version=1),
        kit.archive(kit.plain(), version=1 << 20_000),
    ):
        with pytest.raises(BadArchive, match="Expected a PKCS#12 archive") as caught:
            pkcs12.read(data, PASSWORD)
        assert type(caught.value) is BadArchive


def test_an_archive_without_a_mac_is_refused(exported: Callable[..., bytes]) -> None:
    with pytest.raises(BadArchive, match="not protected by a password"):
        pkcs12.read(exported(["-nomac"], "secret"), "secret")


@pytest.mark.parametrize(
    ("algorithm", "why"),
    [
        (kit.pbes1("1.2.840.113549.1.12.1.1", 1), "1.12.1.1, which is not read here"),
        (kit.pbes1(kit.TRIPLE_DES, 0), "should be positive; it is 0"),
        (kit.pbes1(kit.TRIPLE_DES, -1), "should be positive; it is -1"),
        (kit.pbes2(1, kdf="1.3.6.1.4.1.11591.4.11"), "1.3.6.1.4.1.11591.4.11, which is not read here; PBKDF2 is"),
        (kit.pbes2(1, cipher=oids.DES_CBC, iv=bytes(8)), "AES-CBC and triple DES are"),
        (kit.pbes2(1, iv=bytes(8)), "should have the 16 octets of aes-128-cbc"),
        (kit.pbes2(1, further=[der.integer(99)]), "key length of PBKDF2"),
        (kit.pbes2(1, further=[der.sequence(der.oid(oids.SHA256))]), "a function that is not read here"),
        (kit.pbes2(1), "does not open all of its parts"),
        (der.sequence(der.oid(kit.PBES2)), "should come with parameters"),
    ],
)
def test_schemes_that_are_not_read_are_named(algorithm: bytes, why: str) -> None:
    for part in (kit.plain(kit.shrouded(algorithm)), kit.encrypted(algorithm, bytes(16))):
        with pytest.raises(BadArchive, match=why):
            pkcs12.read(kit.archive(part), PASSWORD)


def test_encrypted_parts_are_whole_blocks() -> None:
    for algorithm in (kit.pbes1(kit.TRIPLE_DES, 1), kit.pbes2(1)):
        for content in (b"", bytes(15)):
            with pytest.raises(BadArchive, match="whole blocks"):
                pkcs12.read(kit.archive(kit.encrypted(algorithm, content)), PASSWORD)


def test_neither_errors_nor_repr_show_password_or_key(bundle: Bundle) -> None:
    data = pkcs12.write(bundle, PASSWORD, style=Style.MODERN)
    assert "RSAPrivateKey" not in repr(pkcs12.read(data, PASSWORD))
    for wrong in (PASSWORD + " ", "\ud800"):
        with pytest.raises(WrongPassword) as caught:
            pkcs12.read(data, wrong)
        assert "horse" not in str(caught.value)


# --- property: only the errors of the package come out, and a changed archive means the same or nothing


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_archive_is_refused_or_means_the_same(bundle: Bundle, data: st.DataObject) -> None:
    good = kit.archive(kit.plain(*kit.of(bundle)))
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1) | st.integers(0, 60))
        changed[at] = data.draw(st.integers(0, 255))
    try:
        read = pkcs12.read(bytes(changed), PASSWORD)
    except PKIError:
        return
    assert same(read, Bundle(bundle.key, bundle.certificate))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_archive_under_a_good_mac_raises_only_ours(bundle: Bundle, data: st.DataObject) -> None:
    """As from someone who knows the password: everything below the MAC is reached."""
    part = bytearray(kit.plain(*kit.of(bundle), kit.shrouded(kit.pbes2(1)), kit.shrouded(kit.pbes1(kit.TRIPLE_DES, 1))))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(part)))
        end = data.draw(st.integers(start, min(start + 8, len(part))))
        part[start:end] = data.draw(st.one_of(st.binary(max_size=4), st.just(bytes(part[start:end]) * 2)))
    try:
        read = pkcs12.read(kit.archive(bytes(part)), PASSWORD)
    except PKIError:
        return
    assert same(read, Bundle(bundle.key, bundle.certificate))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.text(max_size=20))
def test_noise_is_no_archive(data: bytes, password: str) -> None:
    with pytest.raises(BadArchive):
        pkcs12.read(data, password)
