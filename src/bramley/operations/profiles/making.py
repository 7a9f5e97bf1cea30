"""The message that one device gets: variables filled in, encrypted to it, signed. Whatever cannot be done, nothing goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from bramley.mdm import plist
from bramley.model.enrollments import Enrollment
from bramley.model.profiles import Handling
from bramley.operations.server_certificates import Pair
from bramley.profiles import variables
from bramley.profiles.documents import LARGEST
from bramley.profiles.encrypt import ContentCipher, encrypt
from bramley.profiles.errors import NoRecipient
from bramley.profiles.sign import sign


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a device's profile is made of. `content` is the stored one, opened; `recipient` what it is encrypted to."""

    content: bytes = field(repr=False)
    handling: Handling
    values: Mapping[str, str]
    recipient: x509.Certificate | None = None
    cipher: ContentCipher = ContentCipher.AES_128


def make(recipe: Recipe, signer: Pair, now: datetime) -> bytes:
    """The profile as it goes to the device.

    Raises MissingVariable where the device has no value for one of its variables, NoRecipient where it is to be encrypted and
    cannot be, CannotSign where the signer may not sign now.
    """
    if recipe.handling is Handling.AS_IS:
        return recipe.content
    content = variables.fill(plist.loads(recipe.content, max_bytes=LARGEST), recipe.values)
    if recipe.handling is Handling.ENCRYPT:
        if recipe.recipient is None:
            raise NoRecipient(
                "The profile is to be encrypted, and the device has no certificate in force to encrypt it to.",
                advice="`bramley device show` tells of its identities; where its identity is elliptic, `bramley network assign "
                "profile-recipient` has it fetch a certificate with an RSA key.",
            )
        written = encrypt(content, recipe.recipient, cipher=recipe.cipher)
    else:
        written = plist.dumps(content)
    return sign(written, certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)


def values_for(device: Enrollment, organization: str, *, channel: Enrollment | None = None) -> dict[str, str]:
    """The variables of a device, and of the user of a `channel` of it; what it has not told has no value."""
    known = {
        "device.serial": device.serial_number,
        "device.udid": device.udid,
        "device.name": device.device_name,
        "device.model": device.model,
        "device.product": device.product_name,
        "device.os_version": device.os_version,
        "enrollment.key": device.key,
        "enrollment.id": device.id,
        "organization": organization,
    }
    if channel is not None:
        known |= {
            "user.id": channel.user_id,
            "user.short_name": channel.user_short_name,
            "user.long_name": channel.user_long_name,
        }
    return {name: value for name, value in known.items() if value}
