"""Enrollments of a former MDM as they come: JSON, one a line, or the check-in messages that its storage kept.

What a line says is only read here. Whether it can be believed is for `former_mdm`.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bramley.mdm.errors import BadMessage
from bramley.mdm.messages import Authenticate, TokenUpdate, parse_checkin
from bramley.mdm.sender import Sender, read_sender

_LONGEST_TEXT: Final = 255
_LARGEST_TOKEN: Final = 64 * 1024
_NAMES: Final = {"udid": "UDID", "enrollment_id": "EnrollmentID", "user_id": "UserID", "user_short_name": "UserShortName"}
_ABOUT: Final = ("serial_number", "device_name", "model", "product_name", "os_version", "build_version")
_TEXTS: Final = ("topic", "push_magic", "user_short_name", "user_long_name", *_ABOUT)
_DATA: Final = ("push_token", "unlock_token", "bootstrap_token")
_MESSAGES: Final[Mapping[str, type[Authenticate | TokenUpdate]]] = {"authenticate": Authenticate, "token_update": TokenUpdate}
FIELDS: Final = frozenset({*_NAMES, *_TEXTS, *_DATA, *_MESSAGES, "push_token_hex", "certificate"})
"""What a line may hold."""

_FILES: Final[Mapping[str, str]] = {
    "Authenticate.plist": "authenticate",
    "TokenUpdate.plist": "token_update",
    "Identity.pem": "certificate",
    "UnlockToken.dat": "unlock_token",
    "BootstrapToken.dat": "bootstrap_token",
}
FILE_NAMES: Final = frozenset({*_FILES, "Disabled"})
"""What is looked at in a folder of NanoMDM's `file` storage."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line cannot be used: which one, its field, and what to do."""

    where: str
    field: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class FormerEnrollment:
    """A device, or one user's channel of it, as a former MDM knew it. `certificate` is DER or PEM, None for a user's channel."""

    where: str
    sender: Sender
    topic: str
    push_token: bytes = field(repr=False)
    push_magic: str = field(repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    unlock_token: bytes | None = field(default=None, repr=False)
    bootstrap_token: bytes | None = field(default=None, repr=False)
    about: Mapping[str, Any] = field(default_factory=dict)
    """Texts that describe it, by the names of Enrollment's fields."""

    @property
    def is_channel(self) -> bool:
        return self.sender.user is not None


class _Bad(Exception):
    def __init__(self, name: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.name, self.message, self.advice = name, message, advice


def read_lines(data: bytes, name: str) -> Iterator[FormerEnrollment | Problem]:
    """JSON Lines: one object a line with `FIELDS`; null is as if it were not there, and empty lines are left out.

    `name` is what problems call the whole.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield _read(f"{name}, line {number}", line)


def read_folders(folders: Mapping[str, Mapping[str, bytes]]) -> Iterator[FormerEnrollment | Problem]:
    """Files by folder and name, as NanoMDM's `file` storage has them. A disabled enrollment is left out."""
    for folder, files in folders.items():
        if "Disabled" in files:
            continue
        found: dict[str, Any] = {_FILES[name]: content for name, content in files.items() if name in _FILES}
        yield _understood(f"folder {folder}", found)


def _read(where: str, line: bytes) -> FormerEnrollment | Problem:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Problem(where, "", "Expected a JSON object on one line; something else came.")
    if not isinstance(found, dict):
        return Problem(where, "", f"Expected a JSON object; a {type(found).__name__} came.")
    return _understood(where, {name: value for name, value in found.items() if value is not None})


def _understood(where: str, found: Mapping[str, Any]) -> FormerEnrollment | Problem:
    try:
        return _build(where, found)
    except _Bad as bad:
        return Problem(where, bad.name, bad.message, bad.advice)


def _build(where: str, found: Mapping[str, Any]) -> FormerEnrollment:
    unknown = sorted(set(found) - FIELDS)
    if unknown:
        raise _Bad(repr(unknown[0])[:80], "There is no such field.", f"Fields are {', '.join(sorted(FIELDS))}.")
    authenticate, token_update = (_message(found, name) for name in _MESSAGES)
    sender = _sender(found, [message for message in (authenticate, token_update) if message is not None])
    texts = {name: _text(found, name) for name in _TEXTS}
    topic = texts["topic"] or (token_update and token_update.topic)
    token = _push_token(found) or (token_update and token_update.token)
    magic = texts["push_magic"] or (token_update and token_update.push_magic)
    for name, value in (("topic", topic), ("push_token", token), ("push_magic", magic)):
        if not value:
            raise _Bad(name, "It is missing, and so is a token_update that has it.", "A device without it cannot be woken.")
    certificate = _certificate(found)
    if certificate is None and sender.user is None:
        raise _Bad(
            "certificate",
            "It is missing: nothing else says which identity is this device's.",
            "Get it from the former server's record of issued certificates, or enroll the device again.",
        )
    if certificate is not None and sender.user is not None:
        raise _Bad("certificate", "A user's channel has none: it speaks with its device's.")
    said = {
        **{name: getattr(authenticate, name) for name in _ABOUT if authenticate},
        "user_short_name": token_update.user_short_name if token_update else None,
        "user_long_name": token_update.user_long_name if token_update else None,
    }
    about = {name: texts[name] or said.get(name) for name in (*_ABOUT, "user_short_name", "user_long_name")}
    return FormerEnrollment(
        where,
        sender,
        str(topic),
        push_token=token or b"",
        push_magic=str(magic),
        certificate=certificate,
        unlock_token=_data(found, "unlock_token") or (token_update.unlock_token if token_update else None),
        bootstrap_token=_data(found, "bootstrap_token"),
        about={name: value for name, value in about.items() if value},
    )


def _sender(found: Mapping[str, Any], messages: Sequence[Authenticate | TokenUpdate]) -> Sender:
    """Who it is, which all that says so must agree on."""
    senders = {message.sender.device: message.sender for message in messages}
    if len(senders) > 1:
        raise _Bad("token_update", "It is of another device than authenticate.")
    named = {key: found[name] for name, key in _NAMES.items() if name in found}
    if "UDID" in named or "EnrollmentID" in named or not messages:
        try:
            flat = read_sender(named)
        except BadMessage as error:
            raise _Bad("udid", error.message) from None
        if messages and flat.enrollment_id != messages[-1].sender.enrollment_id:
            raise _Bad("udid", "It is another one than that of authenticate or token_update.")
        return flat
    return messages[-1].sender


def _message(found: Mapping[str, Any], name: str) -> Any:
    """A check-in message, as the device sent it (XML)."""
    raw = found.get(name)
    if raw is None:
        return None
    if not isinstance(raw, str | bytes):
        raise _Bad(name, f"Expected a property list as text; a {type(raw).__name__} came.")
    try:
        message = parse_checkin(raw.encode() if isinstance(raw, str) else raw)
    except (BadMessage, UnicodeEncodeError) as error:
        raise _Bad(name, error.message if isinstance(error, BadMessage) else "It is no text that can be written.") from None
    if not isinstance(message, _MESSAGES[name]):
        raise _Bad(name, f"Expected {_MESSAGES[name].__name__}; {type(message).__name__} came.")
    return message


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\0" not in value):
        raise _Bad(name, f"Expected a text of at most {_LONGEST_TEXT} characters; something else came.")
    return value or None


def _data(found: Mapping[str, Any], name: str) -> bytes | None:
    """Base64, line breaks in it or not; octets as they are where they come from a file."""
    value = found.get(name)
    if value is None or isinstance(value, bytes):
        return value or None
    try:
        decoded = b64decode("".join(value.split()), validate=True) if isinstance(value, str) else None
    except (Base64Error, ValueError):
        decoded = None
    if decoded is None or len(decoded) > _LARGEST_TOKEN:
        raise _Bad(name, f"Expected base64 of at most {_LARGEST_TOKEN} octets; something else came.")
    return decoded or None


def _push_token(found: Mapping[str, Any]) -> bytes | None:
    digits = found.get("push_token_hex")
    if digits is None:
        return _data(found, "push_token")
    if "push_token" in found:
        raise _Bad("push_token_hex", "Expected it or push_token; both came.")
    try:
        return bytes.fromhex(digits) if isinstance(digits, str) else b""
    except ValueError:
        raise _Bad("push_token_hex", "Expected hexadecimal digits; something else came.") from None


def _certificate(found: Mapping[str, Any]) -> bytes | None:
    """PEM as it is, base64 decoded."""
    value = found.get("certificate")
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN"):
        return value.encode("utf-8", "replace")
    return _data(found, "certificate")
