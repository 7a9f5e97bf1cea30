"""Starting, stopping and swapping certificates while requests run."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from bramley.tls.live import LiveCertificate, ServerPair
from bramley.web.errors import CannotListen
from bramley.web.server import Listener
from tests.web.kit import LIMITS, Start, servers_of

REQUEST = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_a_port_in_use_is_said_with_what_to_do_and_nothing_is_left_listening(ec_pair: ServerPair) -> None:
    context = LiveCertificate(ec_pair).context()
    servers = servers_of()
    with socket.create_server(("127.0.0.1", 0)) as free:
        first = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use.*ss -ltnp"):
            await servers.start([Listener("127.0.0.1", first, context, hello), Listener("127.0.0.1", port, context, hello)])

    with socket.create_server(("127.0.0.1", first)):
        pass


async def test_an_address_of_another_machine_is_said(ec_pair: ServerPair) -> None:
    servers = servers_of()

    with pytest.raises(CannotListen, match=r"203\.0\.113\.7:8443.*no such address"):
        await servers.start([Listener("203.0.113.7", 8443, LiveCertificate(ec_pair).context(), hello)])


async def test_stopping_lets_a_running_request_end_and_takes_no_new_connection(start: Start) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await release.wait()
        await hello(scope, receive, send)

    async with start(slow) as running, running.connect() as client:
        await client.send(REQUEST)
        await entered.wait()
        stopping = asyncio.create_task(running.servers.stop())
        await asyncio.sleep(0.1)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", running.port)
        assert not stopping.done()
        release.set()

        assert (await client.answer())[2] == b"hello"
        await asyncio.wait_for(stopping, 5)


async def test_stopping_does_not_wait_for_idle_connections(start: Start) -> None:
    async with start(hello) as running, running.connect() as client:
        await client.send(REQUEST)
        await client.answer()

        await asyncio.wait_for(running.servers.stop(), LIMITS.shutdown_seconds / 2)

        assert await client.closed()


async def test_a_request_that_never_ends_is_cut_off_after_the_time_allowed(start: Start) -> None:
    entered = asyncio.Event()

    async def endless(_scope: Any, _receive: Any, _send: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with start(endless) as running, running.connect() as client:
        await client.send(REQUEST)
        await entered.wait()

        await asyncio.wait_for(running.servers.stop(), 4 * LIMITS.shutdown_seconds)


async def test_a_new_certificate_takes_over_under_load_and_open_connections_live_on(
    start: Start, rsa_pair: ServerPair, ec_pair: ServerPair
) -> None:
    seen: set[bytes | None] = set()
    stop = asyncio.Event()

    async def newcomers() -> int:
        count = 0
        while not stop.is_set():
            async with running.connect() as client:
                await client.send(REQUEST)
                assert (await client.answer())[2] == b"hello"
                seen.add(client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
                count += 1
        return count

    async with start(hello) as running, running.connect() as old:
        load = [asyncio.create_task(newcomers()) for _ in range(2)]
        for pair in [rsa_pair, ec_pair] * 5:
            running.live.replace(pair)
            await asyncio.sleep(0.05)
            await old.send(REQUEST)
            assert (await old.answer())[0] == 200
        stop.set()
        counts = await asyncio.gather(*load)

    assert len(seen) == 2
    assert min(counts) > 5
