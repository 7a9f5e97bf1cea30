"""What an inspection finds, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

Details = Mapping[str, str | int | bool]

MOST_INSIDE: Final = 100
"""Things inside of one that are looked at."""

KEYS_OPENED: Final = 4
"""Keys and archives of one file that are opened: each may cost seconds."""


class What(StrEnum):
    """What a file, or a thing in it, is."""

    CERTIFICATE = "certificate"
    CERTIFICATE_BUNDLE = "PKCS#7 certificate bundle"
    SEVERAL = "several things in PEM"
    PKCS12 = "PKCS#12 archive"
    PRIVATE_KEY = "private key"
    PUBLIC_KEY = "public key"
    SSH_KEY = "SSH key"
    PARAMETERS = "key parameters"
    REQUEST = "certificate signing request"
    PUSH_REQUEST = "push certificate request"
    CRL = "certificate revocation list"
    MDMCERT_REPLY = "mdmcert.download reply"
    ENCRYPTED = "encrypted CMS message"
    SIGNED = "signed CMS message"
    MDM_SIGNATURE = "Mdm-Signature header"
    OTHER_CMS = "CMS message"
    PROFILE = "configuration profile"
    PROPERTY_LIST = "property list"
    ADE_TOKEN_FILE = "ADE server token, encrypted"  # noqa: S105 - a kind of file, not a secret
    ADE_TOKEN = "ADE server token"  # noqa: S105 - as above
    APPS_AND_BOOKS_TOKEN = "Apps and Books token"  # noqa: S105 - as above
    JSON = "JSON"
    HTML = "web page"
    EMPTY = "empty file"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: `purpose` is what it is for in MDM, in a sentence; `owner` whose it says it is; `command` what takes it.

    Dates are those that it bears itself. `broken` says that a signature on it was checked and does not hold. What a file
    says of itself is shown as it stands: only signatures that are called good in `details` were checked.
    """

    what: What
    purpose: str
    owner: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    command: str = ""
    details: Details = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    inside: tuple[Finding, ...] = ()
    broken: bool = False

    @property
    def any_broken(self) -> bool:
        """Whether a signature does not hold, here or on anything inside."""
        return self.broken or any(each.any_broken for each in self.inside)


@dataclass(frozen=True, slots=True)
class Question:
    """What an inspection goes by.

    `roots` are the SHA-256 of what counts as Apple's roots. `look` inspects what was found inside of something; `depth` bounds
    how far that goes.
    """

    password: str | None = field(repr=False)
    now: datetime
    roots: frozenset[str]
    look: Callable[[bytes, Question], Finding] = field(repr=False)
    depth: int = 4

    def inside(self, data: bytes) -> tuple[Finding, ...]:
        """What something encloses; nothing once that is too deep."""
        if self.depth == 0:
            return ()
        return (self.look(data, replace(self, depth=self.depth - 1)),)


def details(**values: str | int | bool | None) -> Details:
    """Properties by name, in this order, underscores shown as blanks; what is None or empty is left out."""
    return MappingProxyType({name.replace("_", " "): value for name, value in values.items() if value not in (None, "")})


def shown(value: object, most: int = 200) -> str:
    """A text out of a file on one line, cut to a length that people read; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    line = "".join(character if character.isprintable() else "\ufffd" for character in value[:most])
    return line if len(value) <= most else f"{line}…"
