"""Listening sockets and the connections they bring: started together, stopped together, without losing a running request.

uvicorn supplies the protocol; the accepting, the Date header and the end are ours, because its own server takes over the
process's signals, exits the interpreter when a start fails, and lets a TLS handshake hang for a minute.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

from uvicorn import Config
from uvicorn.server import ServerState

from bramley.clock import Clock
from bramley.settings import Limits
from bramley.web.asgi import ASGIApp
from bramley.web.errors import CannotListen
from bramley.web.protocol import LimitedHTTP

KEEP_ALIVE_SECONDS: Final = 30
"""How long an idle connection is kept: a device that was woken asks again within moments of each answer."""

BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class Listener:
    """One address, its TLS context, and the application behind it.

    `client_certificates`: tell the application the certificate that the TLS handshake brought; the context must ask for it.
    """

    host: str
    port: int
    context: ssl.SSLContext
    app: ASGIApp
    client_certificates: bool = False


class Servers:
    """The listeners of one process."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._state = ServerState()
        self._accepting: list[asyncio.Server] = []
        self._dating: asyncio.Task[None] | None = None

    async def start(self, listeners: Sequence[Listener]) -> tuple[tuple[str, int], ...]:
        """Listens on every address; returns host and port of each as they came to be, in order (port 0 takes a free one).

        Raises CannotListen where one address cannot be had; then none is listened on.
        """
        sockets: list[socket.socket] = []
        try:
            for listener in listeners:
                sockets.append(_bind(listener.host, listener.port))
        except CannotListen:
            for bound in sockets:
                bound.close()
            raise
        self._set_date()
        self._dating = asyncio.create_task(self._keep_date())
        for listener, bound in zip(listeners, sockets, strict=True):
            self._accepting.append(await self._accept(listener, bound))
        return tuple((bound.getsockname()[0], bound.getsockname()[1]) for bound in sockets)

    async def stop(self) -> None:
        """Accepts nothing more, lets running requests end within `limits.shutdown_seconds`, then closes what is left."""
        for server in self._accepting:
            server.close()
        busy = {each for each in self._state.connections if isinstance(each, LimitedHTTP) and each.responding}
        for connection in list(self._state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.shutdown_seconds):
                # a connection is gone once its peer has read the last answer and said goodbye
                while self._state.tasks or busy & self._state.connections:  # noqa: ASYNC110 - those sets have no event
                    await asyncio.sleep(0.02)
        late = list(self._state.tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._state.connections):
            with suppress(AttributeError):  # Python 3.11.2, Debian 12's, of a TLS connection that was closed twice
                connection.transport.abort()
        if self._dating is not None:
            self._dating.cancel()
            with suppress(asyncio.CancelledError):
                await self._dating
        for server in self._accepting:
            await server.wait_closed()
        self._accepting.clear()

    async def _accept(self, listener: Listener, bound: socket.socket) -> asyncio.Server:
        config = Config(
            listener.app,
            loop="none",
            http=LimitedHTTP,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        loop = asyncio.get_running_loop()

        def connection() -> LimitedHTTP:
            return LimitedHTTP(
                config,
                self._state,
                limits=self._limits,
                client_certificates=listener.client_certificates,
                loop=loop,
            )

        return await loop.create_server(
            connection,
            sock=bound,
            ssl=listener.context,
            backlog=BACKLOG,
            ssl_handshake_timeout=self._limits.header_seconds,
            ssl_shutdown_timeout=self._limits.header_seconds,
        )

    async def _keep_date(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._set_date()

    def _set_date(self) -> None:
        """RFC 9110 6.6.1: a server with a clock says what time it is."""
        self._state.default_headers = [(b"date", format_datetime(self._clock.now(), usegmt=True).encode())]


def _bind(host: str, port: int) -> socket.socket:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {shown}: {error.strerror}.",
            advice="Give an address of this machine: 0.0.0.0 for all of IPv4, :: for all of IPv6 as well.",
        ) from None
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
        # Listening already here tells of a port in use: with SO_REUSEADDR two sockets may bind, but not listen.
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise CannotListen(f"Cannot listen on {shown}: {os.strerror(error.errno or 0)}.", advice=_advice(error)) from None
    return bound


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "Another process has this port; find it with `ss -ltnp`, or set another port."
        case errno.EACCES:
            return "Ports below 1024 need a privilege: set a higher one, or grant CAP_NET_BIND_SERVICE."
        case errno.EADDRNOTAVAIL:
            return "This machine has no such address: set one that it has, or 0.0.0.0 for all."
        case _:
            return "Set another address or port."
