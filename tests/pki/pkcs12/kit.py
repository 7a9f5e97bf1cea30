"""PKCS#12 archives piece by piece, as no honest program writes them: RFC 7292 on our DER writer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bramley.pki import certificates, keys, oids
from bramley.pki.cms import der
from bramley.pki.pkcs12 import Bundle

PASSWORD = "correct horse"
WIDE = PASSWORD.encode("utf-16-be") + b"\0\0"

KEY_BAG = "1.2.840.113549.1.12.10.1.1"
SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2"
CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3"
X509 = "1.2.840.113549.1.9.22.1"
TRIPLE_DES = "1.2.840.113549.1.12.1.3"
ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
PBES2 = "1.2.840.113549.1.5.13"
PBKDF2 = "1.2.840.113549.1.5.12"
SALT = bytes(range(8))


def derived(purpose: int, wide: bytes, count: int, size: int) -> bytes:
    """The key derivation of RFC 7292 appendix B.2 by SHA-1, for sizes of one block."""
    fill = [(part * 64)[: -(-len(part) // 64) * 64] for part in (SALT, wide)]
    block = bytes((purpose,)) * 64 + b"".join(fill)
    for _ in range(count):
        block = hashlib.sha1(block).digest()
    return block[:size]


def bag(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.context(0, value))


def key_bag(key: keys.PrivateKey) -> bytes:
    return bag(KEY_BAG, keys.to_pkcs8(key))


def certificate_bag(der_certificate: bytes, kind: str = X509) -> bytes:
    return bag(CERTIFICATE_BAG, der.sequence(der.oid(kind), der.context(0, der.octet_string(der_certificate))))


def pbes1(scheme: str, count: int, salt: bytes = SALT) -> bytes:
    return der.sequence(der.oid(scheme), der.sequence(der.octet_string(salt), der.integer(count)))


def pbes2(
    count: int,
    *,
    kdf: str = PBKDF2,
    cipher: str = oids.AES_128_CBC,
    iv: bytes = bytes(16),
    further: Sequence[bytes] = (),
) -> bytes:
    derivation = der.sequence(der.oid(kdf), der.sequence(der.octet_string(SALT), der.integer(count), *further))
    scheme = der.sequence(der.oid(cipher), der.octet_string(iv))
    return der.sequence(der.oid(PBES2), der.sequence(derivation, scheme))


def shrouded(algorithm: bytes, encrypted: bytes = bytes(16)) -> bytes:
    return bag(SHROUDED_KEY_BAG, der.sequence(algorithm, der.octet_string(encrypted)))


def plain(*bags: bytes) -> bytes:
    """A part that is not encrypted."""
    return der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(der.sequence(*bags))))


def encrypted(algorithm: bytes, content: bytes) -> bytes:
    info = der.sequence(der.oid(oids.DATA), algorithm, der.context(0, content, constructed=False))
    return der.sequence(der.oid(ENCRYPTED_DATA), der.context(0, der.sequence(der.integer(0), info)))


def sealed(*bags: bytes) -> bytes:
    """A part that PASSWORD really opens, by PBES2 with one iteration."""
    padder = PKCS7(128).padder()
    padded = padder.update(der.sequence(*bags)) + padder.finalize()
    encryptor = Cipher(AES(hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), SALT, 1, 16)), CBC(bytes(16))).encryptor()
    return encrypted(pbes2(1), encryptor.update(padded) + encryptor.finalize())


def archive(*parts: bytes, stated: int | None = None, wide: bytes = WIDE, version: int = 3) -> bytes:
    """The parts under a good SHA-1 MAC with one iteration, left to the default; `stated` is a count to claim instead."""
    safe = der.sequence(*parts)
    mac = hmac.digest(derived(3, wide, 1, 20), safe, "sha1")
    digest_info = der.sequence(der.sequence(der.oid(oids.SHA1), der.null()), der.octet_string(mac))
    mac_data = der.sequence(digest_info, der.octet_string(SALT), b"" if stated is None else der.integer(stated))
    return der.sequence(der.integer(version), der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(safe))), mac_data)


def of(bundle: Bundle) -> list[bytes]:
    """The bags of a bundle, in clear."""
    return [key_bag(bundle.key), certificate_bag(certificates.der(bundle.certificate))]
