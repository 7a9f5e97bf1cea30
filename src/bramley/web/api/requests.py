"""What the API is given: bodies and query parameters, checked before an operation hears of them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import Meta

from bramley.mdm.commands import REQUESTS, read_raw
from bramley.mdm.commands import Request as CommandRequest
from bramley.model.admins import AdminToken
from bramley.operations.errors import Invalid

AdminRequest = Request[AdminToken, str, State]
"""A request that has been let in: `auth` is the actor, `admin:NAME`."""

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="how many at most")]


class CommandBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command: `request_type` with the fields of that type, or `plist` with any command that Apple documents.

    `payload` is base64. `plist` is an XML property list, as text or in base64: a `Command` dictionary, or a whole message.
    """

    request_type: str | None = None
    queries: list[str] | None = None
    payload: str | None = None
    identifier: str | None = None
    managed_only: bool | None = None
    plist: str | None = None
    push: bool = True


class PushBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    devices: Annotated[list[str], Meta(min_length=1, max_length=1000)]


class RevokeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class LinkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enrollment link. With `udid` only that device may use it, even to take its own active enrollment's place."""

    label: Annotated[str, Meta(max_length=200)] = ""
    uses: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    expires_in_hours: Annotated[float, Meta(gt=0, le=24 * 366)] = 24.0
    udid: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


_FIELDS: Final = ("queries", "payload", "identifier", "managed_only")


def command_of(body: CommandBody) -> CommandRequest:
    """The command that a body describes. Raises Invalid, BadMessage or BadValue for one that it does not."""
    given: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(body, name)) is not None}
    if (body.request_type is None) == (body.plist is None):
        raise Invalid("Expected either request_type or plist.")
    if body.plist is not None:
        if given:
            raise Invalid(f"Expected plist alone; {', '.join(given)} came with it.")
        return read_raw(_plist_bytes(body.plist))
    kind = REQUESTS.get(body.request_type or "")
    if kind is None:
        raise Invalid(
            f"Expected request_type to be one of {', '.join(sorted(REQUESTS))}; {body.request_type!r} came.",
            advice="Send any other command as plist.",
        )
    known = {item.name: item.default is MISSING for item in fields(kind)}  # type: ignore[arg-type]  # each is a dataclass
    missing = [name for name, required in known.items() if required and name not in given]
    if missing or not given.keys() <= known.keys():
        raise Invalid(f"Expected {body.request_type} with {', '.join(known) or 'nothing'}; {', '.join(given) or 'nothing'} came.")
    if "payload" in given:
        given["payload"] = _base64(given["payload"], "payload")
    if "queries" in given:
        given["queries"] = tuple(given["queries"])
    return kind(**given)


def aware(moment: datetime | None, name: str) -> datetime | None:
    """The moment in UTC. Raises Invalid for one without an offset: nobody could say which moment it is."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Invalid(f"Expected {name} with an offset, such as 2027-01-31T00:00:00Z; none came.")
    return moment.astimezone(UTC)


def _plist_bytes(given: str) -> bytes:
    return given.encode() if given.lstrip().startswith("<") else _base64(given, "plist")


def _base64(given: str, name: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"Expected {name} in base64; it is not.") from None
