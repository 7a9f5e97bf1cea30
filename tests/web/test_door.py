"""How many connections there may be, and what becomes of one too many."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bramley.settings import Proxy
from bramley.tls.live import LiveCertificate, ServerPair
from bramley.web.door import Door, Place
from bramley.web.metrics import Metrics
from bramley.web.proxy import Proxies
from bramley.web.server import Listener
from tests.web.kit import LIMITS, RawClient, Start, servers_of
from tests.web.test_protocol import echo
from tests.web.test_server import REQUEST, hello

PROXIES = Proxies(Proxy(addresses=("192.0.2.10",)), Metrics())


def entered(door: Door, address: str) -> Place:
    place = door.enter(address, in_clear=False)
    assert place is not None
    return place


def test_each_address_has_its_number_of_places_and_proxies_have_all() -> None:
    door = Door(100, 2, PROXIES, Metrics())
    first = entered(door, "203.0.113.1")
    entered(door, "::ffff:203.0.113.1")

    assert door.enter("203.0.113.1", in_clear=False) is None
    entered(door, "203.0.113.2")
    for _ in range(10):
        entered(door, "192.0.2.10")

    first.leave()
    first.leave()
    entered(door, "203.0.113.1")
    assert door.enter("203.0.113.1", in_clear=False) is None


async def test_beyond_the_whole_number_newcomers_wait() -> None:
    door = Door(2, 2, PROXIES, Metrics())
    first = entered(door, "203.0.113.1")
    entered(door, "203.0.113.2")
    waiting = asyncio.create_task(door.room())
    await asyncio.sleep(0.01)
    assert not waiting.done()

    first.leave()

    await asyncio.wait_for(waiting, 1)


def test_in_clear_only_proxies_and_this_machine_get_in() -> None:
    door = Door(100, 100, PROXIES, Metrics())

    for address in ("127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1", "192.0.2.10"):
        assert door.enter(address, in_clear=True) is not None
    for address in ("192.0.2.11", "203.0.113.1", "2001:db8::1"):
        assert door.enter(address, in_clear=True) is None


def test_it_is_crowded_when_half_of_the_places_are_taken() -> None:
    door = Door(100, 4, PROXIES, Metrics())
    places = [entered(door, "203.0.113.1") for _ in range(3)]
    assert places[0].crowded
    assert not entered(door, "203.0.113.2").crowded

    places.pop().leave()

    assert not places[0].crowded


async def test_one_too_many_from_an_address_is_closed_before_tls_and_others_are_served(start: Start) -> None:
    limits = replace(LIMITS, connections_per_address=4, header_seconds=5.0)
    async with start(hello, limits=limits) as running, AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(running.connect())
        with pytest.raises(OSError):
            async with running.connect():
                pass
        context = running.tls
        _reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=context, server_hostname="localhost", local_addr=("127.0.0.9", 0)
        )
        client = RawClient(_reader, writer)
        await client.send(REQUEST)

        assert (await client.answer())[0] == 200
        writer.transport.abort()


async def test_where_it_is_crowded_a_connection_ends_with_its_answer(start: Start) -> None:
    async with start(hello, limits=replace(LIMITS, connections_per_address=4)) as running, AsyncExitStack() as held:
        alone = await held.enter_async_context(running.connect())
        await alone.send(REQUEST)
        assert "connection" not in (await alone.answer())[1]
        others = [await held.enter_async_context(running.connect()) for _ in range(2)]
        await others[-1].send(REQUEST)

        assert (await others[-1].answer())[1]["connection"] == "close"
        assert await others[-1].closed()


async def test_beyond_the_cap_in_all_a_connection_waits_for_its_turn(start: Start) -> None:
    limits = replace(LIMITS, connections=3, header_seconds=5.0)
    async with start(hello, limits=limits) as running, AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(running.connect())

        async def late() -> int:
            async with running.connect() as client:
                await client.send(REQUEST)
                return (await client.answer())[0]

        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await held.aclose()

        assert await asyncio.wait_for(waiting, 5) == 200


@asynccontextmanager
async def _plain(proxy: Proxy) -> AsyncIterator[int]:
    servers = servers_of(LIMITS, proxy)
    ((_host, port),) = await servers.start([Listener("127.0.0.1", 0, None, scheme)])
    try:
        yield port
    finally:
        await servers.stop()


async def scheme(scope: Any, _receive: Any, send: Any) -> None:
    body = scope["scheme"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def test_a_listener_without_tls_speaks_http(start: Start) -> None:
    async with _plain(Proxy()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = RawClient(reader, writer)
        await client.send(REQUEST)

        assert (await client.answer())[2] == b"http"
        writer.transport.abort()


async def test_many_slow_ones_are_cut_off_in_time_and_hold_nobody_up(start: Start) -> None:
    """Three kinds of slowness: no handshake, half a header, half a body; a hundred of each, beside requests that are not."""
    loop = asyncio.get_running_loop()
    cut_off: list[bytes] = []

    async def silent(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    async def dribbling(beginning: bytes) -> None:
        async with running.connect() as client:
            try:
                await client.send(beginning)
                for _ in range(400):
                    await client.send(b"x")
                    await asyncio.sleep(0.05)
                raise AssertionError("was never cut off")
            except ConnectionError:
                cut_off.append(beginning)

    async with start(echo, limits=replace(LIMITS, header_seconds=3.0, body_seconds=3.0)) as running:
        began = loop.time()
        body = b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
        slow = [asyncio.create_task(silent(running.port)) for _ in range(100)]
        slow += [asyncio.create_task(dribbling(REQUEST[:-2] + b"X: ")) for _ in range(100)]
        slow += [asyncio.create_task(dribbling(body)) for _ in range(100)]
        await asyncio.sleep(1)
        for _ in range(10):
            async with running.connect() as client:
                await client.send(REQUEST)
                assert (await client.answer())[0] == 200
        await asyncio.gather(*slow)

        assert len(cut_off) == 200
        assert loop.time() - began < 30


async def test_a_process_that_may_open_few_files_takes_fewer_connections(
    ec_pair: ServerPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _what: (300, 1000))
    monkeypatch.setattr("resource.setrlimit", lambda _what, limits: asked.append(limits))

    servers = servers_of(replace(LIMITS, connections=5000))
    ((_host, port),) = await servers.start([Listener("127.0.0.1", 0, LiveCertificate(ec_pair).context(), hello)])
    with socket.create_connection(("127.0.0.1", port)):
        pass
    await servers.stop()

    assert asked == [(1000, 1000)]
