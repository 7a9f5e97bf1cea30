"""What a device sends to the connect endpoint: that it is idle, or how a command went (Apple's "Commands and Queries")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage
from bramley.mdm.messages import read_dictionary, required_string
from bramley.mdm.plist import MAX_DEPTH, PlistValue
from bramley.mdm.sender import Sender, read_sender
from bramley.model.commands import CommandUUID

MAX_REPORT_BYTES: Final = 16 * 1024 * 1024

UNLOCK_TOKEN: Final = "UnlockToken"  # noqa: S105 - the name of a key
"""Told in answer to RequestUnlockToken (Apple, "Request the unlock token"): data."""

BYPASS_CODE: Final = "ActivationLockBypassCode"
"""Told in answer to the command of the same name: text."""

_SECRETS: Final = (UNLOCK_TOKEN, BYPASS_CODE)
_LONGEST_UUID: Final = 128


class Status(StrEnum):
    """`Idle` asks for work; `NotNow` puts a command off; the others end it."""

    IDLE = "Idle"
    ACKNOWLEDGED = "Acknowledged"
    ERROR = "Error"
    COMMAND_FORMAT_ERROR = "CommandFormatError"
    NOT_NOW = "NotNow"


_STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One link of an ErrorChain, outermost first."""

    domain: str
    code: int
    description: str


@dataclass(frozen=True, slots=True)
class Report:
    """A device's report; `command_uuid` is None only where `status` is Idle.

    `raw` is the body as it came or, where it tells `secrets`, the same without them.
    """

    sender: Sender
    status: Status
    command_uuid: CommandUUID | None
    error_chain: tuple[ErrorItem, ...]
    raw: bytes = field(repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def parse_report(body: bytes, *, max_bytes: int = MAX_REPORT_BYTES, max_depth: int = MAX_DEPTH) -> Report:
    """The report in an HTTP body. Raises BadMessage naming what is missing, of another type, or unknown."""
    message = read_dictionary(body, max_bytes, max_depth)
    sender = read_sender(message)
    status = _STATUSES.get(required_string(message, "Status"))
    if status is None:
        raise BadMessage(f"Expected Status to be one of {', '.join(_STATUSES)}; another came.")
    if status is Status.IDLE:
        return Report(sender, status, None, (), body)
    uuid = required_string(message, "CommandUUID")
    if len(uuid) > _LONGEST_UUID:
        raise BadMessage(f"Expected CommandUUID to be at most {_LONGEST_UUID} characters; {len(uuid)} came.")
    chain = read_error_chain(message.get("ErrorChain"))
    if message.keys().isdisjoint(_SECRETS):
        return Report(sender, status, CommandUUID(uuid), chain, body)
    open_ = {key: value for key, value in message.items() if key not in _SECRETS}
    told = {key: secret for key in _SECRETS if (secret := _octets(message.get(key)))}
    return Report(sender, status, CommandUUID(uuid), chain, plist.dumps(open_), told)


def read_error_chain(chain: PlistValue | None) -> tuple[ErrorItem, ...]:
    """What can be read of an ErrorChain: it explains a failure, and must not become a second one."""
    items = chain if isinstance(chain, list) else []
    return tuple(_error_item(item) for item in items if isinstance(item, dict))


def _octets(value: PlistValue | None) -> bytes:
    """What is neither data nor text is no secret of Apple's, and not kept."""
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _error_item(item: Mapping[str, PlistValue]) -> ErrorItem:
    domain, code = item.get("ErrorDomain"), item.get("ErrorCode")
    texts = (item.get("USEnglishDescription"), item.get("LocalizedDescription"))
    return ErrorItem(
        domain if isinstance(domain, str) else "",
        code if isinstance(code, int) else 0,
        next((text for text in texts if isinstance(text, str)), ""),
    )
