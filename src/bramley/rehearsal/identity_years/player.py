"""One device in the story: there or away, woken by pushes, and with a clock that is off."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bramley.clock import Clock
from bramley.rehearsal.identity_years.plan import Part
from bramley.sandbox.apns import APNs
from bramley.sandbox.apns.tokens import Payload
from bramley.sandbox.device import Identity, SimulatedDevice, UserAccount
from bramley.sandbox.errors import SandboxError


class Interruption(StrEnum):
    """How far a device has come with a renewal when it is cut short."""

    ASKED = "asked"
    """The command waits."""
    ISSUED = "issued"
    """It has the new identity, which nobody has seen yet."""
    AUTHENTICATED = "authenticated"
    """The server has seen the new identity."""
    UPDATED = "updated"
    """The server has heard everything but the answer to the command."""


class CutShort(SandboxError):
    """The device stopped in the middle of a renewal."""


class InterruptibleDevice(SimulatedDevice):
    """One whose next renewal may be cut short. `unused` is the identity that it was about to use."""

    interruption: Interruption | None = None
    unused: Identity | None = None

    async def authenticate(self, identity: Identity | None = None) -> None:
        self.unused = identity
        self._stop_at(Interruption.ISSUED)
        await super().authenticate(identity)
        self._stop_at(Interruption.AUTHENTICATED)

    async def token_update(self, user: UserAccount | None = None, identity: Identity | None = None) -> None:
        await super().token_update(user, identity)
        self._stop_at(Interruption.UPDATED)

    def _stop_at(self, point: Interruption) -> None:
        if self.interruption is point:
            raise CutShort(f"The renewal of {self.device.udid} was cut short once it was {point}.")


class SkewedClock:
    """Another clock, seen by somebody whose own is off by `skew`."""

    def __init__(self, clock: Clock, skew: timedelta) -> None:
        self._clock, self._skew = clock, skew

    def now(self) -> datetime:
        return self._clock.now() + self._skew

    async def sleep_until(self, moment: datetime) -> None:
        await self._clock.sleep_until(moment - self._skew)


@dataclass(frozen=True, slots=True)
class Replaced:
    """An identity that its device has given up for another, and whether it had ended before."""

    identity: Identity = field(repr=False)
    at: datetime
    had_ended: bool


@dataclass(slots=True, eq=False)
class Player:
    """A device with its part. `woken` says that a push has come which it has not followed yet.

    `refusals` are the answers that it would not have got from a server that knows it.
    """

    part: Part
    device: InterruptibleDevice
    apns: APNs
    clock: Clock
    there: bool = True
    woken: bool = False
    refusals: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.device.device.udid

    @property
    def has_ended_identity(self) -> bool:
        identity = self.device.identity
        return identity is not None and self.clock.now() > identity.certificate.not_valid_after_utc

    async def enroll(self, link: str) -> None:
        await self.device.enroll(link)
        self.come()

    def come(self) -> None:
        """From now on pushes reach it, at once the one that was kept for it."""
        self.there = True
        if self.device.enrolled:
            self.apns.tokens.connect(self._token, self._hear, self.clock.now())

    async def leave(self) -> None:
        """Nothing reaches it."""
        self.there = False
        if self.device.enrolled:
            self.apns.tokens.disconnect(self._token, self._hear)
        await self.device.close()

    async def answer(self) -> Replaced | None:
        """Does what it was woken for; the identity that was replaced in doing so, if one was."""
        self.woken, before, began = False, self.device.identity, self.clock.now()
        try:
            await self.device.connect()
        except CutShort:
            raise
        except SandboxError as error:
            self.refusals.append(f"{self.name} ({self.part.role}): {error.message}")
        if before is None or self.device.identity in (before, None):
            return None
        return Replaced(before, began, began > before.certificate.not_valid_after_utc)

    @property
    def _token(self) -> bytes:
        return self.device.channels[None].token

    def _hear(self, payload: Payload) -> None:
        self.woken = self.woken or payload["mdm"] == self.device.channels[None].push_magic
