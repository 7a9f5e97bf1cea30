"""A flood of bad requests from the very address that a fleet comes from, and the fleet gets every answer."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import plistlib
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import SystemClock
from bramley.mdm.commands import SecurityInfo
from bramley.model.events import Event, EventKind
from bramley.operations import commands, enrolling
from bramley.operations.installation import Installation, initialize
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.operations.refusals import PER_WINDOW
from bramley.pki import certificates, csr, keys, names
from bramley.pki.scep import enrollment
from bramley.pki.scep.client import SCEPClient
from bramley.rehearsal.stage import free_port
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import load
from bramley.storage.protocols import Tx
from tests.scep_http import SCEPOverHTTP
from tests.web.kit import RawClient
from tests.web.world import CONNECT, TOPIC, Device, World

DEVICES = 50
BAD = 10_000
ATTACKERS = 24
"""Connections at a time."""

FACTOR = 10
"""How much longer the slowest of a hundred answers to a good device may take beside the flood: printed, not asserted."""


@dataclass
class Site:
    """A running `bramley serve` and what its neighbours know of it."""

    installation: Installation
    live: Live
    port: int
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return self.installation.url

    @asynccontextmanager
    async def raw(self) -> AsyncGenerator[RawClient]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost", limit=1 << 20
        )
        try:
            yield RawClient(reader, writer)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def http(self, address: str = "127.0.0.1") -> AsyncGenerator[httpx2.AsyncClient]:
        transport = httpx2.AsyncHTTPTransport(verify=self.tls, local_address=address)
        async with httpx2.AsyncClient(transport=transport, base_url=self.url, timeout=30) as client:
            yield client

    async def link(self, uses: int) -> str:
        created = await enrolling.create_link(
            self.installation, label="", uses=uses, expires_in=timedelta(hours=1), udid=None, actor="test"
        )
        return created.url


@pytest.fixture
async def site(tmp_path: Path, push_key: keys.PrivateKey) -> AsyncGenerator[Site]:
    clock, port = SystemClock(), free_port()
    listen = {"host": "127.0.0.1", "port": port}
    settings = load(environment={}, data=tmp_path / "data", url=f"https://localhost:{port}", listen=listen)
    installation, _first = await initialize(settings, clock, {})
    apple = SandboxAppleCA.make(clock.now())
    certificate = apple.issue_push_certificate(push_key.public_key(), topic=TOPIC, now=clock.now())
    await importing.import_pair(installation, certificate, push_key, actor="test")
    live = await Live.start(installation)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cadata=certificates.der(live.current().authorities.root.certificate))
    environment = {
        "BRAMLEY_DATA": str(settings.data),
        "BRAMLEY_LISTEN_HOST": "127.0.0.1",
        "BRAMLEY_LISTEN_PORT": str(port),
        # nobody there: pushes are no part of this
        "BRAMLEY_PUSH_HOST": "127.0.0.1",
        "BRAMLEY_PUSH_PORT": str(free_port()),
        "BRAMLEY_LOG_LEVEL": "warning",
    }
    with (tmp_path / "log").open("ab") as log:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bramley", "serve", env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        await _listening(port, server)
        yield Site(installation, live, port, tls)
    finally:
        server.terminate()
        assert await asyncio.wait_for(server.wait(), 30) == 0, (tmp_path / "log").read_text()
        await installation.store.close()


async def _listening(port: int, server: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert server.returncode is None
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def put(path: str, body: bytes, **headers: str) -> bytes:
    lines = [f"PUT {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Fleet:
    """Enrolled devices that ask for work once a second each, and do it."""

    site: Site
    devices: list[Device]
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    done: int = 0

    def signed(self, device: Device, status: str, **fields: object) -> bytes:
        body = plistlib.dumps({"Status": status, "UDID": device.udid, **fields})
        return put("/mdm/connect", body, Content_Type=CONNECT, Mdm_Signature=device.sign(body))

    async def run(self, until: asyncio.Event) -> None:
        await asyncio.gather(*(self._live(device, number, until) for number, device in enumerate(self.devices)))

    async def _live(self, device: Device, number: int, until: asyncio.Event) -> None:
        idle = self.signed(device, "Idle")
        await asyncio.sleep(number / len(self.devices))
        async with self.site.raw() as client:
            while not until.is_set():
                given = await self._ask(client, idle)
                while given:
                    uuid = plistlib.loads(given)["CommandUUID"]
                    given = await self._ask(client, self.signed(device, "Acknowledged", CommandUUID=uuid, SecurityInfo={}))
                    self.done += 1
                await asyncio.sleep(1)

    async def _ask(self, client: RawClient, request: bytes) -> bytes:
        began = time.perf_counter()
        await client.send(request)
        status, _headers, body = await client.answer()
        self.seconds.append(time.perf_counter() - began)
        self.statuses[status] += 1
        return body

    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


async def enrolled(site: Site, key: rsa.RSAPrivateKey, link: str, http: httpx2.AsyncClient, number: int) -> Device:
    world = cast("World", SimpleNamespace(http=http, clock=SystemClock()))
    device = Device(world, key, f"00008030-{number:016X}")
    await device.enroll(link)
    return device


def wrong_challenges(site: Site, key: rsa.RSAPrivateKey) -> list[bytes]:
    ca, now = site.live.current().authorities.identity.authority.certificate, SystemClock().now()
    request = csr.build(key, names.make("device"), challenge_password="guessed")
    who = enrollment.signer_for(key, csr.load(request).subject, None, renewal=False, now=now)
    made = [
        enrollment.request(request, signer=who, ca=ca, ra=None, renewal=False, now=now, digest="sha256", cipher="aes-128-cbc")
        for _ in range(10)
    ]
    return [put("/scep?operation=PKIOperation", each.message).replace(b"PUT", b"POST", 1) for each in made]


@dataclass
class Flood:
    """Bad requests of every kind, one after another on each of a few connections."""

    site: Site
    requests: Iterator[tuple[str, bytes]]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def run(self) -> None:
        await asyncio.gather(*(self._attack() for _ in range(ATTACKERS)))

    async def _attack(self) -> None:
        while batch := list(itertools.islice(self.requests, 200)):
            await self._send(batch)

    async def _send(self, batch: list[tuple[str, bytes]]) -> None:
        while batch:
            async with self.site.raw() as client:
                while batch:
                    kind, request = batch.pop()
                    await client.send(request)
                    self.answers[kind, (await client.answer())[0]] += 1
                    if kind == "oversize":
                        break  # its body never comes


def bad_requests(site: Site, key: rsa.RSAPrivateKey, fleet: Fleet) -> Iterator[tuple[str, bytes]]:
    """BAD of them, and one in twenty oversize."""
    idle = fleet.signed(fleet.devices[0], "Idle")
    tampered = idle.replace(fleet.devices[0].udid.encode(), fleet.devices[1].udid.encode())
    garbage = put("/mdm/connect", b"x" * 300, Mdm_Signature=base64.b64encode(os.urandom(1500)).decode())
    oversize = b"PUT /mdm/connect HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: AAAA\r\nContent-Length: 100000000\r\n\r\n"
    challenges = itertools.cycle(wrong_challenges(site, key))
    for number in range(BAD):
        match number % 20:
            case 0:
                yield "oversize", oversize
            case 1 | 2 | 3 | 4:
                yield "garbage signature", garbage
            case 5 | 6 | 7 | 8:
                yield "another's body", tampered
            case 9 | 10 | 11 | 12:
                yield "wrong challenge", next(challenges)
            case 13 | 14 | 15 | 16:
                yield "unknown link", f"GET /enroll/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            case _:
                token = f"GET /api/v1/devices HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {number}\r\n\r\n"
                yield "wrong token", token.encode()


@pytest.mark.slow
async def test_a_flood_beside_a_fleet(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    link = await site.link(DEVICES)
    async with site.http() as http:
        devices = [await enrolled(site, key, link, http, number) for number in range(DEVICES)]
    for device in devices:
        for _ in range(2):
            await commands.send(site.installation, device.udid, SecurityInfo(), actor="test", push=False)

    quiet, over = Fleet(site, devices), asyncio.Event()
    resting = asyncio.create_task(quiet.run(over))
    await asyncio.sleep(3)
    over.set()
    await resting
    assert quiet.statuses.keys() == {200}

    for device in devices:
        await commands.send(site.installation, device.udid, SecurityInfo(), actor="test", push=False)
    fleet, over = Fleet(site, devices), asyncio.Event()
    flood = Flood(site, bad_requests(site, key, fleet))
    beside = asyncio.create_task(fleet.run(over))
    began = time.perf_counter()
    attack = asyncio.create_task(flood.run())
    await asyncio.sleep(2)
    # one that is enrolled renews from the very address of the flood; newcomers come from the one beside it
    await _renew(site, devices[0], key)
    newcomers_link = await site.link(3)
    async with site.http("127.0.0.2") as http:
        newcomers = [await enrolled(site, key, newcomers_link, http, 1000 + number) for number in range(3)]
    assert not attack.done(), "the flood was still on"
    await attack
    took = time.perf_counter() - began
    over.set()
    await beside

    with capsys.disabled():
        print(
            f"\n{BAD} bad requests in {took:.1f} s beside {sum(fleet.statuses.values())} good ones: p99 of the good "
            f"{fleet.p99() * 1000:.0f} ms, {quiet.p99() * 1000:.0f} ms without the flood "
            f"({fleet.p99() / quiet.p99():.1f} times; stated: {FACTOR})"
        )
    assert fleet.statuses.keys() == {200}
    assert fleet.done == DEVICES
    assert len(newcomers) == 3
    assert await site.installation.store.read(lambda tx: tx.commands.count_pending()) == 0
    statuses = {kind: {status for each, status in flood.answers if each == kind} for kind, _status in flood.answers}
    assert sum(flood.answers.values()) == BAD
    assert statuses == {
        "oversize": {413},
        "garbage signature": {400},
        "another's body": {400},
        "wrong challenge": {200, 429},
        "unknown link": {404, 429},
        "wrong token": {401, 429},
    }
    for kind in (EventKind.DEVICE_REFUSED, EventKind.SCEP_REFUSED, EventKind.ADMIN_REFUSED):
        written = await site.installation.store.read(partial(_events, kind=kind))
        reasons = Counter(event.detail["reason"] for event in written)
        assert reasons
        assert max(reasons.values()) <= PER_WINDOW + 1


def _events(tx: Tx, kind: EventKind) -> Sequence[Event]:
    return tx.events.find(kind=kind, limit=1000)


async def _renew(site: Site, device: Device, key: rsa.RSAPrivateKey) -> None:
    assert device.certificate is not None
    ca = site.live.current().authorities.identity.authority.certificate
    async with site.http() as http:
        request, now = csr.build(key, names.make("device")), SystemClock().now()
        who = (device.certificate, key)
        await SCEPClient(SCEPOverHTTP(http)).enroll(key, request, ca=ca, now=now, signer=who, renewal=True)
