"""One connection of the stand-in for APNs: HTTP/2 (RFC 9113) by h2, on an asyncio transport."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from cryptography import x509
from hyperframe.frame import GoAwayFrame

from bramley.pki import certificates
from bramley.sandbox.apns.clients import Client

CONCURRENT_STREAMS: Final = 1000
"""What Apple's servers allow a connection with a client certificate."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP status with its headers and body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Identify = Callable[[x509.Certificate], Client]
Respond = Callable[[Client, Headers, bytes], Response]


@dataclass(slots=True)
class _Incoming:
    headers: Headers
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """Speaks HTTP/2 with one client, whom `identify` reads off the certificate; `respond` answers each complete request.

    `latency` is how long an answer takes, in seconds; `body_limit` how many octets of a body are kept (one more is
    kept, so that `respond` sees a body that is too long). A `stalled` one asks nobody and answers nothing until it resumes.
    """

    def __init__(
        self,
        identify: Identify,
        respond: Respond,
        *,
        latency: float,
        body_limit: int,
        connections: set[Connection],
        stalled: bool = False,
    ) -> None:
        self._identify, self._respond = identify, respond
        self._latency, self._body_limit, self._connections = latency, body_limit, connections
        self._stalled = stalled
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self._incoming: dict[int, _Incoming] = {}
        self._held: dict[int, _Incoming] = {}
        self._answering: set[int] = set()
        self._unsent: dict[int, bytes] = {}
        self._last_stream: int | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
        # TLS demanded a certificate already; ALPN alone would let a client go on in HTTP/1.1
        if tls.selected_alpn_protocol() != "h2" or certificate is None:
            transport.abort()
            return
        self._client = self._identify(certificates.load(certificate))
        self._connections.add(self)
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: CONCURRENT_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 8192,
            },
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self._connections.discard(self)
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 has queued the GOAWAY that says what was wrong
            self._transport.close()
            return
        for event in events:
            self._handle(event)
        self._flush()

    def go_away(self, reason: str | None = None) -> None:
        """Takes no new requests, answers those under way, then closes: APNs' orderly end, with a JSON reason."""
        if self._last_stream is not None:
            return
        self._last_stream = self._h2.highest_inbound_stream_id
        said = b"" if reason is None else json.dumps({"reason": reason}).encode()
        # h2 forgets every open stream once it has sent a GOAWAY itself, so the frame is written beside it
        self._transport.write(GoAwayFrame(0, last_stream_id=self._last_stream, additional_data=said).serialize())
        self._close_when_idle()

    def abort(self) -> None:
        """Drops the connection without a word."""
        self._transport.abort()

    def stall(self) -> None:
        """Holds every request that is complete from now on."""
        self._stalled = True

    def resume(self) -> None:
        """Answers what was held, and everything after it."""
        self._stalled = False
        held, self._held = self._held, {}
        for stream, incoming in held.items():
            self._answer(stream, incoming)
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if self._last_stream is None or event.stream_id <= self._last_stream:
                self._incoming[event.stream_id] = _Incoming([(bytes(name), bytes(value)) for name, value in event.headers])
        elif isinstance(event, h2.events.DataReceived):
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if (incoming := self._incoming.get(event.stream_id)) is not None:
                incoming.body += event.data[: self._body_limit + 1 - len(incoming.body)]
        elif isinstance(event, h2.events.StreamEnded):
            if (incoming := self._incoming.pop(event.stream_id, None)) is not None:
                if self._stalled:
                    self._held[event.stream_id] = incoming
                else:
                    self._answer(event.stream_id, incoming)
        elif isinstance(event, h2.events.StreamReset):
            self._incoming.pop(event.stream_id, None)
            self._held.pop(event.stream_id, None)
            self._answering.discard(event.stream_id)
            self._unsent.pop(event.stream_id, None)
        elif isinstance(event, h2.events.WindowUpdated):
            for stream in list(self._unsent):
                self._send_body(stream, self._unsent.pop(stream))
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._transport.close()

    def _answer(self, stream: int, incoming: _Incoming) -> None:
        self._answering.add(stream)
        response = self._respond(self._client, incoming.headers, bytes(incoming.body))
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._send_late, stream, response)
        else:
            self._send(stream, response)

    def _send_late(self, stream: int, response: Response) -> None:
        if stream in self._answering and not self._transport.is_closing():
            self._send(stream, response)
            self._flush()

    def _send(self, stream: int, response: Response) -> None:
        headers = [(":status", str(response.status)), *response.headers]
        self._h2.send_headers(stream, headers, end_stream=not response.body)
        if response.body:
            self._send_body(stream, response.body)
        else:
            self._done(stream)

    def _send_body(self, stream: int, body: bytes) -> None:
        room = self._h2.local_flow_control_window(stream)
        self._h2.send_data(stream, body[:room], end_stream=room >= len(body))
        if room < len(body):
            self._unsent[stream] = body[room:]
        else:
            self._done(stream)

    def _done(self, stream: int) -> None:
        self._answering.discard(stream)

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._last_stream is not None and not (self._incoming or self._held or self._answering):
            self._transport.close()
