from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bramley.pki import keys
from bramley.pki.errors import BadKey
from bramley.pki.keys import KeyAlgorithm, PrivateKey

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_generated_key_is_what_was_asked_for(key_of: Callable[..., PrivateKey], algorithm: KeyAlgorithm) -> None:
    public_key = key_of(algorithm).public_key()

    assert keys.algorithm_of(public_key) is algorithm
    keys.require_strong(public_key)


def test_a_key_comes_back_from_pkcs8(any_key: PrivateKey) -> None:
    back = keys.from_pkcs8(keys.to_pkcs8(any_key))

    assert back.private_numbers() == any_key.private_numbers()


def test_openssl_reads_our_pkcs8(any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(keys.to_pkcs8(any_key))

    assert "Key is valid" in openssl("pkey", "-inform", "DER", "-in", tmp_path / "key.der", "-check", "-noout").stdout


def test_openssl_makes_the_same_fingerprint_of_the_public_key(any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(keys.to_pkcs8(any_key))
    openssl("pkey", "-inform", "DER", "-in", tmp_path / "key.der", "-pubout", "-outform", "DER", "-out", tmp_path / "pub")

    assert keys.spki_sha256(any_key.public_key()) == hashlib.sha256((tmp_path / "pub").read_bytes()).hexdigest()


def test_a_stored_key_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadKey) as caught:
        keys.from_pkcs8(b"a secret that is not a key")
    assert "secret that" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_stored_key_of_another_kind_is_refused() -> None:
    der = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    with pytest.raises(BadKey, match="Ed25519PrivateKey"):
        keys.from_pkcs8(der)


WEAK = {
    "RSA, 1024 bits": rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()).public_key(),
    "secp521r1": ec.generate_private_key(ec.SECP521R1()).public_key(),
    "Ed25519PublicKey": ed25519.Ed25519PrivateKey.generate().public_key(),
}


@pytest.mark.parametrize("kind", list(WEAK))
@pytest.mark.parametrize("judge", [keys.require_strong, keys.algorithm_of])
def test_a_key_of_another_kind_is_refused_and_named(kind: str, judge: Callable[[object], object]) -> None:
    with pytest.raises(BadKey, match=kind):
        judge(WEAK[kind])


# of 2048 bits, but 3 is open to textbook attacks, and an enormous one only costs time
@pytest.mark.parametrize("exponent", [3, 65535, (1 << 256) + 1])
def test_an_exponent_outside_fips_186_is_refused(key_of: Callable[..., PrivateKey], exponent: int) -> None:
    key = key_of(KeyAlgorithm.RSA_2048)
    assert isinstance(key, rsa.RSAPrivateKey)
    odd = rsa.RSAPublicNumbers(exponent, key.private_numbers().public_numbers.n).public_key()

    with pytest.raises(BadKey, match="exponent"):
        keys.require_strong(odd)


@pytest.mark.parametrize(("bits", "accepted"), [(2047, False), (2056, True), (8192, True), (8200, False)])
def test_rsa_sizes_are_bounded_below_and_above(bits: int, accepted: bool) -> None:
    modulus = (1 << (bits - 1)) | (1 << (bits // 2)) | 1
    public_key = rsa.RSAPublicNumbers(65537, modulus).public_key()

    if accepted:
        keys.require_strong(public_key)
    else:
        with pytest.raises(BadKey, match=f"RSA, {bits} bits"):
            keys.require_strong(public_key)


def test_an_rsa_size_that_we_do_not_make_is_strong_but_no_algorithm_of_ours() -> None:
    public_key = rsa.RSAPublicNumbers(65537, (1 << 2559) | (1 << 1000) | 1).public_key()

    keys.require_strong(public_key)
    with pytest.raises(BadKey, match="2560 bits"):
        keys.algorithm_of(public_key)


def test_a_key_of_the_broken_chips_is_refused(key_of: Callable[..., PrivateKey]) -> None:
    """Both primes are k * M + (65537^a mod M), which is how the chips of CVE-2017-15361 made them (Nemec and others, 2017)."""
    modulus = _roca_prime(1024, 0x1234567) * _roca_prime(1024, 0x7654321)
    assert modulus.bit_length() == 2048
    honest = key_of(KeyAlgorithm.RSA_2048)
    assert isinstance(honest, rsa.RSAPrivateKey)

    with pytest.raises(BadKey, match="CVE-2017-15361"):
        keys.require_strong(rsa.RSAPublicNumbers(65537, modulus).public_key())
    assert not keys.has_roca_fingerprint(honest.public_key().public_numbers().n)


def _roca_prime(bits: int, power: int) -> int:
    """A prime of that many bits; M is the product of as many first primes as there are for keys of 2048 bits."""
    primes = [n for n in range(2, 702) if all(n % factor for factor in range(2, n))]
    assert len(primes) == 126
    product = prod(primes)
    residue = pow(65537, power, product)
    candidate = (1 << (bits - 1) | 1 << (bits - 2)) // product * product + product + residue
    while not (candidate % 2 and pow(2, candidate - 1, candidate) == 1):
        candidate += product
    return candidate
