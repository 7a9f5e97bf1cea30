"""What every request has, the envelope around it, and requests that have no class of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bramley.mdm import plist
from bramley.mdm.commands.checking import Receiver, check
from bramley.mdm.commands.finding import BadCommand, Finding, Rule, error, refuse_errors
from bramley.mdm.commands.table import TABLE, Key
from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import PlistValue, Writable
from bramley.model.commands import CommandUUID

MAX_RAW_BYTES: Final = 16 * 1024 * 1024
HIDDEN: Final = "(secret)"


class Request(Protocol):
    """Something that a device can be told to do."""

    @property
    def request_type(self) -> str: ...

    def to_plist(self) -> dict[str, Writable]:
        """The `Command` dictionary, `RequestType` included."""
        ...


@dataclass(frozen=True, slots=True)
class Raw:
    """A request by its keys, as an operator wrote it or `build` made it."""

    request_type: str
    command: Mapping[str, Writable] = field(repr=False)

    def to_plist(self) -> dict[str, Writable]:
        return dict(self.command)


def envelope(uuid: CommandUUID, request: Request) -> bytes:
    """The plist that a device gets: `{CommandUUID, Command}`.

    Raises BadCommand for what breaks the table's rules, BadValue for what a plist cannot hold.
    """
    command = request.to_plist()
    require(request, Receiver(), filled=True)
    return plist.dumps({"CommandUUID": uuid, "Command": command})


def require(request: Request, receiver: Receiver, *, filled: bool = False) -> tuple[Finding, ...]:
    """What is worth knowing about a request to this receiver; BadCommand where it cannot be sent.

    Of a RequestType that the table lacks only that is looked at: whoever decides about a request goes by it.
    """
    name, command = request.request_type, request.to_plist()
    if command.get("RequestType") != name:
        words = "Expected the type of the request; another came."
        raise BadCommand(name, error("RequestType", Rule.ALLOWED_VALUE, words))
    known = TABLE.get(name)
    return () if known is None else refuse_errors(name, check(known, command, receiver, filled=filled))


def shown(request: Request) -> dict[str, Writable]:
    """The `Command` dictionary for people: what is secret by the table is left out of it."""
    known = TABLE.get(request.request_type)
    command = request.to_plist()
    return command if known is None else _hidden(known.keys, command)


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


def _hidden(keys: Sequence[Key], values: Mapping[str, Writable]) -> dict[str, Writable]:
    known = {key.name: key for key in keys}
    return {name: _hide(known[name], value) if name in known else value for name, value in values.items()}


def _hide(key: Key, value: Writable) -> Writable:
    if key.secret:
        return HIDDEN
    if isinstance(value, Mapping):
        return _hidden(key.keys, value)
    if isinstance(value, list | tuple) and key.items is not None:
        return [_hide(key.items, item) for item in value]
    return value
