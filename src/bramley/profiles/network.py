"""Templates of network identities: one TOML file says what a certificate for Wi-Fi, VPN or S/MIME holds and who issues it.

Names and further payloads may hold variables as other profiles do, and payloads `{{ identity.uuid }}`: the PayloadUUID of the
identity, which is another one after each renewal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509

from bramley.errors import BadInput
from bramley.model.networks import RECIPIENT, NetworkIssuer, NetworkUse
from bramley.profiles.errors import ProfileError

LARGEST: Final = 256 * 1024
"""Octets of a template that is read."""

SUBJECT_TYPES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "CN": ("2.5.4.3", 64),
        "O": ("2.5.4.10", 64),
        "OU": ("2.5.4.11", 64),
        "C": ("2.5.4.6", 2),
        "L": ("2.5.4.7", 128),
        "ST": ("2.5.4.8", 128),
        "serialNumber": ("2.5.4.5", 64),
        "UID": ("0.9.2342.19200300.100.1.1", 256),
        "emailAddress": ("1.2.840.113549.1.9.1", 255),
    }
)
"""Attributes of a subject: their types, and the longest value that each may have (RFC 5280 appendix A.1)."""

SAN_TYPES: Final = ("rfc822Name", "dNSName", "uniformResourceIdentifier", "ntPrincipalName")
"""Subject alternative names, by Apple's names of them (Apple, "SCEP.PayloadContent.SubjectAltName")."""

KEY_SIZES: Final = (2048, 4096)
LIFETIME_DAYS: Final = (1, 1825)
RENEW_AT: Final = (0.1, 0.9)

_IDENTITY: Final = re.compile(r"\{\{\s{0,8}identity\.uuid\s{0,8}\}\}")


class BadTemplate(ProfileError, BadInput):
    """A template that nothing can be made after; `key` says where."""

    def __init__(self, message: str, *, key: str, advice: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message, advice=advice)
        self.key = key


@dataclass(frozen=True, slots=True)
class OutsideCA:
    """An outside SCEP CA, which devices ask by themselves. `fingerprint` is what they compare its certificate with."""

    url: str
    ca: x509.Certificate
    challenge: str = field(repr=False)
    name: str = ""
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Template:
    """What network identities of this name are made after. Texts in it may hold variables.

    `subject` has one attribute in each RDN, `sans` at most one of each type. `lifetime` is None where an outside CA decides.
    `only_decrypts` is for keys that open what is encrypted to them, and do nothing else.
    """

    name: str
    use: NetworkUse
    subject: tuple[tuple[str, str], ...]
    sans: tuple[tuple[str, str], ...]
    key_size: int
    lifetime: timedelta | None
    renew_at: float
    outside: OutsideCA | None = None
    payloads: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    only_decrypts: bool = False

    @property
    def issuer(self) -> NetworkIssuer:
        return NetworkIssuer.BRAMLEY if self.outside is None else NetworkIssuer.OUTSIDE


PROFILE_RECIPIENT: Final = Template(
    name=RECIPIENT,
    use=NetworkUse.OTHER,
    subject=(("OU", "Profile encryption"), ("CN", "{{ enrollment.key }}")),
    sans=(),
    key_size=2048,
    lifetime=timedelta(days=365),
    renew_at=2 / 3,
    only_decrypts=True,
)
"""What profiles are encrypted to on a device to whose identity nothing can be, such as one in hardware, which is elliptic."""


def with_identity(content: Any, uuid: str) -> Any:
    """Payloads of a template with the identity's PayloadUUID in the place of `{{ identity.uuid }}`, in whatever depth."""
    if isinstance(content, str):
        return _IDENTITY.sub(uuid, content)
    if isinstance(content, Mapping):
        return {key: with_identity(value, uuid) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_identity(value, uuid) for value in content]
    return content
