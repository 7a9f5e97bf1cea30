"""Revoked, suspended, quarantined: from the very next request on, whichever of two server processes it comes to.

An operator's command is a third process. What each request is answered is what docs/reference/checks.md says.
"""

from __future__ import annotations

import plistlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx2
import pytest

from bramley.clock import Clock, SystemClock
from bramley.mdm.commands import Raw, SecurityInfo
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.operations import commands, devices, enrolling, identities, quarantine, suspension
from bramley.operations.installation import Installation, initialize
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.operations.quarantine import Measure, Order
from bramley.pki import certificates, keys
from bramley.rehearsal.stage import free_port
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import load
from tests.docs.pages import read, rows
from tests.web.world import TOPIC, Device, World

from .test_crash import Killed

TOLD = {row[2]: int(row[3]) for row in rows(read("reference/checks.md"), "## The table")}
"""Reason to answer, as the page has it."""


@dataclass(frozen=True, slots=True)
class Door:
    """One of the server's processes, as far as `Device` needs a world."""

    http: httpx2.AsyncClient
    clock: Clock


@dataclass(frozen=True, slots=True)
class Site:
    """Two server processes on one database, and an operator beside them."""

    installation: Installation
    doors: tuple[Door, Door]

    async def enroll(self, key: keys.PrivateKey) -> tuple[Device, Device]:
        """One device, once for each door."""
        link = await enrolling.create_link(
            self.installation, label="", uses=1, expires_in=timedelta(hours=1), udid=None, actor="test"
        )
        first = Device(cast("World", self.doors[0]), key)
        await first.enroll(link.url)
        return first, replace(first, world=cast("World", self.doors[1]))

    async def latest_refusal(self) -> object:
        events = await self.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED, limit=1))
        return events[0].detail["reason"]


@pytest.fixture
async def site(tmp_path: Path, database: str, push_key: keys.PrivateKey) -> AsyncGenerator[Site]:
    clock, ports = SystemClock(), (free_port(), free_port())
    settings = load(
        environment={},
        data=tmp_path / "data",
        database=database,
        url=f"https://localhost:{ports[0]}",
        listen={"host": "127.0.0.1", "port": ports[0]},
        push={"host": "127.0.0.1", "port": free_port()},  # nobody there: pushes are no part of this
    )
    async with AsyncExitStack() as stack:
        installation, _first = await initialize(settings, clock, {})
        stack.push_async_callback(installation.store.close)
        certificate = SandboxAppleCA.make(clock.now()).issue_push_certificate(push_key.public_key(), topic=TOPIC, now=clock.now())
        await importing.import_pair(installation, certificate, push_key, actor="test")
        root = (await Live.start(installation)).current().authorities.root.certificate
        tls = ssl.create_default_context(cadata=certificates.der(root))
        doors = []
        for port in ports:
            server = Killed(replace(settings, listen=replace(settings.listen, port=port)), tmp_path / f"{port}.log")
            await server.start()
            stack.push_async_callback(server.stop)
            client = httpx2.AsyncClient(verify=tls, base_url=f"https://localhost:{port}", timeout=30)
            doors.append(Door(await stack.enter_async_context(client), clock))
        yield Site(installation, (doors[0], doors[1]))


async def refused(site: Site, device: Device, reason: str) -> None:
    """Whatever it sends, by the table."""
    for answer in (await device.report("Idle"), await device.token_update(), await device.check_in("GetBootstrapToken")):
        assert (answer.status_code, answer.content) == (TOLD[reason], b"")
        assert await site.latest_refusal() == reason


async def test_revoked(site: Site, device_keys: list[keys.PrivateKey]) -> None:
    here, there = await site.enroll(device_keys[0])
    assert [(await each.report("Idle")).status_code for each in (here, there)] == [200, 200]
    await identities.revoke(site.installation, here.udid, reason="stolen", actor="test")
    await refused(site, there, "revoked")
    await refused(site, here, "revoked")


async def test_suspended_and_back(site: Site, device_keys: list[keys.PrivateKey]) -> None:
    here, there = await site.enroll(device_keys[0])
    assert [(await each.report("Idle")).status_code for each in (here, there)] == [200, 200]
    waiting = await commands.send(site.installation, here.udid, SecurityInfo(), actor="test", push=False)
    for first, second in ((here, there), (there, here)):
        await suspension.suspend(site.installation, here.udid, reason="lost", actor="test")
        await refused(site, first, "suspended")
        await refused(site, second, "suspended")
        await suspension.resume(site.installation, here.udid, actor="test")
        for device in (second, first):
            assert plistlib.loads((await device.report("Idle")).content)["CommandUUID"] == waiting.uuid


async def test_quarantined_and_back(site: Site, device_keys: list[keys.PrivateKey]) -> None:
    here, there = await site.enroll(device_keys[0])
    await here.check_in("SetBootstrapToken", BootstrapToken=b"secret")
    waiting = await commands.send(site.installation, here.udid, SecurityInfo(), actor="test", push=False)
    assert plistlib.loads((await there.report("Idle")).content)["CommandUUID"] == waiting.uuid

    await quarantine.quarantine(site.installation, here.udid, reason="strange", actor="test")
    for device in (there, here):
        answer = await device.report("Idle")
        assert (answer.status_code, answer.content) == (200, b"")
        for message in ({"message_type": "GetBootstrapToken"}, {"message_type": "SetBootstrapToken"}):
            answer = await device.check_in(**message)
            assert (answer.status_code, answer.content) == (TOLD["quarantined"], b"")
            assert await site.latest_refusal() == "quarantined"
    lock = Raw("DeviceLock", {"RequestType": "DeviceLock"})
    queued = await commands.send(site.installation, here.udid, lock, actor="test", push=False)
    for device in (here, there):
        assert plistlib.loads((await device.report("Idle")).content)["CommandUUID"] == queued.uuid
    answer = await there.report("Acknowledged", CommandUUID=queued.uuid)
    assert (answer.status_code, answer.content) == (200, b"")

    await quarantine.release(site.installation, here.udid, actor="test")
    for device in (there, here):
        assert plistlib.loads((await device.report("Idle")).content)["CommandUUID"] == waiting.uuid


async def test_erased_and_then_revoked_by_itself(site: Site, device_keys: list[keys.PrivateKey]) -> None:
    here, there = await site.enroll(device_keys[0])
    order = Order(Measure.ERASE, "C02TEST")
    done = await quarantine.quarantine(site.installation, here.udid, reason="stolen", order=order, actor="test")
    assert done.command is not None
    handed = plistlib.loads((await there.report("Idle")).content)
    assert handed == {"CommandUUID": done.command.uuid, "Command": {"RequestType": "EraseDevice"}}
    assert (await here.report("Acknowledged", CommandUUID=done.command.uuid)).status_code == 200

    await _until(lambda: _is_revoked(site, here))
    for device in (there, here):
        await refused(site, device, "revoked")


async def _is_revoked(site: Site, device: Device) -> bool:
    shown = await devices.show(site.installation, device.udid)
    revoked = [identity.state for identity in shown.identities] == [VersionState.REVOKED]
    return revoked and shown.enrollment.state is EnrollmentState.CHECKED_OUT


async def _until(come_about: Callable[[], Awaitable[bool]]) -> None:
    clock = SystemClock()
    deadline = clock.now() + timedelta(seconds=30)
    while not await come_about():
        assert clock.now() < deadline, "not within 30 seconds"
        await clock.sleep_until(clock.now() + timedelta(milliseconds=50))
