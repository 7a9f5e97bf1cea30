"""Key pairs: which kinds exist here, how they are made, stored and judged.

RSA (RFC 8017) and the NIST curves P-256 and P-384 (FIPS 186-5) only: what every Apple system in use understands.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bramley.pki.errors import BadKey

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

RSA_BITS: Final = range(2048, 8192 + 1)
"""RSA sizes worth trusting: below, too weak (SP 800-131A); above, a cheap way to keep this server busy."""

RSA_EXPONENTS: Final = range(65537, 1 << 256, 2)
"""Public exponents that FIPS 186-5 A.1.1 allows: odd, 2^16 < e < 2^256."""


_ROCA_PRIMES: Final = tuple(prime for prime in range(3, 168) if all(prime % factor for factor in range(2, prime)))
_ROCA_RESIDUES: Final = tuple((prime, frozenset(pow(65537, power, prime) for power in range(prime))) for prime in _ROCA_PRIMES)
"""The first 38 odd primes, and what the powers of 65537 leave modulo each."""


class KeyAlgorithm(StrEnum):
    """The kinds of key that Bramley makes."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"


_BITS: Final = {KeyAlgorithm.RSA_2048: 2048, KeyAlgorithm.RSA_3072: 3072, KeyAlgorithm.RSA_4096: 4096}
_CURVES: Final = {KeyAlgorithm.P_256: ec.SECP256R1(), KeyAlgorithm.P_384: ec.SECP384R1()}
_CURVE_NAMES: Final = frozenset(curve.name for curve in _CURVES.values())


def generate(algorithm: KeyAlgorithm) -> PrivateKey:
    """A new private key. RSA-4096 may take seconds: keep it off an event loop."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return rsa.generate_private_key(public_exponent=65537, key_size=_BITS[algorithm])


def to_pkcs8(key: PrivateKey) -> bytes:
    """The key as DER PrivateKeyInfo (RFC 5208), in clear: the caller seals it before it goes anywhere."""
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def from_pkcs8(der: bytes) -> PrivateKey:
    """The key that `to_pkcs8` wrote. Raises BadKey, which never repeats a byte of what came.

    The RSA consistency check (some 50 ms a key) is left out: these bytes come from under authenticated encryption. Do
    not use this for a key that a stranger supplied.
    """
    try:
        key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey(
            "Expected a private key as DER PKCS#8 without a password; what came is something else.",
            advice="Restore the key from a backup.",
        ) from None
    if not isinstance(key, PrivateKey):
        raise _unsuitable(type(key).__name__)
    return key


def algorithm_of(public_key: object) -> KeyAlgorithm:
    """Which of our kinds the key is. Raises BadKey for every other kind, size or curve."""
    kind: KeyAlgorithm | None = None
    if isinstance(public_key, rsa.RSAPublicKey):
        kind = next((name for name, bits in _BITS.items() if bits == public_key.key_size), None)
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        kind = next((name for name, curve in _CURVES.items() if curve.name == public_key.curve.name), None)
    if kind is None:
        raise _unsuitable(describe(public_key))
    return kind


def require_strong(public_key: object) -> None:
    """Returns for a key worth certifying or trusting; raises BadKey otherwise.

    RSA: 2048 to 8192 bits with an odd exponent of at least 65537, and no fingerprint of ROCA. Elliptic curves: P-256 and P-384.
    """
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        if public_key.key_size in RSA_BITS and numbers.e in RSA_EXPONENTS:
            if has_roca_fingerprint(numbers.n):
                raise BadKey(
                    f"This RSA key of {public_key.key_size} bits has the fingerprint of ROCA (CVE-2017-15361): "
                    "its private key can be worked out from it.",
                    advice="Make a new key by other means than the chip, or the firmware, that made this one.",
                )
            return
    elif isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name in _CURVE_NAMES:
        return
    raise _unsuitable(describe(public_key))


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether an RSA modulus looks as if Infineon's broken generator had made it (ROCA, CVE-2017-15361).

    Its primes are k * M + (65537^a mod M), M being a product of the first primes: so the modulus is a power of 65537 modulo
    each of them. By chance one in some 2^28 honest keys is too, and has to be made again.
    """
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES)


def describe(public_key: object) -> str:
    """What a public key is, in a few words for a message: "RSA, 1024 bits, exponent 65537"."""
    if isinstance(public_key, rsa.RSAPublicKey):
        exponent = public_key.public_numbers().e
        shown = str(exponent) if exponent.bit_length() <= 32 else f"of {exponent.bit_length()} bits"
        return f"RSA, {public_key.key_size} bits, exponent {shown}"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return f"elliptic curve {public_key.curve.name}"
    return type(public_key).__name__


def spki_sha256(public_key: PublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7), 64 lower hexadecimal digits: names the key itself."""
    return hashlib.sha256(spki(public_key)).hexdigest()


def spki(public_key: PublicKey) -> bytes:
    """The DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _unsuitable(found: str) -> BadKey:
    return BadKey(
        f"Expected an RSA key of 2048 to 8192 bits with an odd exponent from 65537, or one on P-256 or P-384; "
        f"this one is {found}.",
        advice="Make a new key: RSA 2048 is understood everywhere.",
    )
