"""Encrypting a profile to one device: its payloads go into a CMS EnvelopedData (Apple, "Encrypting a profile").

What names the profile stays in clear, since devices and servers know it by that. Sign afterwards: the signature then covers
what travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.mdm import plist
from bramley.mdm.plist import Writable
from bramley.pki import certificates, cms
from bramley.profiles.errors import BadPayload, NoRecipient


class ContentCipher(StrEnum):
    """AES-128 is what Apple documents for every version of its systems; AES-256 is for those who have tried it on theirs."""

    AES_128 = "aes-128-cbc"
    AES_256 = "aes-256-cbc"


def encrypt(
    profile: Mapping[str, Writable], recipient: x509.Certificate, *, cipher: ContentCipher = ContentCipher.AES_128
) -> bytes:
    """The profile, a plist, whose payloads only the holder of the recipient's key can read.

    `EncryptedPayloadContent` takes the place of `PayloadContent`, an array; the rest stays. Raises NoRecipient for a certificate
    that nothing can be encrypted to, BadPayload for a profile without payloads in clear, BadValue for what XML cannot hold.
    """
    payloads = profile.get("PayloadContent")
    if not isinstance(payloads, (list, tuple)) or not payloads:
        raise BadPayload("Expected a profile with payloads in PayloadContent to encrypt; it has none.")
    require_recipient(recipient)
    sealed = cms.encrypt(plist.dumps(payloads), recipients=[recipient], cipher=cipher)
    rest = {key: value for key, value in profile.items() if key != "PayloadContent"}
    return plist.dumps({**rest, "IsEncrypted": True, "EncryptedPayloadContent": sealed})


def require_recipient(certificate: x509.Certificate) -> None:
    """Raises NoRecipient unless content keys can be encrypted to the certificate: RSA, and keyEncipherment (RFC 5280 4.2.1.3)."""
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise NoRecipient(
            f"Nothing can be encrypted to the certificate {certificates.sha256(certificate)}: its key is not RSA.",
            advice="Give one with an RSA key; `bramley network assign profile-recipient` has a device fetch it.",
        )
    usage = certificates.extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_encipherment:
        raise NoRecipient(
            f"Nothing may be encrypted to the certificate {certificates.sha256(certificate)}: it lacks keyEncipherment.",
            advice="Have it issued with a SCEP key usage of 5, or 4.",
        )


def is_recipient(certificate: x509.Certificate) -> bool:
    """Whether `require_recipient` lets a certificate pass."""
    try:
        require_recipient(certificate)
    except NoRecipient:
        return False
    return True
