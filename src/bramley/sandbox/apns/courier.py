"""How simulated devices hear of pushes: the part that Apple's own protocol between APNs and devices plays.

In one process a device asks the stand-in directly. From another, it speaks JSON, one object a line, on a loopback port:

    {"register": {"topic": T}}   →  {"token": HEX}          and the device is present
    {"resume": HEX}              →  {"resumed": HEX}        likewise, for a token from earlier
    {"unregister": HEX}          →  {"unregistered": HEX}   the token is dead
                                 →  {"push": {"mdm": MAGIC}}   whenever one arrives
    anything else                →  {"error": MESSAGE}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from bramley.clock import Clock
from bramley.sandbox.apns.tokens import Payload, Tokens
from bramley.sandbox.errors import ServerUnreachable, UnknownToken

LINE_LIMIT: Final = 16 * 1024
_PAUSES: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds between attempts to reach the stand-in again; the last one repeats."""


class Courier(Protocol):
    """A device's side of the push service."""

    async def register(self, topic: str) -> bytes:
        """A new token for the topic."""
        ...

    async def wait(self, token: bytes) -> Payload:
        """The next push for the token, at once where one was kept. Raises UnknownToken for a dead one."""
        ...

    async def unregister(self, token: bytes) -> None:
        """Makes the token dead."""
        ...

    async def close(self) -> None:
        """Ends every connection; the device is away."""
        ...


class LocalCourier:
    """The courier for devices in the process of the stand-in. A device is present while it waits."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock

    async def register(self, topic: str) -> bytes:
        return self._tokens.register(topic)

    async def wait(self, token: bytes) -> Payload:
        arrived: asyncio.Queue[Payload] = asyncio.Queue()
        present = arrived.put_nowait
        self._tokens.connect(token, present, self._clock.now())
        try:
            return await arrived.get()
        finally:
            self._tokens.disconnect(token, present)

    async def unregister(self, token: bytes) -> None:
        self._tokens.unregister(token, self._clock.now())

    async def close(self) -> None:
        """Nothing is held between calls."""


class NetworkCourier:
    """The courier for devices in another process: one connection per token, made again whenever it is lost."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: dict[bytes, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def register(self, topic: str) -> bytes:
        stream, said = await self._open({"register": {"topic": topic}})
        token = bytes.fromhex(said["token"])
        self._streams[token] = stream
        return token

    async def wait(self, token: bytes) -> Payload:
        attempt = 0
        while True:
            try:
                if token not in self._streams:
                    self._streams[token], _ = await self._open({"resume": token.hex()})
                line = await self._streams[token][0].readline()
            except (OSError, ServerUnreachable):
                line = b""
            if line:
                payload: Payload = json.loads(line)["push"]
                return payload
            await self._drop(token)
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1

    async def unregister(self, token: bytes) -> None:
        (_, writer), _ = await self._open({"unregister": token.hex()})
        await _end(writer)
        await self._drop(token)

    async def close(self) -> None:
        for token in list(self._streams):
            await self._drop(token)

    async def _drop(self, token: bytes) -> None:
        if (stream := self._streams.pop(token, None)) is not None:
            await _end(stream[1])

    async def _open(self, request: dict[str, Any]) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], dict[str, Any]]:
        try:
            reader, writer = await asyncio.open_connection(*self._address, limit=LINE_LIMIT)
            writer.write(_line(request))
            answer = await reader.readline()
        except OSError as error:
            raise ServerUnreachable(f"The stand-in for APNs cannot be reached: {error}.", advice="Is it running?") from None
        if not answer:
            await _end(writer)
            raise ServerUnreachable("The stand-in for APNs closed the connection.", advice="Is it shutting down?")
        said: dict[str, Any] = json.loads(answer)
        if "error" in said:
            await _end(writer)
            raise UnknownToken(said["error"])
        return (reader, writer), said


class CourierServer:
    """The stand-in's end of the network courier."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; the port in use."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=LINE_LIMIT)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Stops listening and hangs up on every device."""
        if self._server is not None:
            self._server.close()
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        present: dict[bytes, Callable[[Payload], None]] = {}

        def deliver(payload: Payload) -> None:
            writer.write(_line({"push": payload}))

        try:
            while line := await reader.readline():
                try:
                    self._obey(json.loads(line), writer, deliver, present)
                except (ValueError, KeyError, TypeError, AttributeError):
                    writer.write(_line({"error": "Expected register, resume or unregister with its value."}))
                except UnknownToken as error:
                    writer.write(_line({"error": str(error)}))
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the device hung up, sent a line over the limit, or the stand-in stops: in each case the device is away
        finally:
            self._clients.discard(task)
            for token, callback in present.items():
                self._tokens.disconnect(token, callback)
            writer.close()

    def _obey(
        self,
        request: dict[str, Any],
        writer: asyncio.StreamWriter,
        deliver: Callable[[Payload], None],
        present: dict[bytes, Callable[[Payload], None]],
    ) -> None:
        ((verb, value),) = request.items()
        now = self._clock.now()
        if verb == "unregister":
            self._tokens.unregister(bytes.fromhex(value), now)
            writer.write(_line({"unregistered": value}))
            return
        if verb == "register":
            token = self._tokens.register(value["topic"])
            said = {"token": token.hex()}
        elif verb == "resume":
            token = bytes.fromhex(value)
            said = {"resumed": value}
        else:
            raise KeyError(verb)
        self._tokens.require_live(token)
        # the answer goes out first: a push that was kept follows it on the same connection
        writer.write(_line(said))
        present[token] = deliver
        self._tokens.connect(token, deliver, now)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
