"""What the API is given: bodies and query parameters, checked before an operation hears of them."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import Meta

from bramley.mdm.commands import TABLE, build, read_raw
from bramley.mdm.commands import Request as CommandRequest
from bramley.model.admins import AdminToken
from bramley.model.lineages import RevocationReason
from bramley.model.push import Route
from bramley.operations.errors import Invalid
from bramley.pki.pairs import LARGEST

AdminRequest = Request[AdminToken, str, State]
"""A request that has been let in: `auth` is the actor, `admin:NAME`."""

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="how many at most")]


class CommandBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command: `request_type` with its `keys` by Apple's names, or `plist` with any command that Apple documents.

    In `keys`, data is base64, and Settings go by the names of their items. `queries`, `payload`, `identifier`
    and `managed_only` are Queries, Payload, Identifier and ManagedOnly. `password` becomes the passwordHash of the account
    that AccountConfiguration makes. `serial_number` repeats the device's (its id where it has told none) with what destroys.
    A plain profile is checked, filled in and signed; with `as_is` it goes out as it is.
    `plist` is an XML property list, as text or in base64: a `Command` dictionary, or a whole message.
    """

    request_type: str | None = None
    keys: dict[str, Any] | None = None
    queries: list[str] | None = None
    payload: str | None = None
    identifier: str | None = None
    managed_only: bool | None = None
    password: Annotated[str, Meta(max_length=1024)] | None = None
    plist: str | None = None
    serial_number: Annotated[str, Meta(max_length=512)] = ""
    as_is: bool = False
    push: bool = True

    def __repr__(self) -> str:
        return f"CommandBody({self.request_type!r})"  # never a key, which may be a secret


class PushBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    devices: Annotated[list[str], Meta(min_length=1, max_length=1000)]


class RevokeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`because` is what CRL and OCSP tell others; by default unspecified, or cessationOfOperation for what was out of use."""

    reason: Annotated[Reason, Meta(min_length=1)]
    because: RevocationReason | None = None


class DenyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=500)] = ""


class LinkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enrollment link. With `udid` only that device may use it, even to take its own active enrollment's place."""

    label: Annotated[str, Meta(max_length=200)] = ""
    uses: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    expires_in_hours: Annotated[float, Meta(gt=0, le=24 * 366)] = 24.0
    udid: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


_MOST_FILES: Final = 4
_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
"""Text without control characters, of which some databases cannot hold all."""

Topic = Annotated[str, Meta(min_length=1, max_length=255, pattern=_LINE, description="may be left out where there is only one")]
_Account = Annotated[str, Meta(max_length=255, pattern=_LINE, description="the Apple Account that the certificate belongs to")]
Reason = Annotated[str, Meta(max_length=500, pattern=_LINE, description="why, in a person's words")]
_Email = Annotated[str, Meta(min_length=3, max_length=255, pattern=_LINE)]
_Device = Annotated[str, Meta(min_length=1, max_length=512, pattern=_LINE)]
_File = Annotated[str, Meta(max_length=(LARGEST + 2) // 3 * 4, description="a file in base64")]


class SuspendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[Reason, Meta(min_length=1)]


class ResumeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason = ""


class PushImportBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A push certificate with its key: PKCS#12, or both as PEM or DER, in one file or several, in any order.

    A certificate by itself is enough where this server made its key. `other_devices` repeats how many devices listen to
    other topics: without it, a certificate that cannot reach them is refused. A dry run checks, and changes nothing.
    """

    files: Annotated[list[_File], Meta(min_length=1, max_length=_MOST_FILES)]
    password: Annotated[str, Meta(max_length=1024)] | None = None
    other_devices: Annotated[int, Meta(ge=0)] | None = None
    account: _Account = ""
    route: Route | None = None
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"PushImportBody({len(self.files)} files)"  # never a password or a key


class PushRequestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a push certificate; without `topic` or `further`, the renewal of the only one, or a first one.

    `account` may be left out where it is on record. An open request is given again, unless `new_key` makes another in its
    place. `reuse_key` renews the one in force with its key.
    """

    route: Route
    email: _Email
    account: _Account = ""
    country: Annotated[str, Meta(min_length=2, max_length=2)] = "US"
    topic: Topic | None = None
    further: bool = False
    reuse_key: bool = False
    new_key: bool = False


class TopicBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    topic: Topic | None = None


class RollbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=_LINE)]
    topic: Topic | None = None


class AccountBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: _Account
    topic: Topic | None = None


class VendorSignBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody else's certificate request, as PEM text or as DER in base64."""

    csr: Annotated[str, Meta(min_length=1, max_length=64 * 1024)]


class MdmcertBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`email` is the address that is registered at mdmcert.download, where the answer is mailed to."""

    email: _Email
    topic: Topic | None = None


class MdmcertAnswerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was mailed: hexadecimal, with any white space."""

    answer: Annotated[str, Meta(min_length=1, max_length=LARGEST)]


class WaveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to wake: `devices`, or `all`, which `topic` narrows down. `per_second` is 0 for no limit."""

    devices: Annotated[list[_Device], Meta(min_length=1, max_length=10_000)] | None = None
    all: bool = False
    topic: Topic | None = None
    per_second: Annotated[float, Meta(ge=0)] | None = None
    label: Annotated[str, Meta(max_length=200, pattern=_LINE)] = ""


_FIELDS: Final = MappingProxyType(
    {"queries": "Queries", "payload": "Payload", "identifier": "Identifier", "managed_only": "ManagedOnly"}
)
"""The keys that have a field of their own."""


def command_of(body: CommandBody) -> CommandRequest:
    """The command that a body describes. Raises Invalid, BadMessage or BadValue for one that it does not."""
    given: dict[str, Any] = {key: value for name, key in _FIELDS.items() if (value := getattr(body, name)) is not None}
    if (body.request_type is None) == (body.plist is None):
        raise Invalid("Expected either request_type or plist.")
    if body.plist is not None:
        if given or body.keys is not None or body.password is not None:
            raise Invalid("Expected plist alone; keys came with it.")
        return read_raw(_plist_bytes(body.plist))
    known = TABLE.get(body.request_type or "")
    if known is None:
        raise Invalid(
            f"Expected request_type to be one of {', '.join(sorted(TABLE))}; {(body.request_type or '')[:80]!r} came.",
            advice="Send any other command as plist.",
        )
    names = {key.name for key in known.keys}
    strays = [name for name, key in _FIELDS.items() if key in given and key not in names]
    if strays:
        raise Invalid(f"Expected {known.name} without {', '.join(strays)}, which it does not have.")
    return build(known.name, {**given, **(body.keys or {})}, password=body.password)


def files_of(body: PushImportBody) -> list[bytes]:
    """The files of a body. Raises Invalid for one that is not base64."""
    return [decoded(file, f"file {position} of {len(body.files)}") for position, file in enumerate(body.files, 1)]


def names_of(body: WaveBody) -> list[str] | None:
    """Whom a wave is for; None for all. Raises Invalid where nobody could tell."""
    if (body.devices is None) == (not body.all):
        raise Invalid("Expected either devices or all: true.")
    return body.devices


def csr_of(body: VendorSignBody) -> bytes:
    """The request that a body brings, PEM or DER. Raises Invalid."""
    return body.csr.encode() if "-----BEGIN" in body.csr else decoded(body.csr, "csr")


def aware(moment: datetime | None, name: str) -> datetime | None:
    """The moment in UTC. Raises Invalid for one without an offset: nobody could say which moment it is."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Invalid(f"Expected {name} with an offset, such as 2027-01-31T00:00:00Z; none came.")
    return moment.astimezone(UTC)


def _plist_bytes(given: str) -> bytes:
    return given.encode() if given.lstrip().startswith("<") else decoded(given, "plist")


def decoded(given: str, name: str) -> bytes:
    """What a field holds in base64. Raises Invalid, which repeats nothing of it."""
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"Expected {name} in base64; it is not.") from None
