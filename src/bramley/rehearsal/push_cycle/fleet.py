"""A fleet of simulated devices that is enrolled with a real server, and for which years pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from bramley.apple.push import topic_of
from bramley.mdm.commands import DeviceInformation
from bramley.model.commands import Command, CommandState
from bramley.model.push import Route
from bramley.operations import commands
from bramley.operations.installation import Installation, open_installation
from bramley.operations.push import importing, status
from bramley.operations.push.importing import Terms
from bramley.pki import certificates
from bramley.rehearsal.cast import STYLES, awake
from bramley.rehearsal.passing import at_rest
from bramley.rehearsal.push_cycle.desks import ACTOR, MdmcertDesk, VendorDesk
from bramley.rehearsal.push_cycle.doors import CommandLine, HalfRestoredBackup, doors, in_force
from bramley.rehearsal.push_cycle.parts import Door
from bramley.rehearsal.push_cycle.ways import ACCOUNT, Way, way
from bramley.rehearsal.stage import APPLE_ROOT, Stage, TooSlow, open_bare_stage
from bramley.sandbox.apns import APNs
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.portals import MdmcertServer, SandboxApple
from bramley.storage.protocols import Tx

STEP: Final = timedelta(days=60)
"""Time goes by in steps: the server replaces its own certificates in between, months before they end."""

_PATIENCE: Final = 30.0
_PRODUCT: Final = "Bramley"


class GuardedFleet:
    """`parts.Fleet` with Bramley. `patience`, in seconds of the machine, is for devices that should answer."""

    def __init__(
        self, stage: Stage, clock: ShiftedClock, devices: Sequence[SimulatedDevice], ways_in: Mapping[str, Door], patience: float
    ) -> None:
        self._stage, self._clock, self._devices, self._patience = stage, clock, devices, patience
        self._called: list[tuple[str, Command]] = []
        self._awake = AsyncExitStack()
        self.names = frozenset(one.device.udid for one in devices)
        self.apns: APNs = stage.apns
        self.doors = ways_in
        backup = HalfRestoredBackup(stage.service.live, stage.first.folder / "bramley.sqlite3")
        self.breaches: Mapping[str, Door] = {"half-restored backup": backup}

    async def in_force(self) -> x509.Certificate:
        found = await self._stage.installation.store.read(in_force)
        if found is None or found.certificate is None:
            raise AssertionError("a fleet has a push certificate")
        return certificates.load(found.certificate)

    async def settle(self) -> None:
        """No trial is under way, and the server uses what is in force."""
        now = self._clock.now()
        await self._stage.until(
            "a push certificate tried out", lambda tx: not any(topic.on_trial for topic in status.read(tx, now)), _PATIENCE
        )
        current = await self.in_force()
        await self._stage.until("the certificate in force in use", lambda _tx: self._uses(current), _PATIENCE)

    async def pass_until(self, moment: datetime) -> None:
        while (left := moment - self._clock.now()) > timedelta():
            self._clock.shift += min(left, STEP)
            await at_rest(self._stage, _PATIENCE)
        for device in self._devices:
            await device.close()  # no connection lasts for months

    @asynccontextmanager
    async def asleep(self) -> AsyncGenerator[None]:
        await self._awake.aclose()
        try:
            yield
        finally:
            await self.rouse()

    async def rouse(self) -> None:
        """From now on the devices wait for pushes."""
        await self._awake.enter_async_context(awake(*self._devices))

    async def retire(self) -> None:
        """The devices are away for good."""
        await self._awake.aclose()
        for device in self._devices:
            await device.close()

    async def call(self) -> str:
        """A command for each, which a push tells it of."""
        send = partial(commands.send, self._stage.installation, command=DeviceInformation(("UDID",)), actor=ACTOR)
        names = sorted(self.names)
        self._called += zip(names, await asyncio.gather(*(send(name) for name in names)), strict=True)
        await at_rest(self._stage, _PATIENCE)
        now = self._clock.now()
        found = await self._stage.installation.store.read(lambda tx: status.read(tx, now))
        return " ".join(topic.paused for topic in found if topic.paused)

    async def answering(self) -> frozenset[str]:
        """Those that have acknowledged every command since they were last asked after."""
        called, self._called = self._called, []

        def silent(tx: Tx) -> set[str]:
            found = (tx.commands.get(command.enrollment_key, command.uuid) for _name, command in called)
            answered = {one.uuid for one in found if one is not None and one.state is CommandState.ACKNOWLEDGED}
            return {name for name, command in called if command.uuid not in answered}

        with suppress(TooSlow):
            await self._stage.until("every answer", lambda tx: not silent(tx), self._patience)
        return self.names - await self._stage.installation.store.read(silent)

    def _uses(self, certificate: x509.Certificate) -> bool:
        used = self._stage.service.live.current().pushes.get(topic_of(certificate))
        return used is not None and used.certificate == certificate


@asynccontextmanager
async def guarded_fleet(
    folder: Path, route: Route, count: int, *, seed: int, command_line: CommandLine | None, patience: float
) -> AsyncGenerator[tuple[GuardedFleet, Way]]:
    """A fleet from nothing: an installation, its first push certificate by the route, and devices that enroll."""
    clock = ShiftedClock()
    apple = SandboxApple.make(clock)
    async with AsyncExitStack() as ending:
        settings: dict[str, Any] = {"identity": {"lifetime_days": 3650, "renew_at": 0.9, "jitter": 0.0}}
        if route is Route.MDMCERT:
            service = MdmcertServer(apple.ca, apple.mdmcert.answer)
            await service.start(certificate_from=clock.now())
            ending.push_async_callback(service.stop)
            key = apple.mdmcert.client_key(_PRODUCT)
            settings["mdmcert"] = {"url": service.url, "client_key": key, "ca_file": str(folder / APPLE_ROOT)}
        stage = await open_bare_stage(folder, clock, apple.ca, settings)
        ending.push_async_callback(stage.close)
        desk = MdmcertDesk(stage.installation, apple) if route is Route.MDMCERT else VendorDesk(stage.installation, apple)
        road = way(route, apple, desk)
        first = await road.first()
        terms = Terms(account=ACCOUNT, route=route)
        await importing.import_files(stage.installation, first.files, first.password, actor=ACTOR, terms=terms)
        devices = [stage.device(seed + n, STYLES[n % len(STYLES)]) for n in range(count)]
        opened = partial(_open_again, stage.installation, clock)
        fleet = GuardedFleet(stage, clock, devices, doors(stage, command_line, opened), patience)
        await fleet.settle()
        ending.push_async_callback(fleet.retire)
        await asyncio.gather(*[device.enroll(await stage.link()) for device in devices])
        await fleet.rouse()
        yield fleet, road


async def _open_again(installation: Installation, clock: ShiftedClock) -> Installation:
    return await open_installation(installation.settings, clock, {})
