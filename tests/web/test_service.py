"""A running server as a whole: started and stopped as one, and its HTTPS certificate replaced under way."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.operations import records, server_certificates
from bramley.operations.authorities import NAME
from bramley.operations.installation import Installation, open_installation
from bramley.operations.live import Live
from bramley.pki import certificates
from bramley.settings import Settings
from bramley.storage.errors import Closed
from bramley.storage.protocols import Tx
from bramley.tls.live import LiveCertificate
from bramley.web import service as service_module
from bramley.web.errors import CannotListen
from bramley.web.service import Address, Service, serve_until
from tests.conftest import SetClock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """On free ports of the loopback address, with both listeners."""
    listen = replace(settings.listen, host="127.0.0.1", port=0)
    return replace(settings, listen=listen, device_listener=replace(settings.device_listener, host="127.0.0.1", port=0))


@pytest.fixture
async def service(installation: Installation) -> AsyncIterator[Service]:
    started = await Service.start(installation)
    yield started
    await started.stop()


async def presented(address: Address | None) -> str:
    """SHA-256 of the certificate that a listener presents."""
    assert address is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return certificates.sha256(certificates.load(der))


async def in_force(installation: Installation) -> str:
    version = await installation.store.read(lambda tx: records.active(tx, Kind.HTTPS, NAME))
    assert version is not None
    return version.sha256 or ""


async def replace_https(settings: Settings, clock: SetClock) -> str:
    """What another process does on the same data folder: the certificate is due, and it issues the next."""
    clock.moment += timedelta(days=300)
    other = await open_installation(settings, clock, {})
    try:
        held = (await Live.start(other)).current().authorities

        def ensure(tx: Tx) -> None:
            server_certificates.ensure(
                tx, other.sealer, held, host=other.host, organization=settings.organization, now=clock.now()
            )

        await other.store.run(ensure)
        return await in_force(other)
    finally:
        await other.store.close()


async def comes_to_present(service: Service, expected: str) -> None:
    async with asyncio.timeout(5):
        while {await presented(service.main), await presented(service.device)} != {expected}:
            await asyncio.sleep(0.05)


async def test_it_serves_on_both_listeners_and_says_that_it_began(service: Service, installation: Installation) -> None:
    assert service.main is not None
    assert service.device is not None
    assert service.main.port != service.device.port
    expected = await in_force(installation)
    assert [await presented(service.main), await presented(service.device)] == [expected, expected]
    (started,) = await installation.store.read(lambda tx: tx.events.find(kind=EventKind.SERVER_STARTED))
    assert started.actor == "server"


async def test_a_certificate_that_is_due_is_replaced_before_it_listens(installation: Installation, clock: SetClock) -> None:
    before = await in_force(installation)
    clock.moment += timedelta(days=300)
    service = await Service.start(installation)
    try:
        assert await presented(service.main) == await in_force(installation) != before
    finally:
        await service.stop()


async def test_after_the_stop_nothing_listens_and_the_database_is_closed(installation: Installation) -> None:
    service = await Service.start(installation)
    assert service.main is not None
    await service.stop()
    with pytest.raises(ConnectionRefusedError):
        await presented(service.main)
    with pytest.raises(Closed):
        await installation.store.run(lambda tx: None)


async def test_a_port_in_use_is_said_and_nothing_is_left_running(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = replace(installation.settings.listen, port=taken.getsockname()[1])
        busy = replace(installation, settings=replace(installation.settings, listen=listen))
        with pytest.raises(CannotListen, match="Address already in use"):
            await Service.start(busy)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() in {"follow", "jobs"}] == []


async def test_a_certificate_that_another_process_replaces_is_presented_without_a_restart(
    service: Service, settings: Settings, clock: SetClock
) -> None:
    await comes_to_present(service, await replace_https(settings, clock))


async def test_trouble_while_it_is_replaced_is_tried_again(
    service: Service, settings: Settings, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key reaches OpenSSL by way of a file, and the disk is full for a moment. Nothing else is committed afterwards."""
    monkeypatch.setattr(service_module, "TRY_AGAIN_SECONDS", 0.01)
    write, failures = Path.write_bytes, [OSError("No space left on device")]

    def write_or_fail(path: Path, data: bytes) -> int:
        if path.name == "pair.pem" and failures:
            raise failures.pop()
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_or_fail)
    await comes_to_present(service, await replace_https(settings, clock))
    assert failures == []


async def test_it_serves_until_it_is_told_to_stop(installation: Installation) -> None:
    service, stop = await Service.start(installation), asyncio.Event()
    serving = asyncio.create_task(serve_until(service, stop))
    await presented(service.main)
    assert not serving.done()
    stop.set()
    await asyncio.wait_for(serving, 5)
    with pytest.raises(Closed):
        await installation.store.run(lambda tx: None)


async def test_a_part_that_breaks_ends_the_whole(
    installation: Installation, settings: Settings, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    service = await Service.start(installation)
    monkeypatch.setattr(LiveCertificate, "replace", broken)
    serving = asyncio.create_task(serve_until(service, asyncio.Event()))
    await replace_https(settings, clock)
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(serving, 5)
    with pytest.raises(ConnectionRefusedError):
        await presented(service.main)
