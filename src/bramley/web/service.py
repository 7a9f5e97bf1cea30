"""A running Bramley: listeners, jobs and the watch over the database, started and stopped as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography import x509

from bramley import __version__
from bramley.errors import BramleyError
from bramley.jobs import catalogue
from bramley.jobs.sending import ClientFactory, Sender
from bramley.model.events import Event, EventKind
from bramley.operations import scep_ra, server_certificates
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.push.clients import clients
from bramley.pki import certificates
from bramley.storage.protocols import Tx
from bramley.tls.live import LiveCertificate, ServerPair
from bramley.web.app import Application
from bramley.web.server import Listener, Servers

LOOK_AGAIN_SECONDS: Final = 0.5
TELL_SECONDS: Final = 60
TRY_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener came to be."""

    host: str
    port: int


class Service:
    """Starts with `start`, serves until `stop`."""

    def __init__(self, live: Live, certificate: LiveCertificate, servers: Servers, sender: Sender) -> None:
        self.live = live
        self.main: Address | None = None
        self.device: Address | None = None
        self._certificate = certificate
        self._servers = servers
        self._sender = sender
        self._tasks: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger("service")

    @classmethod
    async def start(cls, installation: Installation, connect: ClientFactory | None = None) -> Service:
        """Renews what of the server's own certificates is due, listens, and takes up the jobs.

        `connect` makes the client of APNs; by default it is what the settings say. Raises what prevents serving, having
        changed nothing but certificates that were due and noted that it began.
        """
        connect = connect or clients(installation)
        live = await Live.start(installation)
        now = installation.clock.now()

        def begin(tx: Tx) -> None:
            server_certificates.ensure(
                tx,
                installation.sealer,
                live.current().authorities,
                host=installation.host,
                organization=installation.settings.organization,
                now=now,
            )
            scep_ra.ensure(tx, installation, live.current().authorities, now=now)
            tx.events.append(Event(now, EventKind.SERVER_STARTED, "server", detail={"version": __version__}))

        await installation.store.run(begin)
        await live.refresh()
        certificate = LiveCertificate(_pair(live))
        application = Application(live)
        servers = Servers(installation.settings.limits, installation.clock, application.proxies, application.metrics)
        service = cls(live, certificate, servers, Sender(live, connect))
        await service._listen(application)
        service._tasks = [
            asyncio.create_task(service._follow(), name="follow"),
            asyncio.create_task(service._tell_left_out(), name="refusals"),
            asyncio.create_task(catalogue.runner(live, service._sender).run(), name="jobs"),
        ]
        return service

    async def stop(self) -> None:
        """Accepts nothing more, lets running requests end, ends the jobs, and closes the database."""
        await self._servers.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sender.close()
        with suppress(BramleyError):
            await self.live.refusals.tell_left_out(all_windows=True)
        await self.live.installation.store.close()

    async def failed(self) -> None:
        """Returns when something that should run for good has ended: only ever by a bug, which is raised."""
        running = [*self._tasks, *self._servers.accepting]
        done, _pending = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _listen(self, application: Application) -> None:
        settings = self.live.installation.settings
        main = self._certificate.context() if settings.listen.tls else None
        listeners = [Listener(settings.listen.host, settings.listen.port, main, application.main)]
        if settings.device_listener.port >= 0:
            context = self._certificate.context(_identity_issuers(self.live))
            where = settings.device_listener
            listeners.append(Listener(where.host, where.port, context, application.device, client_certificates=True))
        addresses = [Address(*found) for found in await self._servers.start(listeners)]
        self.main, self.device = addresses[0], addresses[1] if len(addresses) > 1 else None

    async def _tell_left_out(self) -> None:
        """Says now and then how many refusals were not written down."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            try:
                await self.live.refusals.tell_left_out()
            except BramleyError as error:
                self._log.error("cannot write down how many refusals were left out", error=str(error))

    async def _follow(self) -> None:
        """Reads keys and certificates anew when the database says so; trouble is logged and tried again."""
        watch = self.live.installation.store.watch()
        presented = self.live.current()
        while True:
            try:
                # Before the wait: something may have changed between the start and the watch, or the last try have failed.
                await self.live.refresh()
                if self.live.current() is not presented:
                    self._certificate.replace(_pair(self.live), _identity_issuers(self.live))
                    presented = self.live.current()
                    self._log.info("certificates reloaded")
                await watch.changed()
            except (BramleyError, OSError) as error:  # OSError: OpenSSL takes its key by way of a file
                self._log.error("cannot read the certificates anew; the former stay in force", error=str(error))
                await asyncio.sleep(TRY_AGAIN_SECONDS)
            # Commits come in crowds when devices do: one look for all of them.
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def serve_until(service: Service, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then ends in order; a part that breaks ends the whole and is raised."""
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(service.failed())
    try:
        await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
    finally:
        for task in (stopping, failing):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        await service.stop()


def _pair(live: Live) -> ServerPair:
    https = live.current().https
    return ServerPair(b"".join(map(certificates.pem, (https.certificate, *https.chain))), https.key)


def _identity_issuers(live: Live) -> Sequence[x509.Certificate]:
    return live.current().identity_issuers
