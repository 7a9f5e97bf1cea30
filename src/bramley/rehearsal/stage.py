"""The stage of every rehearsal: a fresh installation served on free loopback ports, and a stand-in for Apple beside it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from bramley.clock import Clock
from bramley.errors import BramleyError
from bramley.operations import enrolling
from bramley.operations.installation import FirstStart, Installation, initialize
from bramley.operations.push import importing
from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.device import Behaviour, DeviceIdentity, SignatureStyle, SimulatedDevice, UserAccount
from bramley.settings import Settings, load
from bramley.storage.protocols import Tx
from bramley.web.service import Service

T = TypeVar("T")
APPLE_ROOT: Final = "sandbox-apple-root.pem"
"""The file, in the folder of a stage, of what a client of the stand-ins must trust."""

Before = Callable[[Installation], Awaitable[str]]
"""What is done with an installation before it is served; its result is the topic that devices enroll under, if there is one."""

_HOST: Final = "localhost"
_EVERY: Final = 0.05


class TooSlow(BramleyError):
    """Something that a rehearsal waits for did not come about in time."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a rehearsal plays with. Made by `open_stage`, ended by `close`.

    `topic` is that of the push certificate, empty on a stage without one. Where `years_pass`, devices judge server
    certificates by `clock`, since TLS libraries know no time but the machine's.
    """

    clock: Clock
    apple: SandboxAppleCA
    apns: APNs
    first: FirstStart
    service: Service
    topic: str
    years_pass: bool = False

    @property
    def installation(self) -> Installation:
        return self.service.live.installation

    async def close(self) -> None:
        """Stops the server, then the stand-in. The data folder stays."""
        await self.service.stop()
        await self.apns.stop()

    async def link(self, udid: str | None = None) -> str:
        """A fresh enrollment link for one device."""
        created = await enrolling.create_link(
            self.installation, label="rehearsal", uses=1, expires_in=timedelta(days=1), udid=udid, actor="rehearsal"
        )
        return created.url

    def device(
        self,
        seed: int,
        style: SignatureStyle = SignatureStyle.APPLE,
        *,
        not_now_rate: float = 0.0,
        users: int = 0,
        hardware_key: KeyAlgorithm | None = None,
    ) -> SimulatedDevice:
        """A device that trusts our root and hears of pushes; the same seed makes the same device."""
        chance = random.Random(seed)  # noqa: S311 - chance for a simulation
        accounts = tuple(UserAccount.make(chance) for _ in range(users))
        behaviour = replace(self.behaviour(style, not_now_rate=not_now_rate), users=accounts, hardware_key=hardware_key)
        return SimulatedDevice(
            DeviceIdentity.make(chance, mac=seed % 2 == 0), self.clock, behaviour=behaviour, courier=self.apns.courier, seed=seed
        )

    def behaviour(self, style: SignatureStyle, *, not_now_rate: float = 0.0) -> Behaviour:
        """How a device behaves that trusts our root."""
        return Behaviour(
            style=style,
            tls_base=self.tls_base,
            anchors=(self.service.live.current().authorities.root.certificate,),
            not_now_rate=not_now_rate,
            own_time=self.years_pass,
            recheck_seconds=0.2,
        )

    @property
    def tls_base(self) -> str:
        """Where devices go that identify by TLS client certificate."""
        if self.service.device is None:
            raise AssertionError("the stage has a listener for TLS client certificates")
        return f"https://{_HOST}:{self.service.device.port}"

    async def until(self, what: str, read: Callable[[Tx], T], seconds: float = 30.0) -> T:
        """What `read` finds in the database, once it finds something true. TooSlow says what was waited for."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := await self.installation.store.read(read)):
            if asyncio.get_running_loop().time() > deadline:
                raise TooSlow(f"{what}: not within {seconds:.0f} seconds.")
            await asyncio.sleep(_EVERY)
        return found


async def open_stage(folder: Path, clock: Clock, database: str = "", **settings: Any) -> Stage:
    """Starts everything on free loopback ports, with a data folder in `folder` and a push certificate in force.

    `database` is the setting; an empty one. Other `settings` stand in for the usual ones, section by section.
    """

    async def issue(installation: Installation) -> str:
        topic, key = new_topic(), keys.generate(keys.KeyAlgorithm.RSA_2048)
        certificate = apple.issue_push_certificate(key.public_key(), topic=topic, now=clock.now())
        await importing.import_pair(installation, certificate, key, actor="rehearsal")
        return topic

    apple = SandboxAppleCA.make(clock.now())
    return await _open(folder, clock, apple, {"database": database, **settings}, issue)


async def _nothing(_installation: Installation) -> str:
    return ""


async def open_bare_stage(
    folder: Path, clock: Clock, apple: SandboxAppleCA, settings: Mapping[str, Any], before: Before = _nothing
) -> Stage:
    """Likewise without a push certificate, for a rehearsal in which years pass. It begins at the machine's time.

    `settings` stand in for the usual ones, section by section.
    """
    return replace(await _open(folder, clock, apple, settings, before), years_pass=True)


async def _open(
    folder: Path,
    clock: Clock,
    apple: SandboxAppleCA,
    settings: Mapping[str, Any],
    before: Before,
) -> Stage:
    apns = APNs(apple, clock)
    await apns.start()
    try:
        installation, first = await initialize(_settings(folder, apns, apple, settings), clock, {})
        topic = await before(installation)
        service = await Service.start(installation)
    except BaseException:
        await apns.stop()
        raise
    return Stage(clock, apple, apns, first, service, topic)


def _settings(folder: Path, apns: APNs, apple: SandboxAppleCA, settings: Mapping[str, Any]) -> Settings:
    ca_file = folder / APPLE_ROOT
    ca_file.write_bytes(apple.root_pem)
    port = free_port()
    usual = {
        "organization": "Orchard",
        "url": f"https://{_HOST}:{port}",
        "data": folder / "data",
        "listen": {"host": "127.0.0.1", "port": port},
        "device_listener": {"host": "127.0.0.1", "port": 0},
        "push": {"host": "127.0.0.1", "port": apns.port, "ca_file": str(ca_file)},
        "apple": {"roots_file": str(ca_file)},
    }
    return load(environment={}, **{**usual, **settings})


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
