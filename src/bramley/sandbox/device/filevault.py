"""FileVault on a simulated Mac: its personal recovery key, and for whom it is encrypted."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.sandbox.device.contents import ESCROW
from bramley.sandbox.device.profile import Profile


class FileVault:
    """A disk that is encrypted, and opens with a recovery key of six groups of four. It stays until the disk is erased."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.recovery_key = self._fresh()

    def erase(self) -> None:
        """The disk is another from now on, and opens with another key."""
        self.recovery_key = self._fresh()

    def escrowed(self, profiles: Sequence[Profile]) -> bytes | None:
        """The recovery key, encrypted as an escrow profile demands; None where there is none."""
        certificate = escrow_certificate(profiles)
        return None if certificate is None else _encrypted(self.recovery_key, certificate)

    def rotate(self, command: Mapping[str, Any]) -> bytes:
        """A new recovery key, by means of the one before (RotateFileVaultKey), encrypted to the certificate in the command.

        Raises ValueError in words for whatever a Mac refuses; the key stays.
        """
        unlock, reply_to = command.get("FileVaultUnlock"), command.get("ReplyEncryptionCertificate")
        if command.get("KeyType") != "personal":
            raise ValueError("Only a personal key can be rotated.")
        if not isinstance(unlock, dict) or unlock.get("Password") != self.recovery_key:
            raise ValueError("The password does not unlock FileVault.")
        if not isinstance(reply_to, bytes):
            raise ValueError("There is no ReplyEncryptionCertificate.")
        try:
            certificate = certificates.load(reply_to)
        except BadCertificate:
            raise ValueError("The ReplyEncryptionCertificate is no certificate.") from None
        fresh = self._fresh()
        message = _encrypted(fresh, certificate)
        self.recovery_key = fresh
        return message

    def _fresh(self) -> str:
        letters = string.ascii_uppercase + string.digits
        return "-".join("".join(self._chance.choice(letters) for _ in range(4)) for _ in range(6))


def escrow_certificate(profiles: Sequence[Profile]) -> x509.Certificate | None:
    """The certificate that the installed profiles want recovery keys encrypted to: of a pkcs1 payload in the same profile."""
    for profile in profiles:
        for payload in profile.payloads:
            if payload["PayloadType"] == ESCROW:
                wanted = payload.get("EncryptCertPayloadUUID")
                named = (each for each in profile.payloads if each.get("PayloadUUID") == wanted)
                return certificates.load(next(named)["PayloadContent"])
    return None


def _encrypted(text: str, certificate: x509.Certificate) -> bytes:
    """By a library that the server does not encrypt with."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(text.encode()).set_content_encryption_algorithm(AES128)
    return builder.add_recipient(certificate).encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
