"""A server that is killed again and again, in the middle of a fleet's enrollment and command traffic, loses nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.mdm.commands import DeviceInformation, ProfileList, Request, SecurityInfo
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentState
from bramley.model.events import EventKind
from bramley.operations import commands, enrolling
from bramley.operations.installation import Installation, initialize
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.pki import certificates, keys
from bramley.rehearsal.stage import free_port
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.device import Behaviour, DeviceIdentity, Patience, SignatureStyle, SimulatedDevice
from bramley.settings import Settings, load
from bramley.storage.protocols import Tx

REQUESTS: tuple[Request, ...] = (DeviceInformation(("UDID",)), SecurityInfo(), ProfileList())


class Killed:
    """`bramley serve`, started again whenever it was killed."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings, self._log = settings, log
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        """Starts it; returns when it listens."""
        settings = self._settings
        environment = {
            "BRAMLEY_DATA": str(settings.data),
            "BRAMLEY_DATABASE": settings.database,
            "BRAMLEY_LISTEN_HOST": settings.listen.host,
            "BRAMLEY_LISTEN_PORT": str(settings.listen.port),
            "BRAMLEY_PUSH_HOST": settings.push.host,
            "BRAMLEY_PUSH_PORT": str(settings.push.port),
            "BRAMLEY_PUSH_CA_FILE": settings.push.ca_file,
        }
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bramley", "serve", env={**os.environ, **environment}, stdout=log, stderr=log
            )
        async with asyncio.timeout(30):
            while not await _listens(settings.listen.port):
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        assert self._process is not None
        self._process.kill()
        assert await self._process.wait() == -signal.SIGKILL
        self.kills += 1

    async def stop(self) -> None:
        """SIGTERM: an orderly end."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
            assert await self._process.wait() == 0, self._log.read_text()


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _stage(folder: Path, database: str) -> AsyncGenerator[tuple[Installation, APNs]]:
    clock = SystemClock()
    apple = SandboxAppleCA.make(clock.now())
    apns = APNs(apple, clock)
    await apns.start()
    (folder / "apple.pem").write_bytes(apple.root_pem)
    port = free_port()
    settings = load(
        environment={},
        data=folder / "data",
        database=database,
        url=f"https://localhost:{port}",
        listen={"host": "127.0.0.1", "port": port},
        push={"host": "127.0.0.1", "port": apns.port, "ca_file": str(folder / "apple.pem")},
    )
    installation, _first = await initialize(settings, clock, {})
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    certificate = apple.issue_push_certificate(key.public_key(), topic=new_topic(), now=clock.now())
    await importing.import_pair(installation, certificate, key, actor="test")
    yield installation, apns
    await installation.store.close()
    await apns.stop()


async def _device(installation: Installation, apns: APNs, number: int, start: float) -> SimulatedDevice:
    root = (await Live.start(installation)).current().authorities.root.certificate
    chance = random.Random(number)
    behaviour = Behaviour(
        style=(SignatureStyle.APPLE, SignatureStyle.DER)[number % 2],
        anchors=(root,),
        not_now_rate=0.1,
        patience=Patience(whole=120, refusals=2, pause=0.05),
        recheck_seconds=0.5,
    )
    device = SimulatedDevice(DeviceIdentity.make(chance), SystemClock(), behaviour=behaviour, courier=apns.courier, seed=number)
    created = await enrolling.create_link(installation, label="", uses=1, expires_in=timedelta(hours=1), actor="test")
    await asyncio.sleep(start)
    await device.enroll(created.url)
    return device


async def _manage(
    installation: Installation, apns: APNs, number: int, start: float, enough: Callable[[], bool]
) -> tuple[SimulatedDevice, list[Command]]:
    """A device's life: it enrolls, gets commands from another process than the server until there were enough kills, and
    answers until none waits."""
    device = await _device(installation, apns, number, start)
    chance, sent = random.Random(number), list[Command]()
    running = asyncio.create_task(device.run())
    try:
        while not (sent and enough()):
            request = chance.choice(REQUESTS)
            sent.append(await commands.send(installation, device.device.udid, request, actor="test"))
            await asyncio.sleep(chance.uniform(0.5, 3))
        while await installation.store.read(lambda tx: _waiting(tx, device.device.udid)):
            assert not running.done() or running.result() is None
            await asyncio.sleep(0.1)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await device.close()
    return device, sent


def _waiting(tx: Tx, udid: str) -> int:
    enrollment = tx.enrollments.by_id(EnrollmentID(udid))
    assert enrollment is not None
    return len(tx.commands.pending(enrollment.key))


@pytest.mark.slow
async def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    await _lose_nothing(tmp_path, "", kills=20, devices=50)


@pytest.mark.slow
async def test_nor_do_some_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await _lose_nothing(tmp_path, postgres_url, kills=5, devices=15)


async def _lose_nothing(folder: Path, database: str, *, kills: int, devices: int) -> None:
    chance = random.Random(20)
    async with _stage(folder, database) as (installation, apns):
        server = Killed(installation.settings, folder / "server.log")
        await server.start()
        fleet = [
            asyncio.create_task(_manage(installation, apns, n, 0.3 * n, lambda: server.kills >= kills)) for n in range(devices)
        ]
        try:
            while server.kills < kills:
                await asyncio.sleep(chance.uniform(0.1, 1.0))
                await server.kill()
                await server.start()
            async with asyncio.timeout(180):
                lives = await asyncio.gather(*fleet)
        finally:
            for task in fleet:
                task.cancel()
            await asyncio.gather(*fleet, return_exceptions=True)
            await server.stop()
        enrollments = await installation.store.read(lambda tx: tx.enrollments.find(state=EnrollmentState.ACTIVE))
        by_id = {enrollment.id: enrollment for enrollment in enrollments}
        assert Counter(enrollment.id for enrollment in enrollments) == Counter(d.device.udid for d, _sent in lives)
        for device, sent in lives:
            await _check_identity(installation, device)
            await _check_commands(installation, by_id[EnrollmentID(device.device.udid)], sent)


async def _check_identity(installation: Installation, device: SimulatedDevice) -> None:
    """The certificate that the device holds is on record, bound to that device."""
    assert device.identity is not None
    digest = certificates.sha256(device.identity.certificate)
    version = await installation.store.read(lambda tx: tx.lineages.by_sha256(digest))
    presented = await installation.store.presented(digest, None)
    assert version is not None
    assert presented is not None
    assert presented.enrollment_id == device.device.udid


async def _check_commands(installation: Installation, enrollment: Enrollment, sent: list[Command]) -> None:
    """Every command has one stored answer, and one event that says so."""
    history = await installation.store.read(lambda tx: tx.commands.history(enrollment.key, limit=1000))
    assert Counter(command.uuid for command in history) == Counter(command.uuid for command in sent)
    assert {command.state for command in history} == {CommandState.ACKNOWLEDGED}
    assert all(command.answer for command in history)
    answered = await installation.store.read(
        lambda tx: tx.events.find(kind=EventKind.COMMAND_ANSWERED, enrollment_key=enrollment.key, limit=1000)
    )
    assert Counter(event.detail["command_uuid"] for event in answered) == Counter(command.uuid for command in history)
