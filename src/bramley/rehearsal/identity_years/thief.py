"""Somebody who has a copy of every identity there ever was, and tries them on the server all through the years.

Whether a copy should be of use is known from what has happened, never asked of the server.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from bramley.clock import Clock
from bramley.pki import csr
from bramley.pki.scep.client import SCEPClient
from bramley.sandbox import signature
from bramley.sandbox.attackers import Attempt
from bramley.sandbox.attackers.attempts import Target, Try, every_message, send, try_scep
from bramley.sandbox.device import DeviceIdentity, Identity, SignatureStyle, messages
from bramley.sandbox.device.transport import SCEPTransport, Transport, at_listener

LAPSED_MAY: Final = frozenset({"Idle", "Acknowledged", "NotNow", "TokenUpdate"})
"""What an identity that has ended may send, to fetch its renewal."""


class Why(StrEnum):
    """Why an identity must not be of use."""

    REPLACED = "replaced"
    """Its successor has been in use for longer than the grace."""
    WIPED = "wiped"
    """Its device was wiped and has enrolled again."""
    REVOKED = "revoked"
    LAPSED = "lapsed"
    """It has ended, and its device is away: good for the renewal, and for nothing else."""
    FOREIGN = "another device's queue"
    """It is good, but not for this device."""


@dataclass(frozen=True, slots=True)
class Copy:
    """An identity with the device that it was for, and from when on it must not be of use any more."""

    identity: Identity = field(repr=False)
    device: DeviceIdentity
    why: Why
    void_from: datetime


class Thief:
    """Keeps copies and tries them. `attempts` counts what was tried, `accepted` says what got through."""

    def __init__(self, transport: Transport, target: Target, scep_url: str, clock: Clock, chance: random.Random) -> None:
        self._transport, self._target, self._clock, self._chance = transport, target, clock, chance
        self._scep = SCEPClient(SCEPTransport(transport, scep_url))
        self.copies: list[Copy] = []
        self.attempts: Counter[Why] = Counter()
        self.accepted: list[str] = []

    async def try_some(self, present: Sequence[tuple[Identity, DeviceIdentity]], lapsed: Sequence[Copy]) -> None:
        """Every message with one copy of each kind, and a request for a new identity; in another style each time.

        `present` are the identities in use, with which other devices' queues are tried.
        """
        for why in (Why.REPLACED, Why.WIPED, Why.REVOKED):
            if void := [copy for copy in self._void() if copy.why is why]:
                copy = self._chance.choice(void)
                await self._try(copy, self._every_message(copy.device))
                await self._renew(copy)
        if len(present) > 1:
            (identity, _its), (_other, device) = self._chance.sample(present, 2)
            await self._try(Copy(identity, device, Why.FOREIGN, self._clock.now()), self._every_message(device))
        if lapsed:
            copy = self._chance.choice(lapsed)
            await self._try(copy, [each for each in self._every_message(copy.device) if each.name not in LAPSED_MAY])

    async def try_everything(self, present: Sequence[tuple[Identity, DeviceIdentity]]) -> None:
        """Idle with every copy there is, and of every device in its neighbour's name."""
        foreign = [
            Copy(identity, device, Why.FOREIGN, self._clock.now())
            for (identity, _its), (_other, device) in zip(present, (*present[1:], *present[:1]), strict=True)
            if len(present) > 1
        ]
        for copy in (*self._void(), *foreign):
            await self._try(copy, self._every_message(copy.device)[:1])

    async def close(self) -> None:
        """Ends its connections."""
        await self._transport.close()

    def _void(self) -> list[Copy]:
        now = self._clock.now()
        return [copy for copy in self.copies if now > copy.void_from]

    def _every_message(self, device: DeviceIdentity) -> Sequence[Try]:
        return every_message(messages.sender(device), device, self._target.mdm.topic)

    async def _try(self, copy: Copy, tries: Sequence[Try]) -> None:
        style = self._chance.choice(self._target.styles)
        await self._transport.present(copy.identity if style is SignatureStyle.TLS else None)
        for name, content_type, message in tries:
            body, url = messages.encode(message), self._target.url(content_type)
            if style is SignatureStyle.TLS:
                url = at_listener(url, self._target.tls_base)
            headers = signature.header(body, copy.identity, style, now=self._clock.now())
            self._note(copy, await send(self._transport, url, content_type, body, headers, f"{name} ({style})"))

    async def _renew(self, copy: Copy) -> None:
        """A RenewalReq signed by the copy, for the key that it has."""
        key = copy.identity.key
        request = csr.build(key, copy.identity.certificate.subject)
        now = self._clock.now()
        await self._transport.present(None)
        attempt, _gained = await try_scep(
            self._scep, request, key, signer=copy.identity, renewal=True, description="RenewalReq", now=now
        )
        self._note(copy, attempt)

    def _note(self, copy: Copy, attempt: Attempt) -> None:
        self.attempts[copy.why] += 1
        if not attempt.refused:
            said = f"{attempt.description}, as {copy.device.udid}: {attempt.answered}"
            self.accepted.append(f"an identity that must not be of use ({copy.why}) was, for {said}")
