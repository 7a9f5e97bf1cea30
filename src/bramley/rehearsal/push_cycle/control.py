"""The control: a push server that checks nothing, with as many registrations as a fleet.

It keeps one certificate and one key, the last it was given, takes the topic from the certificate, and pushes with them to every
token that it knows. MicroMDM keeps its push certificate in this way (micromdm/micromdm#346).
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from bramley.apple.push import Push, PushError, PushTarget, topic_of
from bramley.apple.push.client import CurlPushClient
from bramley.model.push import Route
from bramley.pki import certificates
from bramley.pki.keys import PrivateKey
from bramley.rehearsal.push_cycle.desks import HandDesk
from bramley.rehearsal.push_cycle.parts import Door, Said
from bramley.rehearsal.push_cycle.ways import Way, unpack, way
from bramley.sandbox.apns import APNs
from bramley.sandbox.apns.tokens import Payload
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.portals import SandboxApple

EXPIRATION: Final = timedelta(days=7)


@dataclass(slots=True)
class Registration:
    """A device as the server knows it, and how many pushes with its magic have reached it."""

    name: str
    token: bytes = field(repr=False)
    magic: str = field(repr=False)
    woken: int = 0

    def hear(self, payload: Payload) -> None:
        self.woken += payload["mdm"] == self.magic


class NaiveFleet:
    """`parts.Fleet` with such a server."""

    def __init__(self, apns: APNs, root_pem: bytes, clock: ShiftedClock, certificate: x509.Certificate, key: PrivateKey) -> None:
        self._clock, self._root_pem, self._certificate, self._key = clock, root_pem, certificate, key
        self._registrations: list[Registration] = []
        self._calls = 0
        self.apns = apns
        self.doors: Mapping[str, Door] = {"upload": self.upload}
        self.breaches: Mapping[str, Door] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one.name for one in self._registrations)

    def enroll(self, name: str) -> None:
        """A device is enrolled, and waits for pushes."""
        token = self.apns.tokens.register(topic_of(self._certificate))
        self._registrations.append(Registration(name, token, str(uuid.uuid4()).upper()))
        self._wait(self._registrations[-1])

    async def upload(self, files: Sequence[bytes], password: str | None) -> Said:
        """Keeps what it is given."""
        certificate, key = unpack(files, password)
        self._certificate, self._key = certificate, key or self._key
        return Said(True)

    async def in_force(self) -> x509.Certificate:
        return self._certificate

    async def settle(self) -> None:
        """It has nothing to think about."""

    async def pass_until(self, moment: datetime) -> None:
        self._clock.shift += max(timedelta(), moment - self._clock.now())

    @asynccontextmanager
    async def asleep(self) -> AsyncGenerator[None]:
        for one in self._registrations:
            self.apns.tokens.disconnect(one.token, one.hear)
        yield
        for one in self._registrations:
            self._wait(one)

    async def call(self) -> str:
        """A push to every token."""
        self._calls += 1
        try:
            client = CurlPushClient(
                certificate_pem=certificates.pem(self._certificate),
                key=self._key,
                topic=topic_of(self._certificate),
                target=PushTarget("127.0.0.1", self.apns.port, self._root_pem),
                expiration=EXPIRATION,
                clock=self._clock,
            )
        except PushError as error:
            return error.message
        try:
            await client.push([Push(one.token, one.magic) for one in self._registrations])
        except PushError as error:
            return error.message
        finally:
            await client.close()
        return ""

    async def answering(self) -> frozenset[str]:
        """Those whom as many pushes have reached as were sent since they were last asked after."""
        calls, self._calls = self._calls, 0
        reached = frozenset(one.name for one in self._registrations if one.woken >= calls)
        for one in self._registrations:
            one.woken = 0
        return reached

    def _wait(self, one: Registration) -> None:
        self.apns.tokens.connect(one.token, one.hear, self._clock.now())


@asynccontextmanager
async def naive_fleet(route: Route, count: int) -> AsyncGenerator[tuple[NaiveFleet, Way]]:
    """A fleet with a stand-in for APNs of its own, and its first certificate by the route."""
    clock = ShiftedClock()
    apple = SandboxApple.make(clock)
    apns = APNs(apple.ca, clock)
    await apns.start()
    try:
        road = way(route, apple, HandDesk(apple, clock))
        first = await road.first()
        certificate, key = unpack(first.files, first.password)
        if key is None:
            raise AssertionError("what is made by hand comes with its key")
        fleet = NaiveFleet(apns, apple.ca.root_pem, clock, certificate, key)
        for number in range(count):
            fleet.enroll(f"device {number + 1}")
        yield fleet, road
    finally:
        await apns.stop()
