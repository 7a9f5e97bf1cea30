"""An HTTP proxy that knows CONNECT (RFC 9110, 9.3.6) and nothing else."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class ConnectProxy:
    """Tunnels to whoever is asked for; or answers `refuse`, a status, to everybody; or 407 to all without `credentials`."""

    def __init__(self, refuse: int = 0, credentials: str = "") -> None:
        self._refuse = refuse
        self._expected = "Basic " + base64.b64encode(credentials.encode()).decode() if credentials else ""
        self.asked: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _version = request.split()
        said = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
        status = self._refuse or (407 if said.get("proxy-authorization", "") != self._expected else 200)
        self.asked.append(f"{method} {target} {status}")
        writer.write(f"HTTP/1.1 {status} As told\r\n\r\n".encode())
        if status == 200:
            host, _, port = target.rpartition(":")
            away_reader, away_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_pump(reader, away_writer), _pump(away_reader, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def connect_proxy(refuse: int = 0, credentials: str = "") -> AsyncIterator[ConnectProxy]:
    """A proxy on a port of this machine."""
    proxy = ConnectProxy(refuse, credentials)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()
