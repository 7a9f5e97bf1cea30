"""Writing PKCS#12 archives for other programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from bramley.pki import certificates
from bramley.pki.errors import BadArchive, BadKey
from bramley.pki.pkcs12.bundle import Bundle

ITERATIONS: Final = 20_000
"""Rounds of a digest between the password and what is encrypted.

A guess is tried at the cheapest part, the MAC, with the 2048 rounds that cryptography always gives it: nothing but a good
password protects an archive.
"""


class Style(StrEnum):
    """Who is to read it."""

    APPLE = "apple"
    """Triple DES and a SHA-1 MAC: the strongest that macOS and iOS import; they refuse AES."""
    MODERN = "modern"
    """AES-256 and a SHA-256 MAC: OpenSSL 3, Windows 10 1709 and later."""


_ALGORITHMS: Final[dict[Style, tuple[PBES, hashes.HashAlgorithm]]] = {
    Style.APPLE: (PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA1()),  # noqa: S303 - all that Apple's systems read
    Style.MODERN: (PBES.PBESv2SHA256AndAES256CBC, hashes.SHA256()),
}


def write(
    bundle: Bundle, password: str, *, style: Style = Style.APPLE, name: str | None = None, iterations: int = ITERATIONS
) -> bytes:
    """The bundle as a PKCS#12 archive (DER), key and certificates encrypted under the password.

    `name` is what a key chain shows (friendlyName). However it is encrypted, an archive is as strong as its password: choose
    a random one, and send it another way. Raises BadKey if key and certificate do not belong together, BadArchive for an
    empty password.
    """
    if not certificates.matches(bundle.certificate, bundle.key.public_key()):
        raise BadKey("Expected a certificate together with its own key; they do not belong together.")
    if not password:
        raise BadArchive("A PKCS#12 archive needs a password; an empty one protects nothing.", advice="Choose one.")
    pbes, digest = _ALGORITHMS[style]
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(iterations)
        .key_cert_algorithm(pbes)
        .hmac_hash(digest)
        .build(password.encode())
    )
    shown = None if name is None else name.encode()
    return serialize_key_and_certificates(shown, bundle.key, bundle.certificate, bundle.others, encryption)
