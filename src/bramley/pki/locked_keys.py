"""Writing private keys under a password: PKCS#8 (RFC 5958) in PBES2 (RFC 8018), as OpenSSL and everything newer reads it.

`cryptography` writes the same form, and leaves no choice of what a guess at the password costs.
"""

from __future__ import annotations

import hashlib
import os
from base64 import encodebytes
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bramley.pki import keys, oids
from bramley.pki.cms import der
from bramley.pki.cms.algorithms import identifier

ITERATIONS: Final = 600_000
"""Rounds of HMAC-SHA-256 behind each guess: a quarter of a second, once, against a file that may lie in a drawer for years."""

_SALT_OCTETS: Final = 16
_KEY_OCTETS: Final = 32
_BLOCK_OCTETS: Final = 16


def write(key: keys.PrivateKey, password: str) -> bytes:
    """The key as PEM, encrypted with AES-256 under a password that is not empty."""
    salt, iv = os.urandom(_SALT_OCTETS), os.urandom(_BLOCK_OCTETS)
    secret = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS, _KEY_OCTETS)
    padder, encryptor = PKCS7(_BLOCK_OCTETS * 8).padder(), Cipher(AES(secret), CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(keys.to_pkcs8(key)) + padder.finalize()) + encryptor.finalize()
    derivation = der.sequence(der.octet_string(salt), der.integer(ITERATIONS), identifier(oids.HMAC_WITH_SHA256, der.null()))
    scheme = der.sequence(identifier(oids.PBKDF2, derivation), identifier(oids.AES_256_CBC, der.octet_string(iv)))
    content = der.sequence(identifier(oids.PBES2, scheme), der.octet_string(encrypted))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + encodebytes(content) + b"-----END ENCRYPTED PRIVATE KEY-----\n"
