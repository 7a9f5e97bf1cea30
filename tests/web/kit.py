"""A client that says exactly what it is told to, and a server to say it to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from bramley.clock import SystemClock
from bramley.settings import Limits, Proxy
from bramley.tls.live import LiveCertificate, ServerPair
from bramley.web.metrics import Metrics
from bramley.web.proxy import Proxies
from bramley.web.server import Listener, Servers

App = Callable[[Any, Any, Any], Awaitable[None]]

LIMITS = Limits(header_bytes=4096, request_line_bytes=1024, header_seconds=0.4, body_seconds=0.6, shutdown_seconds=1.5)


class RawClient:
    """One connection that sends bytes as given and reads answers one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer; raises IncompleteReadError where the connection ends first."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += await self._reader.readexactly(size + 2)
                body = body[:-2]
            await self._reader.readuntil(b"\r\n")
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def closed(self) -> bool:
        """Waits for the server to end the connection; True if it sent nothing more."""
        try:
            return await asyncio.wait_for(self._reader.read(), 10) == b""
        except ConnectionError:
            return True


def servers_of(limits: Limits = LIMITS, proxy: Proxy | None = None) -> Servers:
    """Servers by themselves, without a metric that anybody reads."""
    metrics = Metrics()
    return Servers(limits, SystemClock(), Proxies(proxy or Proxy(), metrics), metrics)


@dataclass(frozen=True, slots=True)
class Running:
    servers: Servers
    live: LiveCertificate
    port: int
    tls: ssl.SSLContext

    @asynccontextmanager
    async def connect(self, context: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context or self.tls, server_hostname="localhost", limit=1 << 22
        )
        try:
            yield RawClient(reader, writer)
        finally:
            writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Start:
    """Starts an application behind one listener, and stops it at the end of the block."""

    pair: ServerPair
    tls: ssl.SSLContext

    @asynccontextmanager
    async def __call__(
        self, app: App, *, limits: Limits = LIMITS, client_ca: list[x509.Certificate] | None = None, tls: bool = True
    ) -> AsyncIterator[Running]:
        live = LiveCertificate(self.pair)
        servers = servers_of(limits)
        context = live.context(client_ca) if tls else None
        listener = Listener("127.0.0.1", 0, context, app, client_certificates=client_ca is not None)
        ((_host, port),) = await servers.start([listener])
        try:
            yield Running(servers, live, port, self.tls)
        finally:
            await servers.stop()
