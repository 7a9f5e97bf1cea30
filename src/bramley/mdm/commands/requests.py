"""What every request has, the envelope around it, and requests that have no class of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import PlistValue, Writable
from bramley.model.commands import CommandUUID

MAX_RAW_BYTES: Final = 16 * 1024 * 1024


class Request(Protocol):
    """Something that a device can be told to do."""

    @property
    def request_type(self) -> str: ...

    def to_plist(self) -> dict[str, Writable]:
        """The `Command` dictionary, `RequestType` included."""
        ...


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as an operator wrote it; made by `read_raw`."""

    request_type: str
    command: Mapping[str, PlistValue] = field(repr=False)

    def to_plist(self) -> dict[str, Writable]:
        return dict(self.command)


def envelope(uuid: CommandUUID, request: Request) -> bytes:
    """The plist that a device gets: `{CommandUUID, Command}`. Raises BadValue for what a plist cannot hold."""
    return plist.dumps({"CommandUUID": uuid, "Command": request.to_plist()})


def read_raw(given: bytes | Mapping[str, PlistValue]) -> Raw:
    """A request from an XML plist or a dictionary: either the `Command` dictionary, or a whole `{Command}` message.

    A CommandUUID that comes with it is dropped: the queue gives its own. Raises BadMessage without a RequestType.
    """
    message = plist.loads(given, max_bytes=MAX_RAW_BYTES) if isinstance(given, bytes) else given
    command = message.get("Command", message) if isinstance(message, Mapping) else message
    request_type = command.get("RequestType") if isinstance(command, Mapping) else None
    if not isinstance(command, Mapping) or not isinstance(request_type, str) or not request_type:
        raise BadMessage(
            "Expected a command with a RequestType that is a string; none came.",
            advice="Write {RequestType: NAME, …}, or {Command: {RequestType: NAME, …}}, as in Apple's documentation.",
        )
    return Raw(request_type, command)
