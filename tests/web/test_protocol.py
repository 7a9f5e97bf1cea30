"""What one connection may do: sizes, times, pipelines, and the certificate it brings."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from tests.web.kit import LIMITS, Start


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was told, as JSON."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    tls = scope.get("extensions", {}).get("tls")
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": body.decode(),
        "certificate": tls and tls["client_cert_der"] and tls["client_cert_der"].hex(),
        "tls": tls is not None,
    }
    answer = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})


def put(body: bytes = b"", *headers: str, path: str = "/a") -> bytes:
    lines = [f"PUT {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_request_arrives_whole_and_the_connection_serves_the_next(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        for body in (b"one", b"two"):
            await client.send(put(body, path="/a?b=c+d"))
            status, headers, answer = await client.answer()
            told = json.loads(answer)

            assert (status, told["body"], told["query"]) == (200, body.decode(), "b=c+d")
            assert "date" in headers
            assert "server" not in headers
            assert not told["tls"]


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(b"".join(put(str(number).encode()) for number in range(5)))

        assert [json.loads((await client.answer())[2])["body"] for _ in range(5)] == ["0", "1", "2", "3", "4"]


async def test_a_header_beyond_the_limit_is_answered_431_and_the_connection_closed(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"", "X-Long: " + "x" * LIMITS.header_bytes))
        status, headers, _ = await client.answer()

        assert (status, headers["connection"]) == (431, "close")
        assert await client.closed()


async def test_many_small_headers_count_together(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"", *(f"X-{number}: {'y' * 50}" for number in range(100))))

        assert (await client.answer())[0] == 431


@pytest.mark.parametrize("piece", [b"X" * 300, b"X-Name: value\r\n" * 20], ids=["one endless line", "endless lines"])
async def test_a_header_that_never_ends_is_stopped_at_the_limit(start: Start, piece: bytes) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put()[:-2])
        sent = 0
        try:
            while not client.writer.is_closing() and sent < 100 * LIMITS.header_bytes:
                await client.send(piece)
                sent += len(piece)
                await asyncio.sleep(0.001)
        except ConnectionError:
            pass

        assert sent < 20 * LIMITS.header_bytes


async def test_a_second_header_behind_a_body_is_counted_too(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"first") + put()[:-2] + b"X-A: " + b"a" * 3000)
        assert (await client.answer())[0] == 200
        await client.send(b"a" * 3000 + b"\r\n\r\n")

        assert (await client.answer())[0] == 431


async def test_a_request_line_beyond_the_limit_is_answered_414(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(path="/" + "a" * LIMITS.request_line_bytes))

        assert (await client.answer())[0] == 414
        assert await client.closed()


async def test_a_header_as_long_as_the_limit_allows_passes(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"", "X-Long: " + "x" * (LIMITS.header_bytes - 100), path="/" + "a" * 20))

        assert (await client.answer())[0] == 200


async def test_a_connection_that_says_nothing_is_closed_without_a_word(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        began = asyncio.get_running_loop().time()

        assert await client.closed()
        assert asyncio.get_running_loop().time() - began < 3 * LIMITS.header_seconds


async def test_a_slow_header_is_answered_408_however_it_dribbles(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        began = asyncio.get_running_loop().time()
        try:
            for character in put(b"", "X: " + "y" * 100).decode():
                await client.send(character.encode())
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass

        assert asyncio.get_running_loop().time() - began < 5 * LIMITS.header_seconds
        assert (await client.answer())[0] == 408


async def test_line_breaks_do_not_keep_a_connection_alive(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"x"))
        await client.answer()
        began = asyncio.get_running_loop().time()
        for _ in range(200):
            if client.writer.is_closing():
                break
            try:
                await client.send(b"\r\n")
            except ConnectionError:
                break
            await asyncio.sleep(0.02)

        assert asyncio.get_running_loop().time() - began < 5 * LIMITS.header_seconds


async def test_a_slow_body_is_answered_408(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(put(b"0123456789")[:-5])

        assert (await client.answer())[0] == 408
        assert await client.closed()


async def test_a_body_that_takes_a_while_but_arrives_in_time_is_read(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        request = put(b"0123456789")
        await client.send(request[:-5])
        await asyncio.sleep(LIMITS.body_seconds / 2)
        await client.send(request[-5:])

        assert json.loads((await client.answer())[2])["body"] == "0123456789"


CHUNKED = b"PUT /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_chunked_body_is_read(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(CHUNKED + b"3\r\nabc\r\n4;extension=1\r\ndefg\r\n0\r\n\r\n")

        assert json.loads((await client.answer())[2])["body"] == "abcdefg"


async def test_trailers_never_reach_the_application(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(CHUNKED + b"3\r\nabc\r\n0\r\nMdm-Signature: forged\r\n\r\n")
        status, _, answer = await client.answer()

        assert status == 400
        assert b"forged" not in answer


@pytest.mark.parametrize("begin", [b"1;", b"0\r\nX-Trailer: "], ids=["chunk extension", "trailer"])
async def test_framing_without_end_is_stopped_long_before_the_body_deadline(start: Start, begin: bytes) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(CHUNKED + begin)
        sent = 0
        try:
            while not client.writer.is_closing() and sent < 100 * LIMITS.header_bytes:
                await client.send(b"x" * 1000)
                sent += 1000
                await asyncio.sleep(0.001)
        except ConnectionError:
            pass

        assert sent < 50 * LIMITS.header_bytes


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"PUT /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["no method", "two framings", "two lengths", "negative length", "not ASCII", "CONNECT"],
)
async def test_what_is_not_http_is_answered_400_and_closed(start: Start, request_: bytes) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(request_)

        assert (await client.answer())[0] == 400
        assert await client.closed()


async def test_an_upgrade_is_ignored_and_its_connection_ends_with_the_answer(start: Start) -> None:
    async with start(echo) as running, running.connect() as client:
        await client.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        status, headers, _ = await client.answer()

        assert (status, headers["connection"]) == (200, "close")


async def test_a_client_that_has_finished_sending_still_gets_its_answer(start: Start) -> None:
    release = asyncio.Event()

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await echo(scope, receive, send)

    async with start(patient) as running, running.connect() as client:
        await client.send(put(b"last words"))
        release.set()

        assert json.loads((await client.answer())[2])["body"] == "last words"


async def test_a_body_that_nobody_reads_is_let_pass_and_the_next_request_served(start: Start) -> None:
    async def unread(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/a":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with start(unread) as running, running.connect() as client:
        await client.send(put(b"x" * 1_000_000, path="/large"))
        assert (await client.answer())[0] == 413
        await client.send(put(b"next"))

        assert json.loads((await client.answer())[2])["body"] == "next"


async def test_a_client_that_leaves_is_noticed_by_the_application(start: Start) -> None:
    gone = asyncio.Event()

    async def watch(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with start(watch) as running:
        async with running.connect() as client:
            await client.send(put(b"0123456789")[:-5])
            await asyncio.sleep(0.05)
        await asyncio.wait_for(gone.wait(), 5)


async def test_an_answer_that_nobody_reads_is_given_up(start: Start) -> None:
    given_up = asyncio.Event()

    async def generous(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        given_up.set()

    async with start(generous) as running, running.connect() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # TLS transports read, too
        await client.send(put())

        await asyncio.wait_for(given_up.wait(), 10)


@pytest.mark.parametrize("age", [timedelta(), timedelta(days=900)], ids=["in date", "expired"])
async def test_the_device_listener_shows_the_clients_certificate(
    start: Start, test_ca: authority.Authority, age: timedelta
) -> None:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    issued = authority.issue(
        test_ca, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=SystemClock().now() - age
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates.der(test_ca.certificate))
    with tempfile.NamedTemporaryFile() as file:
        clear = serialization.NoEncryption()
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear))
        file.write(certificates.pem(issued))
        file.flush()
        context.load_cert_chain(file.name)

    async with start(echo, client_ca=[test_ca.certificate]) as running, running.connect(context) as client:
        for _ in range(2):
            await client.send(put(b"hello"))
            told = json.loads((await client.answer())[2])

            assert bytes.fromhex(told["certificate"]) == certificates.der(issued)


async def test_the_device_listener_serves_clients_without_a_certificate(start: Start, test_ca: authority.Authority) -> None:
    async with start(echo, client_ca=[test_ca.certificate]) as running, running.connect() as client:
        await client.send(put(b"hello"))
        told = json.loads((await client.answer())[2])

        assert told["tls"]
        assert told["certificate"] is None
