"""Listening sockets and the connections they bring: started together, stopped together, without losing a running request.

uvicorn supplies the protocol; the accepting, the Date header and the end are ours, because its own server takes over the
process's signals, exits the interpreter when a start fails, and lets a TLS handshake hang for a minute.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

import structlog
from uvicorn import Config
from uvicorn.server import ServerState

from bramley.clock import Clock
from bramley.settings import Limits
from bramley.web.asgi import ASGIApp
from bramley.web.door import Door, Place
from bramley.web.errors import CannotListen
from bramley.web.metrics import Metrics
from bramley.web.protocol import LimitedHTTP
from bramley.web.proxy import Proxies

KEEP_ALIVE_SECONDS: Final = 30
"""How long an idle connection is kept: a device that was woken asks again within moments of each answer."""

BACKLOG: Final = 2048
AT_A_TIME: Final = 64
"""Connections taken from the kernel's queue at a time, before those already open have their turn."""

SPARE_FILES: Final = 256
"""Descriptors kept for everything that is no connection: the database, pushes, sockets to listen on."""

NO_DESCRIPTOR_PAUSE: Final = 0.5

log = structlog.get_logger("bramley.web.server")


@dataclass(frozen=True, slots=True)
class Listener:
    """One address, its TLS context, and the application behind it; without a context it speaks in clear, to proxies.

    `client_certificates`: tell the application the certificate that the TLS handshake brought; the context must ask for it.
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    app: ASGIApp
    client_certificates: bool = False


class Servers:
    """The listeners of one process."""

    def __init__(self, limits: Limits, clock: Clock, proxies: Proxies, metrics: Metrics) -> None:
        self._limits = limits
        self._clock = clock
        self._door = Door(_files_for(limits.connections), limits.connections_per_address, proxies, metrics)
        self._state = ServerState()
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: set[asyncio.Task[None]] = set()
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
            self._sockets.append(bound)
            self._accepting.append(asyncio.create_task(self._accept(listener, bound), name=f"accept on {listener.port}"))
        return tuple((bound.getsockname()[0], bound.getsockname()[1]) for bound in sockets)

    @property
    def accepting(self) -> Sequence[asyncio.Task[None]]:
        """What takes connections, a task for each listener; none ends before `stop`, or it is a bug."""
        return self._accepting

    async def stop(self) -> None:
        """Accepts nothing more, lets running requests end within `limits.shutdown_seconds`, then closes what is left."""
        await _end(self._accepting)
        self._accepting.clear()
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()
        await _end(self._arriving)
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

    async def _accept(self, listener: Listener, bound: socket.socket) -> None:
        """Takes connections for as long as there is room, a handful at a time."""
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
        while True:
            await self._door.room()
            try:
                self._take(listener, config, *await loop.sock_accept(bound))
                for _ in range(AT_A_TIME):
                    if not self._door.has_room:
                        break
                    self._take(listener, config, *bound.accept())
            except BlockingIOError:
                continue
            except OSError as error:
                log.warning("cannot take a connection", error=os.strerror(error.errno or 0))
                await asyncio.sleep(NO_DESCRIPTOR_PAUSE)

    def _take(self, listener: Listener, config: Config, connection: socket.socket, peer: tuple[str, int]) -> None:
        connection.setblocking(False)
        place = self._door.enter(peer[0], in_clear=listener.context is None)
        if place is None:
            connection.close()
            return
        task = asyncio.create_task(self._open(listener, config, connection, place))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _open(self, listener: Listener, config: Config, connection: socket.socket, place: Place) -> None:
        """The TLS handshake, within its time; from then on the protocol holds the place."""
        loop = asyncio.get_running_loop()

        def protocol() -> LimitedHTTP:
            return LimitedHTTP(
                config,
                self._state,
                limits=self._limits,
                client_certificates=listener.client_certificates,
                place=place,
                loop=loop,
            )

        seconds = None if listener.context is None else self._limits.header_seconds
        try:
            await loop.connect_accepted_socket(
                protocol,
                connection,
                ssl=listener.context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except OSError as error:
            place.leave()
            log.debug("no handshake", error=str(error))
        except BaseException:
            place.leave()
            raise

    async def _keep_date(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._set_date()

    def _set_date(self) -> None:
        """RFC 9110 6.6.1: a server with a clock says what time it is."""
        self._state.default_headers = [(b"date", format_datetime(self._clock.now(), usegmt=True).encode())]


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _files_for(connections: int) -> int:
    """How many of so many connections this process may have open, having asked the system for enough descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    possible = max(1, soft - SPARE_FILES)
    log.warning("fewer connections than limits.connections: this process may open too few files", connections=possible)
    return possible


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
