"""The stand-in for APNs: Apple's rules, words and statuses, on this machine."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from bramley.clock import Clock
from bramley.pki import certificates
from bramley.sandbox.apns.clients import Client, read_client
from bramley.sandbox.apns.courier import CourierServer, LocalCourier
from bramley.sandbox.apns.http2 import Connection, Headers, Response
from bramley.sandbox.apns.moods import Moods, refusal
from bramley.sandbox.apns.requests import PAYLOAD_LIMIT, Refusal, read_headers, read_payload
from bramley.sandbox.apns.tokens import Tokens
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.tls import load_identity

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""


class APNs:
    """Apple Push Notification service for MDM, as a server on one port and a courier for devices.

    A client must present a certificate of the sandbox's CA over TLS 1.2 or later and speak HTTP/2. Whether that certificate
    has expired is judged by `clock`, so that years may pass in a rehearsal: an expired one hears 403 BadCertificate, and so
    do a revoked one and one that is for something else. `latency` is how long each answer takes, in seconds.
    """

    def __init__(self, ca: SandboxAppleCA, clock: Clock, *, latency: float = 0.0) -> None:
        self._ca, self._clock = ca, clock
        self.latency = latency
        self.tokens = Tokens()
        self.courier = LocalCourier(self.tokens, clock)
        self._courier_server = CourierServer(self.tokens, clock)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._moods = Moods()
        self._stalled = False
        self._accepted = 0
        self._opened = 0
        self._refused: Counter[str] = Counter()
        self.port = 0
        self.courier_port = 0

    @property
    def accepted(self) -> int:
        """How many pushes were answered 200."""
        return self._accepted

    @property
    def delivered(self) -> int:
        """How many pushes reached a device."""
        return self.tokens.delivered

    @property
    def refused(self) -> dict[str, int]:
        """How many pushes were refused, by reason."""
        return dict(self._refused)

    @property
    def connections_opened(self) -> int:
        """How many connections completed TLS since the start."""
        return self._opened

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, courier_port: int = 0, certificate_from: datetime | None = None
    ) -> None:
        """Listens; `port` and `courier_port` then tell where. The server certificate is for `host` and localhost.

        That certificate is valid for a year from `certificate_from`, else from the clock's now. Where the clock is simulated
        give the machine's time: the client's TLS library knows no other.
        """
        context = _tls(self._ca, (host, "localhost"), certificate_from or self._clock.now())
        # a client that is idle may not notice the end, and would hold `stop` up
        self._server = await asyncio.get_running_loop().create_server(
            self._connect, host, port, ssl=context, ssl_shutdown_timeout=0.5
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.courier_port = await self._courier_server.start(host, courier_port)

    async def stop(self) -> None:
        """An orderly end: GOAWAY with Shutdown, answers to what is under way, then nothing listens."""
        if self._server is not None:
            self._server.close()
            self.resume_answers()
            self.go_away("Shutdown")
            await asyncio.gather(*(connection.closed.wait() for connection in self._connections))
            await self._server.wait_closed()
        await self._courier_server.stop()

    def go_away(self, reason: str | None = None) -> None:
        """Ends every connection in order; the service goes on."""
        for connection in list(self._connections):
            connection.go_away(reason)

    def drop_connections(self) -> None:
        """Cuts every connection without a word, as a failing network does."""
        for connection in list(self._connections):
            connection.abort()

    def stall(self) -> None:
        """Takes requests and answers none, nor delivers what they bring, until `resume_answers`."""
        self._stalled = True
        for connection in list(self._connections):
            connection.stall()

    def resume_answers(self) -> None:
        """Answers what came meanwhile, in its order, and everything after it."""
        self._stalled = False
        for connection in list(self._connections):
            connection.resume()

    def refuse_next(self, reason: str, count: int = 1, *, retry_after: int | None = None) -> None:
        """The next `count` valid pushes are refused for `reason`, one of APNs' own words: Apple having a bad day."""
        self._moods.refuse_next(refusal(reason, self._clock.now(), retry_after), count)

    def refuse_token(self, token: bytes, reason: str | None, *, retry_after: int | None = None) -> None:
        """Every valid push to the token is refused for `reason`; None ends that. With a 410 the time told is now."""
        self._moods.refuse_token(token, None if reason is None else refusal(reason, self._clock.now(), retry_after))

    def refuse_topic(self, topic: str, reason: str | None, *, retry_after: int | None = None) -> None:
        """Likewise for every token of the topic."""
        self._moods.refuse_topic(topic, None if reason is None else refusal(reason, self._clock.now(), retry_after))

    def revoke(self, certificate: str | int) -> None:
        """Pushes with this certificate, named by SHA-256 (hexadecimal) or serial number, hear 403 BadCertificate from now on."""
        self._moods.revoke(certificate)

    def _connect(self) -> Connection:
        self._opened += 1
        return Connection(
            lambda certificate: read_client(certificate, self._ca.intermediate),
            self._respond,
            latency=self.latency,
            body_limit=PAYLOAD_LIMIT,
            connections=self._connections,
            stalled=self._stalled,
        )

    def _respond(self, client: Client, headers: Headers, body: bytes) -> Response:
        now = self._clock.now()
        if not client.is_valid(now) or self._moods.is_revoked(client):
            return self._refuse(Refusal("BadCertificate"))
        notification = read_headers(headers, certificate_topic=client.topic, now=now)
        if isinstance(notification, Refusal):
            return self._refuse(notification)
        payload = read_payload(body)
        if isinstance(payload, Refusal):
            return self._refuse(payload, notification.apns_id)
        refused = self._moods.refusal(notification) or self.tokens.accept(notification, payload)
        if refused is not None:
            return self._refuse(refused, notification.apns_id)
        self._accepted += 1
        return Response(200, (("apns-id", notification.apns_id),))

    def _refuse(self, refusal: Refusal, apns_id: str | None = None) -> Response:
        self._refused[refusal.reason] += 1
        headers = [("content-type", "application/json")]
        if apns_id is not None:
            headers.append(("apns-id", apns_id))
        if refusal.retry_after is not None:
            headers.append(("retry-after", str(refusal.retry_after)))
        return Response(refusal.status, tuple(headers), refusal.body)


def _tls(ca: SandboxAppleCA, names: tuple[str, ...], now: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    context.load_verify_locations(cadata=(certificates.pem(ca.intermediate) + ca.root_pem).decode())
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = ca.issue_server_certificate(key.public_key(), names, now=now)
    load_identity(context, certificates.pem(certificate), key)
    return context
