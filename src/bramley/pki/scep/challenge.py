"""One-time challenge passwords (RFC 8894 section 2.4): made here, remembered elsewhere by their digest alone."""

from __future__ import annotations

import hashlib
import secrets

_SECRET_OCTETS = 32


def new_secret() -> str:
    """256 random bits as URL-safe text: 43 characters that every DirectoryString and plist can hold."""
    return secrets.token_urlsafe(_SECRET_OCTETS)


def digest(secret: str) -> str:
    """SHA-256 of the secret's UTF-8, 64 lower hexadecimal digits: what is stored and looked up.

    With 256 random bits behind it a plain digest tells nothing, and looking it up leaks no prefix of the secret.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
