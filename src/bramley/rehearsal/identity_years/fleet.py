"""A fleet and its server, for which time passes: whoever is there is woken by pushes and answers; whoever is away is not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography import x509

from bramley.jobs.renewal import RENEW_DUE
from bramley.mdm.commands import DeviceInformation
from bramley.model.commands import Command, CommandState
from bramley.model.jobs import Job
from bramley.operations import commands, pushing, records
from bramley.operations.errors import OperationError
from bramley.operations.installation import Installation
from bramley.operations.push import importing
from bramley.pki import keys
from bramley.rehearsal.cast import STYLES
from bramley.rehearsal.identity_years.plan import DAY, NOT_NOW_RATE, YEAR, Part, Plan, Role
from bramley.rehearsal.identity_years.player import InterruptibleDevice, Player, Replaced, SkewedClock
from bramley.rehearsal.identity_years.thief import Thief
from bramley.rehearsal.passing import at_rest
from bramley.rehearsal.stage import Stage, open_bare_stage
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.attackers.attempts import Target
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import DeviceIdentity, Patience
from bramley.sandbox.device.transport import Transport
from bramley.storage.protocols import Tx

ACTOR: Final = "rehearsal"
AT_ONCE: Final = 16
"""Devices that talk to the server at the same time."""

PUSHES_FOR_AN_ANSWER: Final = 30
"""More than anybody says NotNow in a row."""

_PATIENCE: Final = Patience(whole=1.0)
"""The server is on the same machine: what it does not answer it will not answer."""

_NEVER: Final = 100 * YEAR
_PUSH_LEAD: Final = 60 * DAY

T = TypeVar("T")


@dataclass(slots=True)
class PushCertificate:
    """The one that the fleet listens to, renewed at Apple year by year."""

    apple: SandboxAppleCA
    topic: str
    key: keys.PrivateKey = field(repr=False)
    current: x509.Certificate | None = None

    async def keep(self, installation: Installation) -> bool:
        """Renews it once it ends before long; whether it did."""
        now = installation.clock.now()
        if self.current is not None and self.current.not_valid_after_utc - now >= _PUSH_LEAD:
            return False
        self.current = self.apple.issue_push_certificate(self.key.public_key(), topic=self.topic, now=now)
        await importing.import_pair(installation, self.current, self.key, actor=ACTOR)
        return True


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everybody, and what they share."""

    stage: Stage
    clock: ShiftedClock
    players: Sequence[Player]
    push: PushCertificate
    patience: float

    async def enroll(self, told: Callable[[float], None]) -> None:
        """All of them, each by a link of its own. `told` hears which share has enrolled."""
        done = 0

        async def enroll(player: Player) -> None:
            nonlocal done
            await player.enroll(await self.stage.link())
            done += 1
            told(done / len(self.players))

        await _some_at_once(enroll(player) for player in self.players)
        await self.rest()

    async def pass_time(self, time: timedelta) -> None:
        """Time goes by, without anybody noticing, and the server does what is due. Devices do nothing yet."""
        for player in self.players:
            await player.device.close()  # no connection lasts for days
        before = self.clock.now()
        self.clock.shift += time
        await self.rest()
        if await self.push.keep(self.stage.installation) or _quarter(before) != _quarter(self.clock.now()):
            await self.follow()

    async def rest(self) -> None:
        """The server has done what is due."""
        await at_rest(self.stage, self.patience)

    async def follow(self) -> None:
        """The server uses what has come of what it did.

        It looks every half second of the machine. Whatever it replaces is good for months yet, so that it is enough to wait for
        it once in a while; but not never, since a year may be over by then.
        """
        await self.stage.until("the server to use its newest certificates", self._follows, self.patience)
        await self.rest()

    async def converse(self) -> Sequence[tuple[Player, Replaced]]:
        """Whoever was woken answers, until nobody has anything left to say; the identities that were replaced meanwhile."""
        replaced = []
        while woken := [player for player in self.players if player.there and player.woken]:
            answers = await _some_at_once(player.answer() for player in woken)
            replaced += [(player, given_up) for player, given_up in zip(woken, answers, strict=True) if given_up is not None]
            await self.rest()
        return replaced

    async def answering(self, players: Sequence[Player]) -> frozenset[str]:
        """Those that acknowledge a command; whoever puts it off is pushed again, as often as it takes."""
        installation = self.stage.installation
        sent: dict[str, Command] = {}
        for player in players:
            try:
                sent[player.name] = await commands.send(installation, player.name, DeviceInformation(("UDID",)), actor=ACTOR)
            except OperationError:
                continue  # the server knows no such device, or none that it could send something to

        def states(tx: Tx) -> dict[str, CommandState | None]:
            found = {name: tx.commands.get(command.enrollment_key, command.uuid) for name, command in sent.items()}
            return {name: command.state if command else None for name, command in found.items()}

        for _ in range(PUSHES_FOR_AN_ANSWER):
            await self.rest()
            await self.converse()
            now_in = await installation.store.read(states)
            put_off = sorted(name for name, state in now_in.items() if state is CommandState.NOT_NOW)
            if not put_off:
                break
            await pushing.request_push(installation, put_off)
        return frozenset(name for name, state in now_in.items() if state is CommandState.ACKNOWLEDGED)

    def thief(self, chance: random.Random) -> Thief:
        """Somebody who knows the server's addresses, as whoever is enrolled does."""
        anchors = [self.stage.service.live.current().authorities.root.certificate]
        target = Target(self.players[0].device.mdm, self.stage.tls_base)
        transport = Transport(anchors, self.clock, own_time=True)
        return Thief(transport, target, f"{self.stage.installation.url}/scep", self.clock, chance)

    def _follows(self, tx: Tx) -> bool:
        return tx.notes.get(records.GENERATION_NOTE) == self.stage.service.live.current().generation


@asynccontextmanager
async def opened_fleet(folder: Path, plan: Plan, *, renews: bool) -> AsyncGenerator[Fleet]:
    """A fleet from nothing: an installation with its push certificate, served, and devices that are not enrolled yet.

    A server that does not `renew` identities has no use for those that have ended, either.
    """
    clock = ShiftedClock()
    push = PushCertificate(SandboxAppleCA.make(clock.now()), new_topic(), keys.generate(keys.KeyAlgorithm.RSA_2048))

    async def before(installation: Installation) -> str:
        await push.keep(installation)
        if not renews:
            await installation.store.run(_put_off_renewals)
        return push.topic

    def _put_off_renewals(tx: Tx) -> None:
        # the runner adds a periodic job only where none of its kind is waiting
        tx.jobs.add(Job(RENEW_DUE, clock.now() + _NEVER, clock.now(), dedup_key=RENEW_DUE))

    settings: dict[str, Any] = {} if renews else {"identity": {"expired": "refuse"}}
    home = folder / ("renewing" if renews else "control")
    home.mkdir()
    stage = await open_bare_stage(home, clock, push.apple, settings, before)
    players = [_player(stage, plan, part) for part in plan.parts]
    try:
        yield Fleet(stage, clock, players, push, plan.patience)
    finally:
        for player in players:
            await player.leave()
        await stage.close()


def _quarter(moment: datetime) -> int:
    return (moment.month - 1) // 3


def _player(stage: Stage, plan: Plan, part: Part) -> Player:
    chance = random.Random(f"{plan.seed} device {part.number}")  # noqa: S311 - chance for a simulation
    return Player(part, new_device(stage, part, DeviceIdentity.make(chance, mac=part.number % 2 == 0)), stage.apns, stage.clock)


def new_device(stage: Stage, part: Part, named: DeviceIdentity) -> InterruptibleDevice:
    """A device as it comes out of the box."""
    not_now_rate = NOT_NOW_RATE if part.role is Role.NOT_NOW else 0.0
    behaviour = stage.behaviour(STYLES[part.number % len(STYLES)], not_now_rate=not_now_rate)
    behaviour = replace(behaviour, patience=_PATIENCE)
    return InterruptibleDevice(named, SkewedClock(stage.clock, part.skew), behaviour=behaviour, courier=stage.apns.courier)


async def _some_at_once(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it, in order, `AT_ONCE` at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def through(one: Awaitable[T]) -> T:
        async with gate:
            return await one

    return await asyncio.gather(*(through(one) for one in work))
