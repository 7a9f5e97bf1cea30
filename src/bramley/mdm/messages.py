"""Check-in messages as devices send them (Apple's "Check-in" pages, one class a MessageType).

A key that decides something must be there with its type, or the message is refused. Descriptive keys are taken where they
are strings, and every key that no field names is left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import MAX_DEPTH, PlistValue
from bramley.mdm.sender import Sender, read_sender

MAX_CHECKIN_BYTES: Final = 256 * 1024

_Body = Mapping[str, PlistValue]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The first message of an enrollment, or of a renewal by a replaced profile; device channel only."""

    sender: Sender
    topic: str
    serial_number: str | None = None
    device_name: str | None = None
    model: str | None = None
    product_name: str | None = None
    os_version: str | None = None
    build_version: str | None = None


@dataclass(frozen=True, slots=True)
class TokenUpdate:
    """How to wake the sender: APNs token and PushMagic. iOS adds an UnlockToken now and then; an absent one is unchanged."""

    sender: Sender
    topic: str
    token: bytes = field(repr=False)
    push_magic: str = field(repr=False)
    unlock_token: bytes | None = field(default=None, repr=False)
    user_short_name: str | None = None
    user_long_name: str | None = None


@dataclass(frozen=True, slots=True)
class CheckOut:
    """The MDM profile was removed; sent where CheckOutWhenRemoved is set, and not always."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class SetBootstrapToken:
    """A Mac hands over its bootstrap token; `token` None, where the key is missing or empty, deletes it."""

    sender: Sender
    token: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class GetBootstrapToken:
    """A Mac asks for its bootstrap token."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class GetToken:
    """A device asks for a token of some service, such as `com.apple.maid`."""

    sender: Sender
    service_type: str


@dataclass(frozen=True, slots=True)
class UserAuthenticate:
    """A Mac asks whether to manage a network user."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class DeclarativeManagement:
    """A device's side of declarative management: it asks for, or reports to, `endpoint`."""

    sender: Sender
    endpoint: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A MessageType that is not among ours, kept as it came."""

    sender: Sender
    message_type: str
    raw: bytes = field(repr=False)


CheckinMessage = (
    Authenticate
    | TokenUpdate
    | CheckOut
    | SetBootstrapToken
    | GetBootstrapToken
    | GetToken
    | UserAuthenticate
    | DeclarativeManagement
    | Unknown
)


def parse_checkin(body: bytes, *, max_bytes: int = MAX_CHECKIN_BYTES, max_depth: int = MAX_DEPTH) -> CheckinMessage:
    """The check-in message in an HTTP body. Raises BadMessage naming the key that is missing or of another type."""
    message = read_dictionary(body, max_bytes, max_depth)
    message_type = required_string(message, "MessageType")
    sender = read_sender(message)
    build = _MESSAGES.get(message_type)
    return build(sender, message) if build else Unknown(sender, message_type, body)


def read_dictionary(body: bytes, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, PlistValue]:
    """The dictionary that every message is. Raises BadMessage for any other property list."""
    message = plist.loads(body, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(message, dict):
        raise BadMessage(f"Expected a message to be a dictionary; a {type(message).__name__} came.")
    return message


def required_string(message: _Body, key: str) -> str:
    """A string that must be there and not be empty. Raises BadMessage."""
    value = message.get(key)
    if not isinstance(value, str) or not value:
        raise BadMessage(f"Expected {key} to be a string that is not empty; {_shown_type(value)} came.")
    return value


def _required_data(message: _Body, key: str) -> bytes:
    value = _data(message, key)
    if not value:
        raise BadMessage(f"Expected {key} to be data that is not empty; none came.")
    return value


def _data(message: _Body, key: str) -> bytes | None:
    value = message.get(key)
    if value is not None and not isinstance(value, bytes):
        raise BadMessage(f"Expected {key} to be data; {_shown_type(value)} came.")
    return value or None


def _text(message: _Body, key: str) -> str | None:
    """A description: whatever else may stand there is not worth refusing a device for."""
    value = message.get(key)
    return value if isinstance(value, str) and value else None


def _shown_type(value: PlistValue | None) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _authenticate(sender: Sender, message: _Body) -> Authenticate:
    if sender.user is not None:
        raise BadMessage("Expected Authenticate from a device; one that names a user came.")
    return Authenticate(
        sender,
        required_string(message, "Topic"),
        serial_number=_text(message, "SerialNumber"),
        device_name=_text(message, "DeviceName"),
        model=_text(message, "Model"),
        product_name=_text(message, "ProductName"),
        os_version=_text(message, "OSVersion"),
        build_version=_text(message, "BuildVersion"),
    )


def _token_update(sender: Sender, message: _Body) -> TokenUpdate:
    return TokenUpdate(
        sender,
        required_string(message, "Topic"),
        token=_required_data(message, "Token"),
        push_magic=required_string(message, "PushMagic"),
        unlock_token=_data(message, "UnlockToken"),
        user_short_name=_text(message, "UserShortName"),
        user_long_name=_text(message, "UserLongName"),
    )


_MESSAGES: Final[Mapping[str, Callable[[Sender, _Body], CheckinMessage]]] = {
    "Authenticate": _authenticate,
    "TokenUpdate": _token_update,
    "CheckOut": lambda sender, message: CheckOut(sender),
    "SetBootstrapToken": lambda sender, message: SetBootstrapToken(sender, _data(message, "BootstrapToken")),
    "GetBootstrapToken": lambda sender, message: GetBootstrapToken(sender),
    "GetToken": lambda sender, message: GetToken(sender, required_string(message, "TokenServiceType")),
    "UserAuthenticate": lambda sender, message: UserAuthenticate(sender),
    "DeclarativeManagement": lambda sender, message: DeclarativeManagement(sender, required_string(message, "Endpoint")),
}
