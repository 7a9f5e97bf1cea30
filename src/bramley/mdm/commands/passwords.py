"""The password of an account that AccountConfiguration makes, as the hash that macOS keeps (Apple, "AutoSetupAdminAccountItem").

It is a property list of its own: PBKDF2 with HMAC-SHA-512 (RFC 8018), with salt and number of iterations.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage, BadValue

_NAME: Final = "SALTED-SHA512-PBKDF2"
_ITERATIONS: Final = 100_000
_SALT_OCTETS: Final = 32
_ENTROPY_OCTETS: Final = 128
"""The length that macOS makes, and compares."""

_BINARY: Final = b"bplist00"
_LARGEST: Final = 64 * 1024
_LONGEST_PASSWORD: Final = 1024


def password_hash(password: str) -> bytes:
    """The passwordHash of a password, with a fresh salt. Raises BadValue for none, and for one that nobody types."""
    if not 0 < len(password) <= _LONGEST_PASSWORD:
        raise BadValue(f"Expected a password of 1 to {_LONGEST_PASSWORD} characters; {len(password)} came.")
    salt = secrets.token_bytes(_SALT_OCTETS)
    entropy = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, _ENTROPY_OCTETS)
    return plist.dumps({_NAME: {"entropy": entropy, "salt": salt, "iterations": _ITERATIONS}})


def is_password_hash(value: bytes) -> bool:
    """Whether this is such a hash, made here or elsewhere. One in the binary form is taken for it, unread."""
    if value.startswith(_BINARY):
        return True
    try:
        content = plist.loads(value, max_bytes=_LARGEST)
    except BadMessage:
        return False
    found = content.get(_NAME) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        return False
    entropy, salt, iterations = found.get("entropy"), found.get("salt"), found.get("iterations")
    octets = isinstance(entropy, bytes) and isinstance(salt, bytes) and bool(entropy) and bool(salt)
    return octets and isinstance(iterations, int) and not isinstance(iterations, bool) and iterations > 0
