"""Which algorithms CMS messages may name, and what they are in `cryptography`. Whatever is not in these tables is refused.

MD5, SHA-224 and RSASSA-PSS are left out on purpose: no Apple system sends them, and iOS does not accept PSS. SHA-1 and DES are
in, because devices and SCEP clients send them; who accepts them decides so at each use (`SignaturePolicy`, `allow_single_des`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from bramley.pki import oids
from bramley.pki.cms import ber, der, values
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed
from bramley.pki.keys import PrivateKey


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest, and the signature algorithms that are made of it."""

    name: str
    oid: str
    new: Callable[[bytes], hashlib._Hash]
    hash: hashes.HashAlgorithm
    ecdsa: ec.ECDSA
    rsa_oid: str
    ecdsa_oid: str


def _digest(name: str, oid: str, algorithm: hashes.HashAlgorithm, rsa_oid: str, ecdsa_oid: str) -> Digest:
    return Digest(name, oid, getattr(hashlib, name), algorithm, ec.ECDSA(algorithm), rsa_oid, ecdsa_oid)


_SHA1 = _digest("sha1", oids.SHA1, hashes.SHA1(), oids.SHA1_WITH_RSA, oids.ECDSA_WITH_SHA1)  # noqa: S303 (see above)
_SHA256 = _digest("sha256", oids.SHA256, hashes.SHA256(), oids.SHA256_WITH_RSA, oids.ECDSA_WITH_SHA256)
_SHA384 = _digest("sha384", oids.SHA384, hashes.SHA384(), oids.SHA384_WITH_RSA, oids.ECDSA_WITH_SHA384)
_SHA512 = _digest("sha512", oids.SHA512, hashes.SHA512(), oids.SHA512_WITH_RSA, oids.ECDSA_WITH_SHA512)

DIGESTS: Final = {digest.name: digest for digest in (_SHA1, _SHA256, _SHA384, _SHA512)}
DIGESTS_BY_OID: Final = {digest.oid: digest for digest in DIGESTS.values()}

PKCS1V15: Final = padding.PKCS1v15()


def sign(key: PrivateKey, message: bytes, digest: Digest) -> bytes:
    """A signature: RSASSA-PKCS1-v1_5 or ECDSA (RFC 3370 section 3)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, PKCS1V15, digest.hash)
    return key.sign(message, digest.ecdsa)


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A block cipher in CBC mode with the padding of RFC 5652 section 6.3; sizes in octets."""

    name: str
    oid: str
    key_size: int
    block_size: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]


CIPHERS: Final = {
    cipher.name: cipher
    for cipher in (
        ContentCipher("aes-128-cbc", oids.AES_128_CBC, 16, 16, AES),
        ContentCipher("aes-192-cbc", oids.AES_192_CBC, 24, 16, AES),
        ContentCipher("aes-256-cbc", oids.AES_256_CBC, 32, 16, AES),
        ContentCipher("des-ede3-cbc", oids.DES_EDE3_CBC, 24, 8, TripleDES),
        # single DES is triple DES with one key three times
        ContentCipher("des-cbc", oids.DES_CBC, 8, 8, lambda key: TripleDES(key * 3)),
    )
}
CIPHERS_BY_OID: Final = {cipher.oid: cipher for cipher in CIPHERS.values()}

SINGLE_DES: Final = "des-cbc"


def identifier(oid: str, parameters: bytes = b"") -> bytes:
    """An AlgorithmIdentifier (RFC 5280 section 4.1.1.2)."""
    return der.sequence(der.oid(oid), parameters)


def signature_identifier(key: PrivateKey, digest: Digest) -> bytes:
    """The AlgorithmIdentifier of a signature of ours.

    For RSA it is the plain rsaEncryption (RFC 3370 section 3.2), since strongSwan reads nothing else, with its NULL; for ECDSA
    the parameters must be absent (RFC 5758 section 3.2).
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return identifier(oids.RSA_ENCRYPTION, der.null())
    return identifier(digest.ecdsa_oid)


def read_identifier(node: Node) -> tuple[str, Node | None]:
    """The dotted algorithm of an AlgorithmIdentifier, and its parameters where it has any."""
    parts = ber.sequence(node, "AlgorithmIdentifier")
    if not 1 <= len(parts) <= 2:
        raise Malformed(f"An AlgorithmIdentifier should have one or two elements; the one at octet {node.start} does not.")
    return values.oid(parts[0]), parts[1] if len(parts) == 2 else None


def read_plain_identifier(raw: bytes) -> str:
    """The dotted algorithm of a whole AlgorithmIdentifier whose parameters are absent or NULL (RFC 3370 section 2).

    The parameters of an algorithm that is in none of these tables are not looked at; whoever uses it refuses it by name.
    """
    return _remembered(raw) if len(raw) <= _MEMO_OCTETS else _read_plain(raw)


def _read_plain(raw: bytes) -> str:
    oid, parameters = read_identifier(ber.parse(raw))
    if parameters is not None and oid in _PLAIN and (parameters.tag != ber.NULL or parameters.body != parameters.stop):
        raise Malformed(f"The parameters of algorithm {oid} should be NULL or absent; they are neither.")
    return oid


# A pure memo: every message names the same three or four algorithms in the same few octets.
_remembered: Final = lru_cache(maxsize=256)(_read_plain)
_MEMO_OCTETS: Final = 32
_PLAIN: Final = frozenset(
    {oids.RSA_ENCRYPTION} | {oid for digest in DIGESTS.values() for oid in (digest.oid, digest.rsa_oid, digest.ecdsa_oid)}
)
