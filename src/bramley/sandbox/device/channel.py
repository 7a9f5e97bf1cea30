"""The channels of a device: its own, and one for each of its users."""

from __future__ import annotations

from dataclasses import dataclass, field

from bramley.sandbox.device.execution import After
from bramley.sandbox.device.holdings import Holdings
from bramley.sandbox.device.identity import UserAccount
from bramley.sandbox.device.messages import Message


@dataclass(frozen=True, slots=True)
class Answered:
    """A command the device dealt with, and the status of its answer, whether or not the server has taken that yet."""

    command_uuid: str
    request_type: str
    status: str


@dataclass(slots=True)
class Channel:
    """A push token, a magic string, and the answer that is still owed, if any. `come_back` asks for a session without a push.

    `holdings` is where its commands install profiles: the device's, or a user's.
    """

    user: UserAccount | None
    token: bytes = field(repr=False)
    push_magic: str = field(repr=False)
    holdings: Holdings = field(repr=False)
    owed: tuple[Message, After | None] | None = None
    come_back: bool = False
